'use strict'

// Three machines, which are network namespaces: their links delay, reorder and lose packets. A fourth namespace has the
// bus and a balancer without stickiness.

const assert = require('node:assert/strict')
const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { test } = require('node:test')
const eio = require('engine.io-client')
const socketio = require('socket.io-client')
const { SLOWDOWN, deadline, defer, delay, eventually, once } = require('../support')
const { findHaproxy, findNats, findRedis } = require('../support/debian')
const { KEY, meet } = require('./bus-support')
const { findNamespaces, namespaces, says, startNetwork } = require('./namespaces')
const { clusterDirectory, startMember, target } = require('./support')

const WAYS = [['polling'], ['polling', 'websocket'], ['websocket']]
/** The longest time for an answer if the owner cannot be reached, with some for a busy machine, in ms. */
const BOUND = 12_000

const SERVERS = {
  redis: { find: findRedis, port: 6379, args: ['--bind', '0.0.0.0', '--protected-mode', 'no', '--save', ''] },
  nats: { find: findNats, port: 4222, args: ['--addr', '0.0.0.0'] },
}

/** Finds the programs of a test, or says which one is missing. */
function find(bus) {
  const { skip } = findNamespaces()
  if (skip) return { skip }
  const haproxy = findHaproxy()
  const server = SERVERS[bus].find()
  return { haproxy, server, skip: haproxy.skip || server.skip }
}

/** Runs a program on a machine until the end of the test. */
function run({ within: [ip, ...args] }, { program, env }, more, stdio) {
  const cwd = clusterDirectory()
  const child = spawn(ip, [...args, program, ...more], { env, stdio, cwd })
  const ended = new Promise((resolve) => child.on('exit', resolve))
  defer(() => {
    child.kill('SIGKILL')
    return ended
  })
  return child
}

async function startBus(machine, name, server) {
  const child = run(machine, server, SERVERS[name].args, ['ignore', 'pipe', 'pipe'])
  await says(child, name === 'redis' ? 'stdout' : 'stderr', /ready/i)
}

/** Starts HAProxy on a machine, and gives its port, which is on this one. */
async function startBalancer(machine, haproxy, servers) {
  const file = path.join(clusterDirectory(), 'config')
  fs.writeFileSync(
    file,
    `defaults
  mode http
  timeout connect 1s
  timeout client 120s
  timeout server 120s
  option redispatch 1
frontend public
  bind fd@3
  default_backend app
backend app
  balance roundrobin
  default-server check inter 500ms fall 2
${servers.map((server, at) => `  server app${at} ${server}`).join('\n')}
`,
  )
  const listener = net.createServer()
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  const { port } = listener.address()
  run(machine, haproxy, ['-db', '-q', '-f', file], ['ignore', 'inherit', 'inherit', listener._handle.fd])
  listener.close()
  return port
}

/** Starts two processes on each machine. */
function startProcesses(machines, bus) {
  return Promise.all(
    machines.map(({ within }) => {
      const at = (name) => ({ directory: path.join(directory, name), key: `${KEY}: ${name}` })
      const directory = clusterDirectory()
      // another server has the other upgrades
      const options = { cluster: at('engine.io'), pingInterval: 120_000, destroyUpgrade: false }
      const settings = { within, host: '0.0.0.0', bus, options, socketio: at('socket.io') }
      return Promise.all([startMember(settings), startMember(settings)])
    }),
  )
}

/** Waits until the processes of both clusters know each other. */
async function meetAll(members) {
  await meet(members)
  await meet(members, members.length - 1, 'metricsOfSocketIo')
}

/** A client that sends numbers and has them back, until it hears that its session has ended. */
class Talk {
  constructor() {
    this.sent = 0
    this.received = []
    this.end = undefined
    this.timer = setInterval(() => this.end ?? this.send(this.sent++), 40)
    defer(() => clearInterval(this.timer))
  }

  /** Waits until all is back, or the session has ended. */
  async stop() {
    clearInterval(this.timer)
    const last = Date.now() + 30_000 * SLOWDOWN
    while (this.end === undefined && this.received.length < this.sent && Date.now() < last) await delay(20)
    // what comes twice, comes now
    await delay(100)
    const expected = Array.from({ length: this.end ? this.received.length : this.sent }, (_, i) => i)
    assert.deepEqual(this.received, expected, `${this.name}: each once, and in order`)
  }
}

class EngineTalk extends Talk {
  static async start(port, transports) {
    const client = new eio.Socket(`http://127.0.0.1:${port}`, { transports })
    defer(() => client.close())
    await once(client, 'open', 30_000)
    return new EngineTalk(client)
  }

  constructor(client) {
    super()
    this.name = `engine.io-client over ${client.opts.transports}`
    this.transport = () => client.transport.name
    this.send = (number) => client.send(String(number))
    client.on('message', (data) => this.received.push(Number(data)))
    client.on('close', (reason) => (this.end = reason))
  }
}

class SocketIoTalk extends Talk {
  static async start(port, transports) {
    const client = socketio(`http://127.0.0.1:${port}`, { transports, forceNew: true, reconnection: false })
    defer(() => client.disconnect())
    await once(client, 'connect', 30_000)
    return new SocketIoTalk(client)
  }

  constructor(client) {
    super()
    this.name = `socket.io-client over ${client.io.opts.transports}`
    const { engine } = client.io
    this.transport = () => engine.transport.name
    const bytes = (number) => Buffer.from([number, 255])
    this.send = (number) =>
      client.emit('echo', number, bytes(number), ([back, content]) => {
        this.received.push(bytes(number).equals(content) ? back : 'other bytes')
      })
    client.on('disconnect', (reason) => (this.end = reason))
  }
}

/** Starts a client of each kind for each way, at the same time. */
function startTalks(port) {
  const kinds = [EngineTalk, SocketIoTalk]
  return Promise.all(kinds.flatMap((Kind) => WAYS.map((transports) => Kind.start(port, transports))))
}

/** Everything that was sent comes back, and no session ends. */
async function allBack(talks) {
  await Promise.all(talks.map((talk) => talk.stop()))
  for (const talk of talks) assert.equal(talk.end, undefined, `${talk.name} lives on`)
}

/** A request at a process, from its machine. */
function ask(member, query, body) {
  const method = body === undefined ? 'GET' : 'POST'
  return member.ask('request', { port: member.port, path: target(query), method, body }, 2 * BOUND)
}

async function openSession(member) {
  const { body } = await ask(member, {})
  return JSON.parse(body.slice(1)).sid
}

/** A message to a session comes back, by way of any process. */
async function echoes(member, sid, text) {
  assert.equal((await ask(member, { sid }, `4${text}`)).body, 'ok')
  assert.equal((await ask(member, { sid })).body, `4${text}`)
}

async function assertUnavailable(member, sid) {
  const start = Date.now()
  const { status, headers } = await ask(member, { sid })
  assert.deepEqual([status, headers['retry-after']], [503, '1'])
  assert.ok(Date.now() - start < BOUND * SLOWDOWN, 'within the bound')
}

/** How a machine is parted from the others. */
const PARTINGS = {
  'nobody hears of': [(machine) => machine.cut(), (machine) => machine.join()],
  'takes its device down': [(machine) => machine.set('down'), (machine) => machine.set('up')],
}

for (const [bus, parting] of [
  ['redis', 'nobody hears of'],
  ['nats', 'takes its device down'],
]) {
  const { haproxy, server, skip } = find(bus)

  test(`${bus}: three machines with delay and loss, and a partition that ${parting}`, { skip }, async (t) => {
    const log = (text) => process.env.FIGURES && t.diagnostic(`${((Date.now() - start) / 1000).toFixed(1)} s: ${text}`)
    const start = Date.now()
    const [hub, ...machines] = await startNetwork(4)
    await startBus(hub, bus, server)
    const processes = await startProcesses(machines, { name: bus, host: hub.address, port: SERVERS[bus].port })
    const members = processes.flat()
    const addresses = machines.flatMap(({ address }, at) => processes[at].map(({ port }) => `${address}:${port}`))
    const port = await startBalancer(hub, haproxy, addresses)
    await meetAll(members)
    log('the processes know each other')

    const first = (await Promise.all([startTalks(port), startTalks(port)])).flat()
    await delay(1500)
    await allBack(first)
    // a busy machine may refuse an upgrade, and the session goes on polling
    const websockets = () => first.filter((talk) => talk.transport() === 'websocket').length
    await eventually(() => websockets() > 4, true, 30_000)
    log(`${first.reduce((sum, talk) => sum + talk.sent, 0)} messages came back; ${websockets()} WebSockets of 8`)

    const [[a, besideA], [b], [c, besideC]] = processes
    const [near, far] = [await openSession(a), await openSession(c)]
    const talks = await startTalks(port)
    const [part, join] = PARTINGS[parting]
    await part(machines[2])
    const refused = Promise.all([assertUnavailable(b, far), assertUnavailable(c, near)])
    await echoes(besideC, far, 'on the machine that is cut off')
    await echoes(besideA, near, 'on another machine')
    await echoes(b, near, 'between the others')
    await refused
    log('503')
    await assertUnavailable(a, far)
    await echoes(besideC, far, 'still on the machine that is cut off')

    await join(machines[2])
    await meetAll(members)
    log('the processes know each other again')
    await echoes(b, far, 'from another machine')
    await echoes(c, near, 'to another machine')
    const again = await startTalks(port)
    await allBack(again)
    await Promise.all(talks.map((talk) => talk.stop()))
    log(
      `sessions that ended: ${JSON.stringify(talks.map(({ name, end }) => end && `${name}: ${end}`).filter(Boolean))}`,
    )
    // their connections were late, and nothing else
    for (const talk of talks.filter(({ name }) => name.endsWith('over websocket'))) assert.equal(talk.end, undefined)
  })
}

test('what a killed run has left is removed', { skip: findNamespaces().skip }, async () => {
  const { pid } = spawnSync('true')
  const { program } = findNamespaces()
  const name = `engine.io-native-${pid}-1`
  assert.equal(spawnSync(program, ['netns', 'add', name]).status, 0)
  const left = spawn(program, ['netns', 'exec', name, 'sleep', '60'])
  const ended = once(left, 'exit')
  while (spawnSync(program, ['netns', 'pids', name]).stdout.length === 0) await delay(5)
  await startNetwork(1)
  assert.ok(!namespaces().includes(name))
  await deadline(ended, 'the end of its process')
})
