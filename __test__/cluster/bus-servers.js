'use strict'

// Machines that are connected by real servers of Redis and NATS, with the clients that applications use.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const socketio = require('socket.io-client')
const { defer, eventually, once, request } = require('../support')
const { accepts } = require('../support/accepts')
const { findNats, findRedis } = require('../support/debian')
const { becomes, meet, startGateways, startMachines, until } = require('./bus-support')
const { openEchoing, openSession, poll, post } = require('./support')

const WAYS = [['polling'], ['polling', 'websocket'], ['websocket']]

/** The clients, each with its server. */
const CLIENTS = { redis: 'redis', ioredis: 'redis', nats: 'nats' }

/** The servers that were looked for. */
const found = {}

function find(server) {
  if (process.platform !== 'linux') return { skip: 'Debian packages are for Linux' }
  found[server] ??= server === 'redis' ? findRedis() : findNats()
  return found[server]
}

/** Starts a server at a port, and waits until it accepts connections. */
async function startServer(name, port, options = []) {
  const { program, env } = find(name)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-'))
  const args =
    name === 'redis'
      ? ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', folder, ...options]
      : ['--addr', '127.0.0.1', '--port', port, ...options]
  const child = spawn(program, args.map(String), { env, stdio: 'ignore' })
  const ended = new Promise((resolve) => child.on('exit', resolve))
  const stop = async () => {
    child.kill('SIGKILL')
    await ended
    fs.rmSync(folder, { recursive: true, force: true })
  }
  defer(stop)
  for (let tries = 0; !(await accepts(port)); tries++) {
    assert.ok(tries < 500 && child.exitCode === null, `${name} does not start`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { child, stop }
}

let lastPort = 0

/**
 * A port that is free while the server is away, too: the system gives none of these to programs that ask for any, and
 * tests that run at the same time take others.
 */
async function freePort() {
  for (;;) {
    const port = 20_000 + (process.pid % 1500) * 8 + (lastPort++ % 8)
    if (!(await accepts(port))) return port
  }
}

/** Tests a client with its server. */
function testClient(client) {
  const server = CLIENTS[client]
  const { skip } = find(server)

  test(`${client}: engine.io-client over all transports behind a round robin of two machines`, { skip }, async () => {
    const port = await freePort()
    await startServer(server, port)
    const { members, port: balancer } = await startMachines(2, { bus: { name: client, port } })
    const clients = await openEchoing(balancer, [...WAYS, ...WAYS])
    await eventually(() => clients.filter(({ transport }) => transport.name === 'websocket').length, 4)
    const ended = members.flatMap((member) => [...member.seen('close'), ...member.seen('connection_error')])
    assert.deepEqual(ended, [], 'no session ends, no request is refused')
    const numbers = await Promise.all(members.map((member) => member.ask('metrics')))
    assert.ok(numbers.some(({ bus }) => bus.asked > 0))
  })

  test(`${client}: socket.io-client over all transports`, { skip }, async () => {
    const port = await freePort()
    await startServer(server, port)
    const { port: balancer } = await startMachines(2, { bus: { name: client, port } }, 'member-socketio.js')
    const clients = WAYS.map((transports) =>
      socketio(`http://127.0.0.1:${balancer}`, { transports, forceNew: true, reconnection: false }),
    )
    for (const one of clients) defer(() => one.disconnect())
    await Promise.all(clients.map((one) => once(one, 'connect')))
    for (let i = 0; i < 10; i++) {
      const answers = await Promise.all(clients.map((one) => one.emitWithAck('echo', i, Buffer.from([i, 255]))))
      for (const [number, bytes] of answers) assert.deepEqual([number, Buffer.from(bytes)], [i, Buffer.from([i, 255])])
    }
  })

  if (client === 'redis') testGateways(client, server, skip)

  test(`${client}: a server that is killed and started again`, { skip }, async () => {
    const port = await freePort()
    const first = await startServer(server, port)
    const { members } = await startMachines(2, { bus: { name: client, port } })
    const [owner, front] = members
    const sid = await openSession(owner)
    await post(front, sid, '4before')
    assert.equal((await poll(front, sid)).body, '4before')
    // the owner knows that the client has the answer
    await until(owner, ({ served }) => served === 0, 'no request')
    await first.stop()
    const answer = await poll(front, sid, { ms: 12_000 })
    assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '1'])
    const local = await openSession(front)
    await post(front, local, '4local')
    assert.equal((await poll(front, local)).body, '4local')
    for (const member of members) await until(member, ({ nodes }) => nodes === 0, 'no nodes')

    await startServer(server, port)
    await meet(members)
    await post(front, sid, '4after')
    assert.equal((await poll(front, sid)).body, '4after')
  })

  // the application has no connection to NATS before it has connected
  if (client !== 'nats') testLateServer(client, server, skip)

  test(`${client}: what a server has subscribed to ends with it`, { skip }, async () => {
    const [port, monitor] = [await freePort(), await freePort()]
    await startServer(server, port, server === 'nats' ? ['-m', monitor] : [])
    const { members } = await startMachines(2, { bus: { name: client, port } })
    const subscriptions = async () => (await SUBSCRIPTIONS[server](server === 'nats' ? monitor : port)).join()
    assert.equal(await subscriptions(), '2,2')
    await members[0].ask('close')
    await becomes(subscriptions, '2')
  })
}

/** For each connection that subscribes, to how many channels it does, as the server tells it. */
const SUBSCRIPTIONS = {
  async redis(port) {
    const socket = net.connect(port, '127.0.0.1')
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (data) => (text += data))
    socket.write('CLIENT LIST TYPE pubsub\r\nQUIT\r\n')
    await once(socket, 'end')
    return Array.from(text.matchAll(/ sub=(\d+)/g), ([, count]) => Number(count))
  },
  async nats(port) {
    const { body } = await request({ port, path: '/connz' })
    const counts = JSON.parse(body).connections.map(({ subscriptions }) => subscriptions)
    return counts.filter((count) => count > 0)
  },
}

function testGateways(client, server, skip) {
  test(`${client}: two machines, on each a process with the bus and one without`, { skip }, async () => {
    const port = await freePort()
    await startServer(server, port)
    const { members, inner, farInner, port: balancer } = await startGateways({ bus: { name: client, port } })
    await openEchoing(balancer, [...WAYS, ...WAYS])
    const ended = members.flatMap((member) => [...member.seen('close'), ...member.seen('connection_error')])
    assert.deepEqual(ended, [], 'no session ends, no request is refused')
    const sid = await openSession(inner)
    await post(farInner, sid, '4a')
    assert.equal((await poll(farInner, sid)).body, '4a')
  })
}

function testLateServer(client, server, skip) {
  test(`${client}: machines that start before the server find each other`, { skip }, async () => {
    const port = await freePort()
    let started = 0
    const hub = { join: (member) => member.once('listening', () => started++) }
    const starting = startMachines(2, { hub, bus: { name: client, port } })
    await eventually(() => started, 2, 60_000)
    await startServer(server, port)
    const { members } = await starting
    const [owner, front] = members
    const sid = await openSession(owner)
    await post(front, sid, '4a')
    assert.equal((await poll(front, sid)).body, '4a')
  })
}

module.exports = { accepts, find, freePort, startServer, testClient }
