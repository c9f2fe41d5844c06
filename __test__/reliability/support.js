'use strict'

// Helpers of the reliability suite, on top of those of the behaviour suite.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const eio = require('engine.io-client')
const support = require('../support')

const { defer, deadline, delay, once, frame, upgradeRequest } = support

/** What the process `pid` holds: descriptors, threads, resident memory and its peak in MiB. Linux only. */
function usage(pid = 'self') {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8')
  const kib = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1])
  return {
    descriptors: fs.readdirSync(`/proc/${pid}/fd`).length,
    threads: fs.readdirSync(`/proc/${pid}/task`).length,
    rss: kib('VmRSS') / 1024,
    peak: kib('VmHWM') / 1024,
  }
}

/** The suite counts descriptors and threads where the system tells them. */
const skip = process.platform === 'linux' ? false : 'counts in /proc'

/** Real clients that echo what they get, as fast as it comes, by each way in. */
function traffic(port, { websockets = 5, pollings = 5, upgrading = 5, host = '127.0.0.1' } = {}) {
  const clients = []
  const all = { opened: 0, closed: 0, messages: 0, clients, stop: () => clients.forEach((one) => one.close()) }
  /** Whether one has paused polling for its upgrade: the client hears of no end that comes between. */
  all.upgrading = () => clients.some((one) => one.upgrading)
  const waiters = []
  const changed = () => {
    for (const waiter of [...waiters]) {
      if (waiter.test()) {
        waiters.splice(waiters.indexOf(waiter), 1)
        waiter.resolve()
      }
    }
  }
  /** Resolves when `test(all)` holds. */
  all.until = (test, what, ms = 10000) => {
    const reached = new Promise((resolve) => waiters.push({ test: () => test(all), resolve }))
    changed()
    return deadline(reached, what, ms)
  }
  const open = (transports) => {
    const one = new eio.Socket(`ws://${host}:${port}`, { transports, upgrade: true })
    clients.push(one)
    one.on('error', () => {})
    one.on('open', () => {
      all.opened++
      one.send('x'.repeat(100))
      one.send(Buffer.alloc(100))
      changed()
    })
    one.on('message', (data) => {
      all.messages++
      one.send(data)
      changed()
    })
    one.on('close', () => {
      all.closed++
      changed()
    })
  }
  for (let i = 0; i < websockets; i++) open(['websocket'])
  for (let i = 0; i < pollings; i++) open(['polling'])
  for (let i = 0; i < upgrading; i++) open(['polling', 'websocket'])
  defer(all.stop)
  return all
}

/**
 * Starts `fixtures/<name>.js` as a server process: its first line tells `{ port }`. `next()` is its next line;
 * `ended` resolves with `{ code, signal, stderr, ms }`.
 */
async function serve(name, args = [], { env } = {}) {
  const file = path.join(__dirname, 'fixtures', `${name}.js`)
  const child = spawn(process.execPath, ['--expose-gc', file, ...args.map(String)], {
    env: { ...process.env, NODE_OPTIONS: '', NODE_TEST_CONTEXT: '', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  defer(() => child.kill('SIGKILL'))
  const lines = []
  let text = ''
  let stderr = ''
  child.stdin.on('error', () => {})
  child.stdout.on('data', (chunk) => {
    text += chunk
    const parts = text.split('\n')
    text = parts.pop()
    lines.push(...parts.filter((line) => /^[[{"]/.test(line)).map((line) => JSON.parse(line)))
    child.emit('line')
  })
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const started = Date.now()
  let over = false
  const ended = new Promise((resolve) => {
    child.on('close', (code, signal) => {
      over = true
      child.emit('line')
      resolve({ code, signal, stderr, ms: Date.now() - started })
    })
  })
  const server = {
    child,
    pid: child.pid,
    lines,
    ended: (ms = 8000) => deadline(ended, `end of ${name} ${args.join(' ')}`, ms),
    /** Tells the server something: a line on its standard input. */
    tell: (command) => child.stdin.write(`${command}\n`),
    async next(ms = 10000) {
      const end = Date.now() + ms
      while (lines.length === 0) {
        if (over) throw new Error(`${name} ended: ${stderr}`)
        await once(child, 'line', Math.max(1, end - Date.now()))
      }
      return lines.shift()
    },
  }
  Object.assign(server, await server.next())
  return server
}

/** Waits until descriptors and threads are back at `before`; tells the last count otherwise. */
async function settlesAt(before, ms = 5000) {
  const { descriptors, threads } = before
  await support.eventually(
    () => {
      global.gc?.()
      const now = usage()
      return { descriptors: Math.max(0, now.descriptors - descriptors), threads: Math.max(0, now.threads - threads) }
    },
    { descriptors: 0, threads: 0 },
    ms,
  )
}

/** A TCP connection that reads only when told to: `{ socket, read() }`. */
async function deafPeer(port, target, options) {
  const socket = net.connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  defer(() => socket.destroy())
  await once(socket, 'connect')
  socket.pause()
  socket.write(upgradeRequest(target, options))
  return socket
}

module.exports = { ...support, eio, usage, skip, traffic, serve, settlesAt, deafPeer, frame, delay }
