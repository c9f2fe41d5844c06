'use strict'

// Soak: node __test__/reliability/soak.js [--seconds 120] [--listen] [--verbose]
//
// Clients of every kind come, talk, upgrade and go, in good order and in bad, against an echo server in a process of
// its own. Descriptors, threads and memory are sampled; after a warm-up of a third of the time they must stay flat.
// The last line is a JSON report; the exit code is 1 if something grew or a message was lost.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const WebSocket = require('ws')
const eio = require('engine.io-client')

const args = process.argv.slice(2)
const seconds = Number(args[args.indexOf('--seconds') + 1]) || 120
const native = args.includes('--listen')
const verbose = args.includes('--verbose')

/** Growth after the warm-up that counts as flat: allocators and heaps breathe. MiB per minute, and in all. */
const MAX_SLOPE = 6
const MAX_GROWTH = seconds < 60 ? 24 : seconds < 120 ? 6 : 12

/** Descriptors of a server without clients. */
const MAX_LEFT = 40

/** V8's young generation grows by steps of 16 MB when it likes, and is as large afterwards: no leak, no slope. */
const SMALL_YOUNG = '--max-semi-space-size=1'

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const once = (emitter, event) => new Promise((resolve) => emitter.once(event, (...list) => resolve(list)))
const totals = { sessions: 0, upgrades: 0, messages: 0, resets: 0, lost: 0, failures: 0 }

function fail(why) {
  totals.failures++
  if (totals.failures <= 5) console.error(why)
}

/** A real client that sends some messages and wants each of them back, in order. */
async function visitor(port, transports) {
  const client = new eio.Socket(`ws://127.0.0.1:${port}`, { transports })
  client.on('error', () => {})
  const expected = []
  let open = true
  client.on('close', () => (open = false))
  client.on('upgrade', () => totals.upgrades++)
  const echoed = new Promise((resolve) => {
    client.on('message', (data) => {
      totals.messages++
      const wanted = expected.shift()
      if (String(data) !== String(wanted))
        fail(`got ${String(data).slice(0, 20)}, expected ${String(wanted).slice(0, 20)}`)
      if (expected.length === 0) resolve(true)
    })
    client.on('close', () => resolve(false))
  })
  await Promise.race([once(client, 'open'), once(client, 'close')])
  if (!open) return fail(`${transports} was closed before it was open`)
  totals.sessions++
  const count = 1 + Math.floor(Math.random() * 20)
  for (let i = 0; i < count; i++) {
    const size = Math.random() < 0.1 ? 20_000 : 20
    const data = Math.random() < 0.5 ? `${i}:${'x'.repeat(size)}` : Buffer.from(`${i}:${'y'.repeat(size)}`)
    expected.push(data)
    client.send(data)
    if (Math.random() < 0.2) await delay(Math.random() * 20)
  }
  const whole = await Promise.race([echoed, delay(20_000).then(() => false)])
  if (!whole) {
    totals.lost += expected.length
    fail(`${transports}: ${expected.length} messages missing`)
  }
  client.close()
}

/** A websocket that ends without a word, at some point. */
async function vandal(port) {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/engine.io/?EIO=4&transport=websocket`)
  ws.on('error', () => {})
  await Promise.race([once(ws, 'open'), once(ws, 'close')])
  for (let i = 0; i < 5; i++) if (ws.readyState === 1) ws.send('4bye')
  await delay(Math.random() * 20)
  if (ws._socket) ws._socket.resetAndDestroy()
  totals.resets++
}

/** A polling client that opens a session, perhaps polls, and is never seen again. */
async function ghost(port) {
  const get = (query) =>
    new Promise((resolve) => {
      const req = http.get(
        { port, host: '127.0.0.1', path: `/engine.io/?EIO=4&transport=polling${query}`, agent: false },
        (res) => {
          let body = ''
          res.on('data', (chunk) => (body += chunk))
          res.on('end', () => resolve(body))
        },
      )
      req.on('error', () => resolve(''))
      if (query) setTimeout(() => req.destroy(), Math.random() * 30)
    })
  const sid = /"sid":"([^"]+)"/.exec(await get(''))
  if (sid && Math.random() < 0.5) await get(`&sid=${sid[1]}`)
}

const KINDS = [
  (port) => visitor(port, ['websocket']),
  (port) => visitor(port, ['polling']),
  (port) => visitor(port, ['polling', 'websocket']),
  vandal,
  ghost,
]

function sample(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8')
  return {
    at: Date.now(),
    descriptors: fs.readdirSync(`/proc/${pid}/fd`).length,
    threads: fs.readdirSync(`/proc/${pid}/task`).length,
    rss: Number(/^VmRSS:\s+(\d+)/m.exec(status)[1]) / 1024,
  }
}

/** MiB per minute, by least squares. */
function slope(samples) {
  const x = samples.map(({ at }) => (at - samples[0].at) / 60_000)
  const y = samples.map(({ rss }) => rss)
  const mean = (list) => list.reduce((sum, one) => sum + one, 0) / list.length
  const [mx, my] = [mean(x), mean(y)]
  const above = x.reduce((sum, one, i) => sum + (one - mx) * (y[i] - my), 0)
  return above / (x.reduce((sum, one) => sum + (one - mx) ** 2, 0) || 1)
}

async function main() {
  const opts = { native, pingInterval: 1000, pingTimeout: 1000, quiet: false, allowEIO3: true }
  const server = spawn(
    process.execPath,
    ['--expose-gc', SMALL_YOUNG, path.join(__dirname, 'fixtures', 'flow.js'), JSON.stringify(opts)],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '', NODE_TEST_CONTEXT: '', SOAK: '1' },
    },
  )
  let died
  server.on('exit', (code, signal) => (died = { code, signal }))
  process.on('exit', () => server.kill('SIGKILL'))
  const lines = []
  let text = ''
  server.stdout.on('data', (chunk) => {
    const parts = (text + chunk).split('\n')
    text = parts.pop()
    lines.push(...parts.filter(Boolean).map((line) => JSON.parse(line)))
    server.emit('line')
  })
  const tell = async (command) => {
    server.stdin.write(`${command}\n`)
    while (lines.length === 0) await once(server, 'line')
    return lines.shift()
  }
  while (lines.length === 0) await once(server, 'line')
  const { port } = lines.shift()

  const end = Date.now() + seconds * 1000
  const samples = []
  let on = true
  const lanes = Array.from({ length: 20 }, async (_, lane) => {
    while (on && !died) {
      await KINDS[lane % KINDS.length](port).catch((error) => fail(error.message))
    }
  })
  while (Date.now() < end && !died) {
    await delay(Math.max(500, (seconds * 1000) / 60))
    if (died) break
    await tell('tell') // collects garbage first
    samples.push(sample(server.pid))
    if (verbose) console.error(JSON.stringify({ ...samples.at(-1), ...totals }))
  }
  on = false
  await Promise.all(lanes)
  // ghosts go by the heartbeat
  let left
  for (let i = 0; i < 100 && !died; i++) {
    left = await tell('tell')
    if (left.clients === 0) break
    await delay(100)
  }
  await delay(500)
  let last = died ? samples.at(-1) : sample(server.pid)
  // those whose clients have gone
  for (let i = 0; i < 50 && !died && last.descriptors > MAX_LEFT; i++) {
    await delay(100)
    last = sample(server.pid)
  }
  const settled = samples.slice(Math.floor(samples.length / 3))
  const half = Math.floor(settled.length / 2)
  const most = (list, name) => Math.max(...list.map((one) => one[name]))
  const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]
  const report = {
    seconds,
    way: native ? 'listen' : 'attach',
    ...totals,
    clientsLeft: left && left.clients,
    descriptors: { first: settled[0].descriptors, most: most(settled, 'descriptors'), last: last.descriptors },
    threads: { first: settled[0].threads, most: most(settled, 'threads') },
    rss: {
      first: Math.round(settled[0].rss),
      last: Math.round(settled.at(-1).rss),
      // short runs give no meaningful slope, a megabyte in ten seconds is six in a minute: there the halves are compared
      slopePerMinute: Number(slope(settled).toFixed(2)),
      growth: Number(
        (
          median(settled.slice(half).map(({ rss }) => rss)) - median(settled.slice(0, half).map(({ rss }) => rss))
        ).toFixed(2),
      ),
    },
    died,
  }
  const bad = []
  if (died) bad.push('the server ended')
  if (totals.failures > 0) bad.push('failures')
  if (report.clientsLeft !== 0) bad.push('sessions left')
  if (report.threads.most > report.threads.first) bad.push('threads grew')
  // what is open at the same time varies with the clients: 20 at most, two descriptors each, and those that linger
  if (report.descriptors.most > settled[0].descriptors + 60) bad.push('descriptors grew')
  if (report.descriptors.last > MAX_LEFT) bad.push('descriptors left')
  if (report.rss.growth > MAX_GROWTH || (seconds >= 120 && report.rss.slopePerMinute > MAX_SLOPE))
    bad.push('memory grew')
  console.log(JSON.stringify({ ...report, bad }))
  server.kill('SIGKILL')
  process.exit(bad.length > 0 ? 1 : 0)
}

main()
