'use strict'

// Four processes behind a balancer without stickiness: any of them takes any request, and the option `cluster` (see
// worker.js) brings it to the process that owns the session. This is the primary process: it starts the others, passes
// requests on to them, and shows a page with what happens.

const { fork } = require('node:child_process')
const cluster = require('node:cluster')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { balance } = require('./balancer')

const PROCESSES = 4
const CLIENTS = Number(process.env.CLIENTS ?? 24)

const files = {
  '/': [path.join(__dirname, 'public', 'index.html'), 'text/html; charset=utf-8'],
  '/engine.io.js': [clientBundle(), 'text/javascript'],
}

/** The processes that run in each of the four places; for a while two of them, if one is restarted. */
const places = Array.from({ length: PROCESSES }, () => [])
const pages = new Set()
let clients = { open: 0, echoes: 0, gaps: 0, reconnects: 0 }

const front = http.createServer((req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://localhost')
  if (pathname === '/engine.io/') return balancer.pass(req, res)
  if (pathname === '/events') return show(res)
  if (req.method === 'POST' && pathname === '/restart') return command(restart, searchParams, res)
  if (req.method === 'POST' && pathname === '/kill') return command(kill, searchParams, res)
  const [file, type] = files[pathname] ?? []
  if (file === undefined) return res.writeHead(404).end('not found')
  res.setHeader('content-type', type)
  fs.createReadStream(file).pipe(res)
})

// ---- the processes ---------------------------------------------------------------------------

cluster.setupPrimary({ exec: path.join(__dirname, 'worker.js') })

/** Starts a process, and resolves with it and its port when it listens. */
function start(place) {
  const worker = cluster.fork()
  const one = { worker, pid: worker.process.pid, state: 'starting', sessions: [], counts: {} }
  places[place].push(one)
  worker.on('message', (news) => Object.assign(one, news))
  // it has not got a message, because it ends
  worker.on('error', () => {})
  worker.on('exit', (code, signal) => {
    places[place] = places[place].filter((other) => other !== one)
    const how = code === 0 ? 'all its sessions were closed in order' : (signal ?? `it has failed with code ${code}`)
    log(`Process ${place + 1} (${one.pid}) has ended: ${how}.`)
    // not at once: one that cannot start would start without end
    if (places[place].length === 0) setTimeout(() => !isEnding && start(place), 500)
  })
  return new Promise((resolve) => {
    worker.on('listening', ({ port }) => {
      one.state = 'running'
      resolve({ one, port })
    })
  })
}

/** The next process is there before this one goes. */
async function restart(place) {
  const [old] = places[place]
  if (old?.state !== 'running') return
  old.state = 'restarting'
  const { one } = await start(place)
  // killed in the meantime
  if (!places[place].includes(old)) return
  log(`Process ${place + 1}: ${one.pid} has started, and ${old.pid} closes its ${old.sessions.length} sessions.`)
  old.worker.send('drain')
}

function kill(place) {
  places[place][0]?.worker.process.kill('SIGKILL')
}

function command(run, searchParams, res) {
  const place = Number(searchParams.get('place')) - 1
  if (places[place] === undefined) return res.writeHead(400).end()
  run(place)
  res.writeHead(204).end()
}

// ---- the page --------------------------------------------------------------------------------

function show(res) {
  res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  pages.add(res)
  res.on('close', () => pages.delete(res))
}

function tell(event, data) {
  for (const res of pages) res.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
}

function log(text) {
  console.log(text)
  tell('log', text)
}

setInterval(() => {
  const processes = places.map((all) =>
    all.map(({ pid, state, sessions, counts }) => ({ pid, state, sessions, counts })),
  )
  tell('state', { processes, clients })
}, 250)

function clientBundle() {
  const main = path.dirname(require.resolve('engine.io-client/package.json'))
  return path.join(main, 'dist', 'engine.io.min.js')
}

// ---- start and end ---------------------------------------------------------------------------

let isEnding = false
let balancer

Promise.all(places.map((_, place) => start(place))).then(([{ port }]) => {
  balancer = balance(front, port)
  front.listen(process.env.PORT ?? 3000, () => {
    const url = `http://localhost:${front.address().port}`
    console.log(`Four processes behind one balancer: ${url}`)
    const child = fork(path.join(__dirname, 'clients.js'), [url, String(CLIENTS)])
    child.on('message', ({ lines, ...numbers }) => {
      clients = numbers
      lines.forEach(log)
    })
  })
})

// the other processes end with this one
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    isEnding = true
    process.exit()
  })
}
