'use strict'

// Clients that keep to the rules. Each has a name that all its messages carry, and checks that what it gets is its own,
// each message once and in order.

const eio = require('engine.io-client')
const eio3 = require('engine.io-client-v3')

const WAYS = [['websocket'], ['websocket'], ['polling'], ['polling', 'websocket'], ['polling', 'websocket']]

/** How long the last echoes may take, in ms: an upgrade and some stops of the server's loop lie between. */
const PATIENCE = 10_000

const once = (emitter, event) => new Promise((resolve) => emitter.once(event, (...list) => resolve(list)))
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const within = (ms, promise) => Promise.race([promise, delay(ms).then(() => 'late')])

/** Comes, talks for a while, and goes in good order. Resolves when it is gone. */
async function visit({ random, door, port, name, until, tell, totals, unexpected }) {
  const transports = random.pick(WAYS)
  const secure = door === 'https'
  const protocol = random.chance(0.2) ? 3 : 4
  const options = {
    transports,
    query: { name },
    rejectUnauthorized: false,
    ...(protocol === 4 ? {} : { agent: false }),
  }
  const Client = protocol === 4 ? eio.Socket : eio3
  const client = new Client(`${secure ? 'wss' : 'ws'}://127.0.0.1:${port}`, options)
  const who = `${name} (${door}, ${transports}, protocol ${protocol})`
  let state = 'opening'
  let sent = 0
  let echoed = 0
  let pushed = 0
  let byeAt = -1
  let reached = () => {}
  const came = performance.now()
  let error = ''
  client.on('error', ({ message, description, context }) => {
    const status = (description && description.status) || description || (context && context.status)
    error = `: ${message} ${status && status.message ? `${status.message} ${status.code}` : status} after ${Math.round(performance.now() - came)} ms`
  })
  client.on('message', (data) => {
    totals.messages++
    const text = Buffer.from(data).toString()
    const [addressee, kind, number] = text.split('|', 3)
    if (addressee !== name) return tell(`${who} got "${text.slice(0, 40)}"`)
    if (byeAt !== -1 && kind === 'p') tell(`${who} got a push after the goodbye`)
    if (kind === 'c') {
      if (Number(number) !== echoed) tell(`${who} got echo ${number}, expected ${echoed}`)
      echoed++
      if (echoed === sent) reached()
    } else if (kind === 'p') {
      if (Number(number) !== pushed) tell(`${who} got push ${number}, expected ${pushed}`)
      pushed++
    } else if (kind === 'bye') {
      byeAt = Number(number)
      if (byeAt !== pushed) tell(`${who} got ${pushed} of ${byeAt} pushes before the goodbye`)
    } else {
      tell(`${who} got "${text.slice(0, 40)}"`)
    }
  })
  const closed = once(client, 'close').then(([reason]) => {
    const was = state
    state = 'closed'
    return { was, reason }
  })
  const opened = await within(PATIENCE, Promise.race([once(client, 'open'), closed]))
  if (opened === 'late') tell(`${who} was neither opened nor refused`)
  if (client.readyState !== 'open') {
    // its server was being restarted
    totals.refused++
    client.close()
    return
  }
  state = 'open'
  totals.sessions++
  client.on('upgrade', () => totals.upgrades++)
  const end = Math.min(until, performance.now() + 200 + random.below(4000))
  while (state === 'open' && performance.now() < end) {
    for (let i = random.below(4); i >= 0 && state === 'open'; i--) {
      const size = random.chance(0.03) ? 30_000 : 30
      const text = `${name}|c|${sent++}|${'x'.repeat(size)}`
      client.send(random.chance(0.3) ? Buffer.from(text) : text)
    }
    await delay(random.below(60))
  }
  if (state === 'open' && echoed < sent) {
    const all = new Promise((resolve) => (reached = resolve))
    if ((await within(PATIENCE, Promise.race([all, closed]))) === 'late')
      tell(`${who}: ${sent - echoed} of ${sent} echoes are missing`)
  }
  if (state === 'open') {
    state = 'leaving'
    client.close()
  }
  const result = await within(PATIENCE, closed)
  if (result === 'late') return tell(`${who} does not get closed`)
  // whether it was the server's wish is seen at the end
  if (result.was === 'open') unexpected.push({ name, who, reason: `${result.reason}${error}` })
}

module.exports = { visit }
