'use strict'

// What clients see, and when, while a part of a cluster is killed under traffic: two machines of two processes each, which
// meet in Redis or NATS, behind HAProxy without stickiness. Prints Markdown.
//
//   node __test__/cluster/kill-parts.js [--bus redis | nats] [--part NAME] [--to FILE]
//
// It fails if a message is lost without the end of its session, or comes twice, or if a session stays in a process that no
// client has.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { after, test } = require('node:test')
const { parseArgs } = require('node:util')
const eio = require('engine.io-client')
const { defer, delay } = require('../support')
const { findHaproxy } = require('../support/debian')
const { accepts, find, freePort, startServer } = require('./bus-servers')
const { KEY } = require('./bus-support')
const { clusterDirectory, startMember } = require('./support')

const { values: wanted } = parseArgs({
  options: { bus: { type: 'string' }, part: { type: 'string' }, to: { type: 'string' } },
})

const WAYS = [['polling'], ['polling', 'websocket'], ['websocket']]
const CLIENTS = 24
/** Of the servers. Shorter than the default, so that nothing takes minutes. */
const PING = { pingInterval: 5000, pingTimeout: 5000 }
/** Between a client's messages, in ms. */
const PAUSE = 100
/** Before a client connects again, in ms. */
const RETRY = 200

/**
 * The parts. `kill` gives what ends the failure, if anything does, after `restart` ms. `opens`: HAProxy sends the first
 * request of a session to the first machine, and all others to the second one. `victims` have the sessions that count as
 * own ones.
 */
const PARTS = {
  process: {
    title: 'One of the four processes is killed',
    victims: ({ machines }) => [machines[0].members[0]],
    kill: ({ machines }) => void machines[0].members[0].child.kill('SIGKILL'),
  },
  owner: {
    title: 'The owner is killed, and all requests come in at the other machine',
    opens: true,
    victims: ({ machines }) => [machines[0].members[0]],
    kill: ({ machines }) => void machines[0].members[0].child.kill('SIGKILL'),
  },
  relay: {
    title: 'A process is killed that has no sessions, and passes on those of the other machine',
    opens: true,
    victims: ({ machines }) => [machines[1].members[0]],
    kill: ({ machines }) => void machines[1].members[0].child.kill('SIGKILL'),
  },
  primary: {
    title: "The primary process of Node's cluster is killed, and with it a machine's two workers",
    primary: true,
    victims: ({ machines }) => machines[0].members,
    kill: ({ machines }) => void machines[0].members[0].child.kill('SIGKILL'),
  },
  stopped: {
    title: 'One of the four processes is stopped (SIGSTOP) for 30 s',
    victims: ({ machines }) => [machines[0].members[0]],
    kill({ machines }) {
      const [{ child }] = machines[0].members
      child.kill('SIGSTOP')
      return () => child.kill('SIGCONT')
    },
    restart: 30_000,
    watch: 40_000,
  },
  'bus for 1 s': {
    title: 'The bus is killed, and starts again after 1 s',
    victims: () => [],
    kill: killBus,
    restart: 1000,
  },
  'bus for 10 s': {
    title: 'The bus is killed, and starts again after 10 s',
    victims: () => [],
    kill: killBus,
    restart: 10_000,
    watch: 20_000,
  },
  balancer: {
    title: 'HAProxy is killed, and starts again after 1 s',
    victims: () => [],
    async kill(cluster) {
      await cluster.balancer.stop()
      return async () => (cluster.balancer = await startBalancer(cluster))
    },
    restart: 1000,
  },
  directory: {
    title: 'The directory of a machine is removed',
    victims: ({ machines }) => machines[0].members,
    kill: ({ machines }) => fs.rmSync(machines[0].directory, { recursive: true }),
  },
}

async function killBus(cluster) {
  await cluster.bus.stop()
  return async () => (cluster.bus = await startServer(cluster.busName, cluster.busPort))
}

/** Starts HAProxy. */
async function startBalancer({ machines, opens, port }) {
  const { program, env } = findHaproxy()
  const servers = machines.map((machine) => [...new Set(machine.members.map((member) => member.port))])
  const backend = (name, ports) => `backend ${name}
  balance roundrobin
  option httpchk GET /
  default-server check inter 500ms fall 2
${ports.map((each, at) => `  server ${name}${at} 127.0.0.1:${each}`).join('\n')}
`
  const file = path.join(clusterDirectory(), 'config')
  fs.writeFileSync(
    file,
    `defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  option redispatch 1
frontend public
  bind 127.0.0.1:${port}
  use_backend requests if { url_param(sid) -m found }
  default_backend sessions
${backend('sessions', opens ? servers[0] : servers.flat())}${backend('requests', opens ? servers[1] : servers.flat())}`,
  )
  const child = spawn(program, ['-db', '-q', '-f', file], { env, stdio: ['ignore', 'inherit', 'inherit'] })
  const ended = new Promise((resolve) => child.on('exit', resolve))
  const stop = () => {
    child.kill('SIGKILL')
    return ended
  }
  defer(stop)
  while (!(await accepts(port))) await delay(5)
  return { stop }
}

async function startMachine(bus, primary) {
  const directory = clusterDirectory()
  const settings = { bus, health: true, options: { ...PING, cluster: { directory, key: KEY } } }
  if (!primary) return { directory, members: [await startMember(settings), await startMember(settings)] }
  // its answers are those of all its workers
  return { directory, members: [await startMember({ ...settings, policy: 'rr', workers: 2 }, 'primary.js')] }
}

async function startCluster(busName, { opens, primary }) {
  const busPort = await freePort()
  const cluster = { busName, busPort, opens, port: await freePort(), machines: [] }
  cluster.bus = await startServer(busName, busPort)
  for (let i = 0; i < 2; i++) cluster.machines.push(await startMachine({ name: busName, port: busPort }, primary))
  for (const { members } of cluster.machines) {
    // all processes of the machine, and each has three others
    const nodes = async () => (await Promise.all(members.map((member) => member.ask('nodes')))).reduce((a, b) => a + b)
    while ((await nodes()) < 6) await delay(20)
  }
  cluster.balancer = await startBalancer(cluster)
  return cluster
}

/** A client that sends numbers, has them back, and connects again whenever its session ends. */
class Visitor {
  constructor(port, transports, tell) {
    this.url = `http://127.0.0.1:${port}`
    this.transports = transports
    this.tell = tell
    this.lost = { reported: 0, silently: 0, twice: 0 }
    this.isStopped = false
    this.connect()
    this.timer = setInterval(() => this.isOpen() && this.client.send(String(this.sent++)), PAUSE)
    defer(() => this.leave())
  }

  isOpen() {
    return this.client.readyState === 'open'
  }

  connect() {
    this.sent = 0
    this.received = 0
    let hasOpened = false
    const client = new eio.Socket(this.url, { transports: this.transports })
    this.client = client
    client.on('open', () => {
      hasOpened = true
      this.tell(this, 'connected')
    })
    client.on('message', (data) => {
      const number = Number(data)
      if (number < this.received) this.lost.twice++
      else this.lost.silently += number - this.received
      this.received = number + 1
    })
    client.on('error', () => {})
    client.on('close', (reason, description) => {
      if (this.isStopped) return
      this.lost.reported += this.sent - this.received
      const status = description?.description > 0 ? ` ${description.description}` : ''
      const why = reason === 'transport error' ? `${description.message}${status}` : reason
      this.tell(this, hasOpened ? 'ended' : 'refused', why)
      setTimeout(() => this.isStopped || this.connect(), RETRY)
    })
  }

  /** Sends no more, and waits for what is on its way. */
  async finish() {
    clearInterval(this.timer)
    const end = Date.now() + 20_000
    while (Date.now() < end && !(this.isOpen() && this.received === this.sent)) await delay(20)
    if (this.isOpen()) this.lost.silently += this.sent - this.received
    return this.isOpen()
  }

  leave() {
    this.isStopped = true
    clearInterval(this.timer)
    this.client.close()
  }
}

/** The sessions of these processes. */
async function sessionsOf(members) {
  let all = ''
  for (const member of members) all += await member.ask('clients')
  return all
}

/** Kills a part, and gives what was seen. */
async function watch(busName, part) {
  const cluster = await startCluster(busName, part)
  const events = []
  let killed = Infinity
  const tell = (visitor, what, why) => events.push({ at: Date.now() - killed, visitor, what, why })
  const visitors = Array.from({ length: CLIENTS }, (_, i) => new Visitor(cluster.port, WAYS[i % WAYS.length], tell))
  for (let i = 0; i < 500 && !visitors.every((visitor) => visitor.isOpen()); i++) await delay(20)
  await delay(3000)
  const before = events.filter(({ what }) => what !== 'connected').map(({ what, why }) => `${what}: ${why}`)
  assert.deepEqual(before, [], 'nothing fails before')
  const own = await sessionsOf(part.victims(cluster))
  const owned = new Set(visitors.filter(({ client }) => own.includes(client.id)))
  const transports = new Map(visitors.map((visitor) => [visitor, visitor.client.transport.name]))

  killed = Date.now()
  const end = await part.kill(cluster)
  if (end) {
    await delay(part.restart)
    await end()
  }
  await delay(Math.max(0, killed + (part.watch ?? 15_000) - Date.now()))
  const open = await Promise.all(visitors.map((visitor) => visitor.finish()))
  for (const visitor of visitors) visitor.leave()
  const lost = (kind) => visitors.reduce((sum, visitor) => sum + visitor.lost[kind], 0)
  const seen = events.filter(({ at }) => at >= 0)
  const ended = new Set(seen.filter(({ what }) => what === 'ended').map(({ visitor }) => visitor))
  const lived = (group) => `${group.filter((visitor) => !ended.has(visitor)).length} of ${group.length}`
  return {
    cluster,
    title: part.title,
    restart: part.restart,
    own: lived(visitors.filter((visitor) => owned.has(visitor))),
    others: lived(visitors.filter((visitor) => !owned.has(visitor))),
    lines: timeline(seen, { owned, transports }),
    open: open.filter(Boolean).length,
    reported: lost('reported'),
    silently: lost('silently'),
    twice: lost('twice'),
  }
}

/** What happened, in the order in which it began. The same events of all clients are one line, until a second without. */
function timeline(events, { owned, transports }) {
  const lines = []
  const hasEnded = new Set()
  for (const { at, visitor, what, why } of events) {
    const whose = owned.has(visitor) ? 'own' : 'other'
    let text
    if (what === 'connected') text = 'clients are connected again'
    else if (what === 'refused') text = `attempts to connect fail: ${why}`
    else if (hasEnded.has(visitor)) text = `sessions opened since end: ${why}`
    else text = `${whose} sessions end (${transports.get(visitor)}): ${why}`
    if (what === 'ended') hasEnded.add(visitor)
    let line = lines.findLast((each) => each.text === text)
    if (line === undefined || at - line.to > 1000) lines.push((line = { text, count: 0, from: at }))
    line.count++
    line.to = at
  }
  return lines
}

const seconds = (ms) => (ms / 1000).toFixed(1)

function markdown(busName, results) {
  const rows = results.map(
    ({ title, own, others, reported, silently, twice }) =>
      `| ${title} | ${own === '0 of 0' ? '' : own} | ${others} | ${reported} | ${silently} | ${twice} |`,
  )
  const details = results.map(({ title, lines, restart }) => {
    const all = lines.map(({ text, count, from, to }) => {
      const time = seconds(from) === seconds(to) ? seconds(from) : `${seconds(from)} to ${seconds(to)}`
      return { from, row: `| ${time} | ${count} | ${text} |` }
    })
    if (restart) all.push({ from: restart, row: `| ${seconds(restart)} | | the failure is over |` })
    all.sort((a, b) => a.from - b.from)
    if (all.length === 0) all.push({ row: '| | | nothing |' })
    return `### ${title}\n\n| s | count | what clients saw |\n| --- | --- | --- |\n${all.map(({ row }) => row).join('\n')}\n`
  })
  return `## ${busName === 'redis' ? 'Redis' : 'NATS'}

| part | own sessions that lived on | other sessions that lived on | messages reported as lost | lost silently | twice |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}

${details.join('\n')}`
}

for (const busName of ['redis', 'nats'].filter((name) => name === (wanted.bus ?? name))) {
  const skip = find(busName).skip || findHaproxy().skip
  const results = []
  for (const [name, part] of Object.entries(PARTS)) {
    if (name !== (wanted.part ?? name)) continue
    test(`${busName}: ${name}`, { skip }, async () => {
      const { cluster, ...result } = await watch(busName, part)
      results.push(result)
      assert.deepEqual([result.silently, result.twice, result.open], [0, 0, CLIENTS])
      // every session ends: those that nobody has at their ping timeout
      const members = cluster.machines
        .flatMap((machine) => machine.members)
        .filter(({ child }) => child.signalCode === null)
      for (let i = 0; i < 300 && /\w/.test(await sessionsOf(members)); i++) await delay(50)
      assert.doesNotMatch(await sessionsOf(members), /\w/, 'sessions that no client has')
    })
  }
  after(() => {
    if (results.length === 0) return
    const text = markdown(busName, results)
    if (wanted.to) fs.appendFileSync(wanted.to, `${text}\n`)
    else console.log(text)
  })
}
