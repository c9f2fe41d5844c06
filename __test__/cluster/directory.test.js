'use strict'

// The directory by which processes find each other, and the option `cluster`.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const { Worker } = require('node:worker_threads')
const { Server, attach, listen, uServer } = require('../..')
const { deadline, defer, eventually, request } = require('../support')
const { clusterDirectory, openSession, poll, says, target, upgrade } = require('./support')

function makeServer(cluster) {
  const server = new Server({ cluster })
  defer(() => server.close())
  return server
}

const messageOf = (file, what) => new RegExp(`^cannot join the cluster: ${file}: ${what}`)

/** The members that have joined and not left. */
const seats = (directory) => fs.readdirSync(directory).filter((name) => name.endsWith('.sock'))

const modeOf = (...names) => fs.statSync(path.join(...names)).mode & 0o777

test('only this user can open what is in the directory', () => {
  const directory = path.join(clusterDirectory(), 'a', 'b')
  makeServer({ directory })
  assert.equal(modeOf(directory), 0o700)
  assert.deepEqual(fs.readdirSync(directory).sort(), ['0.lock', '0.sock', 'key'])
  for (const name of ['0.lock', '0.sock', 'key']) assert.equal(modeOf(directory, name), 0o600)
})

test('a directory that others can open is refused', () => {
  const directory = clusterDirectory()
  fs.chmodSync(directory, 0o750)
  const code = 'ERR_CLUSTER_JOIN'
  assert.throws(() => makeServer({ directory }), { code, message: /expected mode 700, got 750/ })
})

test('a directory in which this user cannot write, or which it cannot enter, is refused', () => {
  const directory = clusterDirectory()
  const code = 'ERR_CLUSTER_JOIN'
  for (const mode of ['500', '600', '300']) {
    fs.chmodSync(directory, parseInt(mode, 8))
    assert.throws(() => makeServer({ directory }), {
      code,
      message: messageOf(directory, `expected mode 700, got ${mode}`),
    })
  }
})

test('if the default directory cannot be used, the error says to give another one', () => {
  const { TMPDIR } = process.env
  process.env.TMPDIR = path.join(clusterDirectory(), 'x'.repeat(100))
  try {
    const message = /expected a path of \d+ bytes at most, got \d+ \(this is the default: give cluster.directory\)$/
    assert.throws(() => makeServer(true), { code: 'ERR_CLUSTER_JOIN', message })
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  }
})

test('attach() refuses the option `cluster` if the server does not have it', () => {
  const httpServer = http.createServer()
  const message = 'attach() does not take the option cluster: write new Server({ cluster })'
  assert.throws(() => new Server().attach(httpServer, { cluster: true }), { name: 'TypeError', message })
  assert.equal(httpServer.listenerCount('request'), 0)
  // so do `attach()` of the package, and Socket.IO, which hand over all options
  makeServer({ directory: clusterDirectory() }).attach(httpServer, { cluster: true })
  new Server().attach(httpServer, { cluster: false })
})

test('a file in place of the directory, and a path that is too long, are refused', () => {
  const directory = clusterDirectory()
  fs.writeFileSync(path.join(directory, 'file'), '')
  const code = 'ERR_CLUSTER_JOIN'
  const file = path.join(directory, 'file')
  assert.throws(() => makeServer({ directory: file }), {
    code,
    message: /file: expected a directory, got something else/,
  })
  fs.symlinkSync(directory, path.join(directory, 'link'))
  const link = path.join(directory, 'link')
  assert.throws(() => makeServer({ directory: link }), { code, message: /expected a directory, got a symbolic link/ })
  const longest = process.platform === 'darwin' ? 92 : 96
  const long = path.join(directory, 'x'.repeat(longest - directory.length))
  const message = new RegExp(`expected a path of ${longest} bytes at most, got ${longest + 1}`)
  assert.throws(() => makeServer({ directory: long }), { code, message })
  makeServer({ directory: long.slice(0, -1), number: 65_535 })
})

test('an error of the system names the file', () => {
  const directory = clusterDirectory()
  const code = 'ERR_CLUSTER_JOIN'
  fs.writeFileSync(path.join(directory, 'file'), '')
  const below = path.join(directory, 'file', 'below')
  const cannotMake = 'expected a directory that is there or can be made, got Not a directory'
  assert.throws(() => makeServer({ directory: below }), { code, message: messageOf(below, cannotMake) })
  fs.symlinkSync('elsewhere', path.join(directory, '0.lock'))
  const lock = path.join(directory, '0.lock')
  assert.throws(() => makeServer({ directory }), {
    code,
    message: messageOf(lock, 'Too many levels of symbolic links'),
  })
  fs.mkdirSync(path.join(directory, 'other', 'key'), { recursive: true, mode: 0o700 })
  const key = path.join(directory, 'other', 'key')
  const other = { directory: path.dirname(key) }
  assert.throws(() => makeServer(other), { code, message: messageOf(key, 'Is a directory') })
})

test('a key that others can read, or that is cut off, is refused', () => {
  const directory = clusterDirectory()
  fs.writeFileSync(path.join(directory, 'key'), Buffer.alloc(32), { mode: 0o644 })
  assert.throws(() => makeServer({ directory }), { message: /key: expected mode 600, got 644/ })
  fs.rmSync(path.join(directory, 'key'))
  fs.writeFileSync(path.join(directory, 'key'), Buffer.alloc(31), { mode: 0o600 })
  assert.throws(() => makeServer({ directory }), { message: /key: expected a key of 32 bytes, got 31$/ })
  fs.appendFileSync(path.join(directory, 'key'), 'more')
  assert.throws(() => makeServer({ directory }), { message: /key: expected a key of 32 bytes, got 33 or more$/ })
})

test('a key that this user may only read is used', () => {
  const directory = clusterDirectory()
  fs.writeFileSync(path.join(directory, 'key'), Buffer.alloc(32), { mode: 0o400 })
  assert.equal(typeof makeServer({ directory }).metrics().cluster.number, 'number')
})

test('with a key of the application no key is written', () => {
  const directory = clusterDirectory()
  makeServer({ directory, key: 'a key of the application' })
  const names = fs.readdirSync(directory).map((name) => name.replace(/^\d+/, 'N'))
  assert.deepEqual(names.sort(), ['N.lock', 'N.sock'])
})

test('a user without an entry among the users of the system has a directory, too', () => {
  const { userInfo } = os
  const { TMPDIR = '/tmp' } = process.env
  defer(() => {
    os.userInfo = userInfo
    process.env.TMPDIR = TMPDIR
  })
  process.env.TMPDIR = clusterDirectory()
  os.userInfo = () => assert.fail('a container may run under any number')
  makeServer(true)
})

test('invalid options are refused', () => {
  const directory = clusterDirectory()
  for (const [cluster, message] of [
    ['yes', "cluster must be a boolean or an object, got the string 'yes'"],
    [null, 'cluster must be a boolean or an object, got null'],
    [[], 'cluster must be a boolean or an object, got an array'],
    [{ directory: 1 }, 'cluster.directory must be the path of a directory, got 1'],
    [{ directory, key: 'short' }, 'cluster.key must have 16 bytes at least, got 5'],
    [{ directory, key: 5 }, 'cluster.key must be a string or a Uint8Array, got 5'],
    [{ directory, number: -1 }, 'cluster.number must be an integer from 0 to 65535, got -1'],
    [{ directory, number: 65_536 }, 'cluster.number must be an integer from 0 to 65535, got 65536'],
    [{ directory, number: 1.5 }, 'cluster.number must be an integer from 0 to 65535, got 1.5'],
    [{ directory, number: NaN }, 'cluster.number must be an integer from 0 to 65535, got NaN'],
    [{ directory, number: '1' }, "cluster.number must be an integer from 0 to 65535, got the string '1'"],
    [{ directory, number: null }, 'cluster.number must be an integer from 0 to 65535, got null'],
    [{ directory, showOwner: 1 }, 'cluster.showOwner must be a boolean, got 1'],
    [{ directory, claim: 0 }, 'cluster.claim must be a boolean, got 0'],
    [{ directory, claim: null }, 'cluster.claim must be a boolean, got null'],
    [{ direktory: directory }, 'cluster has the options directory, key, number, showOwner, bus, claim, got direktory'],
  ]) {
    assert.throws(() => makeServer(cluster), { name: 'TypeError', message })
  }
  assert.throws(() => new uServer({ cluster: true }), { name: 'TypeError' })
})

for (const cluster of [undefined, false]) {
  test(`with cluster: ${cluster} ids are as ever, and nothing is written`, () => {
    const server = makeServer(cluster)
    assert.match(server.generateId(), /^[\w-]{20}$/)
    assert.equal(server.metrics().cluster, undefined)
  })
}

test('a server that has closed and is used again joins again', async () => {
  const directory = clusterDirectory()
  const server = makeServer({ directory })
  server.close()
  await untilEmpty(directory)
  assert.match(server.generateId(), /^[\w-]{20}$/)
  assert.deepEqual(seats(directory), ['0.sock'])
})

/** Waits until all members have left. */
async function untilEmpty(directory) {
  for (let i = 0; i < 500 && seats(directory).length > 0; i++) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.deepEqual(seats(directory), [])
}

test('a server that cannot be made is not a member', () => {
  const directory = clusterDirectory()
  const fails = class {
    constructor() {
      throw new Error('no engine')
    }
  }
  for (const [options, message] of [
    [{ wsEngine: 'ws' }, /wsEngine is not a constructor/],
    [{ wsEngine: 5 }, /is not a constructor/],
    [{ wsEngine: fails }, /no engine/],
    [{ proxyProtocol: 'bogus' }, /proxyProtocol takes/],
    [{ closeDetails: 1 }, /closeDetails must be/],
  ]) {
    assert.throws(() => new Server({ ...options, cluster: { directory } }), { message })
    assert.deepEqual(fs.readdirSync(directory), [])
  }
})

test('attach() and listen() that throw leave no member behind', async () => {
  const directory = clusterDirectory()
  const options = { cluster: { directory }, path: 5 }
  assert.throws(() => attach(http.createServer(), options), TypeError)
  assert.throws(() => listen(0, options), TypeError)
  assert.throws(() => listen(70_000, { cluster: { directory } }), { code: 'ERR_SOCKET_BAD_PORT' })
  await untilEmpty(directory)
})

/** A server of this process that listens. */
async function listening(directory) {
  const httpServer = http.createServer()
  const server = makeServer({ directory })
  server.attach(httpServer)
  await new Promise((resolve) => httpServer.listen(0, '127.0.0.1', resolve))
  defer(() => httpServer.close())
  return { server, port: httpServer.address().port }
}

test('each server of a process is a member', async () => {
  const directory = clusterDirectory()
  const [one, other] = [await listening(directory), await listening(directory)]
  assert.deepEqual([one.server.metrics().cluster.number, other.server.metrics().cluster.number], [0, 1])
  const sid = await openSession(one)
  const waiting = poll(other, sid)
  one.server.clients[sid].send('a')
  assert.equal((await waiting).body, '4a')
})

test('each server of a worker thread is a member, which goes with the thread', async () => {
  const directory = clusterDirectory()
  const here = await listening(directory)
  const worker = new Worker(
    `const { workerData, parentPort } = require('worker_threads')
     const http = require('http').createServer()
     const engine = new (require(workerData.engine).Server)({ cluster: { directory: workerData.directory } })
     engine.on('connection', (socket) => socket.send('from the thread'))
     engine.attach(http)
     http.listen(0, '127.0.0.1', () => parentPort.postMessage(http.address().port))`,
    { eval: true, workerData: { engine: path.join(__dirname, '../..'), directory } },
  )
  defer(() => worker.terminate())
  const port = await deadline(new Promise((resolve) => worker.once('message', resolve)), 'port of the thread', 30_000)
  const { body } = await request({ port, path: target() })
  const sid = JSON.parse(body.split('\x1e')[0].slice(1)).sid
  assert.equal((await poll(here, sid)).body, '4from the thread')
  await worker.terminate()
  assert.equal((await poll(here, sid)).status, 400)
})

test('in a worker thread Node does not warn of the descriptors that are passed', async () => {
  const directory = clusterDirectory()
  const here = await listening(directory)
  here.server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const worker = new Worker(
    `const { workerData, parentPort } = require('worker_threads')
     process.on('warning', ({ message }) => parentPort.postMessage(message))
     const http = require('http').createServer()
     // their bytes pass a method of the application, so that they are carried
     http.on('connection', (socket) => {
       const { write } = socket
       socket.write = (...args) => write.apply(socket, args)
     })
     const engine = new (require(workerData.engine).Server)({ cluster: { directory: workerData.directory } })
     engine.attach(http)
     http.listen(0, '127.0.0.1', () => parentPort.postMessage(http.address().port))`,
    { eval: true, workerData: { engine: path.join(__dirname, '../..'), directory } },
  )
  defer(() => worker.terminate())
  const messages = []
  worker.on('message', (message) => messages.push(message))
  await eventually(() => messages.length, 1, 30_000)
  const front = { port: messages[0] }
  for (let i = 0; i < 3; i++) await says(await upgrade(front, await openSession(here)), 'a')
  assert.equal(here.server.metrics().cluster.accepted, 3)
  assert.deepEqual(messages.slice(1), [])
})

test('`cluster: true` takes a directory of this user and this program', () => {
  const { TMPDIR } = process.env
  process.env.TMPDIR = clusterDirectory()
  try {
    makeServer(true)
    makeServer({})
    const [name, ...others] = fs.readdirSync(process.env.TMPDIR)
    assert.match(name, new RegExp(`^engine\\.io-native-${process.getuid()}-[0-9a-f]{16}$`))
    assert.deepEqual(others, [])
    assert.ok(fs.existsSync(path.join(process.env.TMPDIR, name, '1.sock')))
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  }
})
