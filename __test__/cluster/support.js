'use strict'

const assert = require('node:assert/strict')
const { fork } = require('node:child_process')
const { EventEmitter } = require('node:events')
const fs = require('node:fs')
const http2 = require('node:http2')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const tls = require('node:tls')
const eio = require('engine.io-client')
const socketio = require('socket.io-client')
const { RawWebSocket, deadline, defer, eventually, frame, once, request } = require('../support')

/** An empty directory for the members of one test, which is gone after it. */
function clusterDirectory() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-cluster-'))
  defer(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** One process of a cluster. It emits what the process tells. */
class Member extends EventEmitter {
  constructor(program, settings, args = []) {
    super()
    // `within`: the program that starts Node, and its arguments
    const { within = [], ...rest } = settings
    const [execPath, ...execArgv] = [...within, process.execPath, '--expose-gc']
    const env = { ...process.env, NODE_OPTIONS: '', NODE_TEST_CONTEXT: '', MEMBER: JSON.stringify(rest) }
    this.child = fork(path.join(__dirname, program), args, { env, serialization: 'json', execPath, execArgv })
    this.pid = this.child.pid
    this.log = []
    this.asked = 0
    this.child.on('message', ({ event, ...fields }) => {
      if (event !== 'bus') this.log.push({ event, ...fields })
      this.emit(event, fields)
    })
    this.ended = new Promise((resolve) => this.child.on('exit', (code, signal) => resolve({ code, signal })))
    defer(() => this.kill())
  }

  /** Has the process do something, and gives the result. */
  async ask(command, args, ms) {
    const number = ++this.asked
    const answer = new Promise((resolve) => {
      const listener = (fields) => {
        if (fields.number !== number) return
        this.removeListener('result', listener)
        resolve(fields.result)
      }
      this.on('result', listener)
    })
    this.child.send({ command, number, ...args })
    return deadline(answer, `result of ${command}`, ms)
  }

  seen(event) {
    return this.log.filter((entry) => entry.event === event)
  }

  /** What the process has told of an event by now: an answer comes behind it. */
  async told(event) {
    await this.ask('metrics')
    return this.seen(event)
  }

  /** Kills the process as the system would, and waits until it has gone. */
  kill() {
    this.child.kill('SIGKILL')
    return this.ended
  }
}

/**
 * Starts a process that serves sessions of the others.
 *
 * @param {(member: Member) => void} onStart is called before the process runs
 */
async function startMember(settings, program = 'member.js', onStart = () => {}) {
  const member = new Member(program, settings)
  onStart(member)
  const listening = new Promise((resolve, reject) => {
    member.once('listening', resolve)
    member.ended.then(({ code, signal }) => reject(new Error(`the process has ended: ${code ?? signal}`)))
  })
  // on a busy machine a process takes long to start
  const { port } = await deadline(listening, 'start of a process', 60_000)
  member.port = port
  return member
}

/** Starts some processes with one directory. Gives them, and the port of a balancer without stickiness. */
async function startCluster(count, { cluster = {}, options = {}, ...settings } = {}, program) {
  const directory = clusterDirectory()
  const all = { ...settings, options: { ...options, cluster: { directory, ...cluster } } }
  const members = []
  for (let i = 0; i < count; i++) members.push(await startMember(all, program))
  return { directory, members, settings: all, port: await startBalancer(members) }
}

/** Passes each connection to the next process. One that does not accept connections is left out. */
async function startBalancer(members) {
  let next = 0
  const open = new Set()
  const pass = (client, tries) => {
    const member = members[next++ % members.length]
    const server = net.connect({ port: member.port, host: '127.0.0.1', allowHalfOpen: true })
    server.on('error', () => {
      if (server.bytesWritten === 0 && tries > 0) pass(client, tries - 1)
      else client.destroy()
    })
    server.on('connect', () => {
      client.pipe(server)
      server.pipe(client)
      client.on('close', () => server.destroy())
      server.on('close', () => client.destroy())
    })
  }
  const balancer = net.createServer({ allowHalfOpen: true }, (client) => {
    open.add(client)
    client.on('close', () => open.delete(client))
    client.on('error', () => {})
    pass(client, members.length)
  })
  await new Promise((resolve) => balancer.listen(0, '127.0.0.1', resolve))
  defer(() => {
    balancer.close()
    for (const client of open) client.destroy()
  })
  return balancer.address().port
}

/** What all processes have told of an event by now. */
async function allTold(members, event) {
  return (await Promise.all(members.map((member) => member.told(event)))).flat()
}

/** Waits until a number of a process's metrics has this value. */
async function reaches(member, name, value) {
  const end = Date.now() + 30_000
  for (;;) {
    const metrics = await member.ask('metrics')
    if (metrics[name] === value) return
    if (Date.now() > end) throw new Error(`expected ${name} to be ${value}, got ${JSON.stringify(metrics)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** The target of a request. */
function target(query) {
  return `/engine.io/?${new URLSearchParams({ EIO: '4', transport: 'polling', ...query })}`
}

/** Opens a session by polling at one process, and gives its id. */
async function openSession(member, query) {
  const { status, body } = await request({ port: member.port, path: target(query) })
  if (status !== 200) throw new Error(`expected a session, got ${status}: ${body}`)
  return JSON.parse(body.slice(1)).sid
}

/** A poll of a session at any process. */
function poll(member, sid, options) {
  return request({ port: member.port, path: target({ sid }), ...options })
}

/** A POST of a session at any process. */
function post(member, sid, body, options) {
  const headers = { 'Content-Type': 'text/plain;charset=UTF-8', 'Content-Length': Buffer.byteLength(body) }
  return request({ port: member.port, method: 'POST', path: target({ sid }), headers, body, ...options })
}

/** A connection of HTTP/2 to a process, `session`. The function makes a request on it. */
function connectHttp2(member) {
  const session = http2.connect(`https://127.0.0.1:${member.port}`, { rejectUnauthorized: false })
  defer(() => session.destroy())
  const ask = (query, headers = {}, body = undefined) => {
    const answered = new Promise((resolve, reject) => {
      const stream = session.request({ ':path': target(query), ...headers })
      const chunks = []
      let status
      stream.on('response', (head) => (status = head[':status']))
      stream.on('data', (chunk) => chunks.push(chunk))
      stream.on('end', () => resolve({ status, body: Buffer.concat(chunks).toString() }))
      stream.on('error', reject)
      stream.end(body)
    })
    return deadline(answered, 'answer over HTTP/2')
  }
  return Object.assign(ask, { session })
}

/** Upgrades a session by way of a process, with the probe behind the request. */
async function upgrade(front, sid, stream) {
  const path = target({ sid, transport: 'websocket' })
  const head = frame({ payload: '2probe' })
  const websocket =
    stream === undefined
      ? await RawWebSocket.open(front.port, path, { head })
      : await RawWebSocket.over(stream, path, { head }).response()
  if (websocket.status !== 101) throw new Error(`expected 101, got ${websocket.status}: ${websocket.text}`)
  const answer = await websocket.packet()
  if (answer !== '3probe') throw new Error(`expected an answer to the probe, got ${answer}`)
  websocket.sendText('5')
  return websocket
}

/** A message over a WebSocket comes back. */
async function says(websocket, text) {
  websocket.sendText(`4${text}`)
  assert.equal(await websocket.packet(), `4${text}`)
}

/** A connection over TLS. */
async function connectTls(member) {
  const stream = tls.connect({ port: member.port, host: '127.0.0.1', rejectUnauthorized: false })
  defer(() => stream.destroy())
  stream.on('error', () => {})
  await once(stream, 'secureConnect')
  return stream
}

/** Opens a session by polling over TLS, and gives its id. */
async function openSessionTls(member) {
  const to = { port: member.port, host: '127.0.0.1', rejectUnauthorized: false }
  const { body } = await request({ port: to.port, path: target(), createConnection: () => tls.connect(to) })
  return JSON.parse(body.slice(1)).sid
}

/** Messages arrive once, in order, and come back so. */
async function echoes(client, count) {
  const received = []
  client.on('message', (data) => received.push(typeof data === 'string' ? data : Buffer.from(data)))
  const expected = []
  for (let i = 0; i < count; i++) {
    const data = i % 4 === 3 ? Buffer.from([i, 0, 255]) : `message ${i} €`
    expected.push(data)
    client.send(data)
    if (i % 5 === 4) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const all = new Promise((resolve) => {
    const look = () => received.length >= count && resolve()
    client.on('message', look)
    look()
  })
  await deadline(all, `${count} echoes, of which ${received.length} came`)
  return { received, expected }
}

/** Sessions end by a POST that is too large (`maxHttpBufferSize` is 1000), and by one that breaks off. */
async function endByFailedPosts(owner, front) {
  const sid = await openSession(owner)
  const closed = once(owner, 'close')
  assert.equal((await post(front, sid, `4${'x'.repeat(2000)}`)).status, 413)
  assert.equal((await closed)[0].reason, 'transport error')

  const other = await openSession(owner)
  const broken = once(owner, 'close')
  const headers = { 'Content-Type': 'text/plain', 'Content-Length': 100 }
  const half = request({ port: front.port, method: 'POST', path: target({ sid: other }), headers, body: null })
  half.req.write('4half', () => setTimeout(() => half.req.destroy(), 50))
  const [{ reason, why }] = await broken
  assert.deepEqual([reason, why], ['transport error', 'data request connection closed prematurely'])
}

/** A relayed connection ends by the close of the server that relays it, and its owner hears of that. */
async function endByClose(owner, front, websocket) {
  const [closed, over] = [once(owner, 'close'), once(front, 'closed')]
  await front.ask('close')
  await websocket.end()
  assert.equal((await closed)[0].reason, 'transport close')
  await over
}

/**
 * Opens a client of engine.io-client by each of these transports, has them all get their messages back, and returns them.
 *
 * @param {string[][]} ways
 */
async function openEchoing(port, ways) {
  const clients = ways.map((transports) => new eio.Socket(`http://127.0.0.1:${port}`, { transports }))
  for (const client of clients) {
    client.on('error', () => {})
    defer(() => client.close())
  }
  await Promise.all(clients.map((client) => once(client, 'open')))
  for (const { received, expected } of await Promise.all(clients.map((client) => echoes(client, 20)))) {
    assert.deepEqual(received, expected)
  }
  return clients
}

/** Has four clients of Socket.IO get acknowledgements with binary data, and leave. */
async function acknowledges(members, port, transports) {
  const clients = Array.from({ length: 4 }, () =>
    socketio(`http://127.0.0.1:${port}`, { transports, forceNew: true, reconnection: false }),
  )
  for (const client of clients) defer(() => client.disconnect())
  await Promise.all(clients.map((client) => once(client, 'connect')))
  for (let i = 0; i < 10; i++) {
    const answers = await Promise.all(clients.map((client) => client.emitWithAck('echo', i, Buffer.from([i]))))
    for (const [number, bytes] of answers) assert.deepEqual([number, Buffer.from(bytes)], [i, Buffer.from([i])])
  }
  assert.equal((await allTold(members, 'connection')).length, 4)
  for (const client of clients) client.disconnect()
  await eventually(() => members.flatMap((member) => member.seen('disconnect')).length, 4)
}

module.exports = {
  acknowledges,
  allTold,
  clusterDirectory,
  connectHttp2,
  connectTls,
  echoes,
  endByClose,
  endByFailedPosts,
  openEchoing,
  openSession,
  openSessionTls,
  poll,
  post,
  reaches,
  says,
  startBalancer,
  startCluster,
  startMember,
  target,
  upgrade,
}
