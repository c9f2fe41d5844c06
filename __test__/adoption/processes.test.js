'use strict'

// Applications of several processes on one port.

const assert = require('node:assert')
const { execFile } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const { promisify } = require('node:util')
const { Socket } = require('engine.io-client')
const { installApp } = require('../packaging/app')
const { plainEnvironment, run, scratchFolder } = require('../packaging/scratch')
const { TRANSPORTS, askAll, open } = require('./check')
const { freePort } = require('./child')
const { dependenciesOn } = require('./versions')

let app

before(() => {
  const read = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8')
  const example = (name) => read(`../../examples/drain/${name}`)
  app = installApp(dependenciesOn('@socket.io/cluster-adapter', '@socket.io/pm2', '@socket.io/sticky', 'pm2'), {
    'check.js': read('check.js'),
    'cluster.js': read('programs/cluster.js'),
    'app.js': read('programs/pm2.js'),
    // the program of the page, as it stands there
    'server.js': /^```js\n(\/\/ server\.js\n[^]*?)^```/m.exec(read('../../docs/scaling/program-and-balancer.md'))[1],
    'drain/server.js': example('server.js').replace(`require('../..')`, `require('engine.io')`),
    'drain/ecosystem.config.js': example('ecosystem.config.js'),
  })
})

test('@socket.io/sticky and @socket.io/cluster-adapter: clients of two workers hear each other', () => {
  const { status, output } = run(app, 'cluster.js')
  assert.equal(status, 0, output)
  assert.match(output, /it works/)
})

test('both beside the option `cluster`, which has nothing to do then', () => {
  const { status, output } = run(app, 'cluster.js', 'cluster')
  assert.equal(status, 0, output)
  assert.match(output, /it works/)
})

test('@socket.io/cluster-adapter with the option `cluster` and without stickiness', () => {
  const { status, output } = run(app, 'cluster.js', 'cluster', 'without sticky')
  assert.equal(status, 0, output)
  assert.match(output, /it works/)
})

/** PM2 with a home of its own, whose daemon ends with the test. */
function pm2(t, name, more, home = scratchFolder()) {
  const env = { ...plainEnvironment(), PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: 'true', ...more }
  const program = path.join(app, 'node_modules', name, 'bin/pm2')
  const call = async (...args) => {
    const options = { cwd: app, env, timeout: 180_000 }
    return (await promisify(execFile)(process.execPath, [program, ...args], options)).stdout
  }
  t.after(() => call('kill'))
  return call
}

/** Connects to each of some processes, and gives one client of each. */
async function clientsOf(url, count) {
  const clients = new Map()
  for (let i = 0; clients.size < count && i < 20; i++) {
    const client = await open(url, ['websocket'])
    const which = await client.emitWithAck('which')
    if (clients.has(which)) client.close()
    else clients.set(which, client)
  }
  assert.equal(clients.size, count, 'as many processes as were started')
  return clients
}

test('PM2 in cluster mode: clients of both processes, and after a reload', async (t) => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const call = pm2(t, 'pm2', { PORT: port })
  await call('start', 'app.js', '--name', 'app', '--instances', '1', '--wait-ready')
  await askAll(url)
  await call('scale', 'app', '2')
  const old = await clientsOf(url, 2)
  for (const client of old.values()) client.close()
  await call('reload', 'app')
  const fresh = await clientsOf(url, 2)
  for (const [which, client] of fresh) {
    assert.ok(!old.has(which), 'another process')
    client.close()
  }
})

test('@socket.io/pm2: two processes behind one port, with polling, whose clients hear each other', async (t) => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const call = pm2(t, '@socket.io/pm2', { PM2_PORT: port, STICKY: '1' })
  await call('start', 'app.js', '--name', 'app', '--instances', '2')
  // PM2 says that they have started before they listen
  const handshake = `${url}/socket.io/?EIO=4&transport=polling`
  while (!(await fetch(handshake).catch(() => undefined))?.ok) await new Promise((resolve) => setTimeout(resolve, 100))
  await askAll(url, { route: null })
  const clients = [...(await clientsOf(url, 2)).values()]
  const heard = clients.map((client) => new Promise((resolve) => client.once('news', resolve)))
  clients[0].emit('tell everyone', 'hello')
  assert.deepEqual(await Promise.all(heard), ['hello', 'hello'])
  clients.forEach((client) => client.close())
})

/**
 * A client of engine.io itself. It counts the echoes of what it says several times a second, and those that come out of
 * order, and keeps how it has ended.
 */
async function talker(url, transports) {
  const client = await openEngine(url, transports)
  const told = { client, echoes: 0, gaps: 0, end: undefined }
  let sent = 0
  let seen = 0
  const timer = setInterval(() => client.send(String(++sent)), 100)
  client.on('message', (text) => {
    told.echoes++
    if (Number(text) !== ++seen) told.gaps++
  })
  client.on('close', (reason) => {
    clearInterval(timer)
    told.end = reason
  })
  return told
}

test('PM2 reloads one of two processes with the option `cluster`: sessions of the other go on', async (t) => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const directory = path.join(scratchFolder(), 'cluster')
  const call = pm2(t, 'pm2', { PORT: port, CLUSTER_DIRECTORY: directory })
  const processes = async () => {
    const all = JSON.parse(await call('jlist'))
    return all.map(({ pm_id: id, pid }) => ({ id, pid })).sort((a, b) => a.id - b.id)
  }
  await call('start', 'server.js', '--name', 'app', '--instances', '2', '--wait-ready', '--kill-timeout', '30000')
  const before = await processes()
  assert.equal(before.length, 2)
  const talkers = []
  for (let i = 0; i < 24; i++) talkers.push(await talker(url, TRANSPORTS[i % 3]))
  t.after(() => talkers.forEach(({ client }) => client.close()))
  await until(() => talkers.every(({ echoes }) => echoes >= 5))
  assert.deepEqual(
    talkers.filter(({ end }) => end !== undefined),
    [],
  )

  await call('reload', String(before[0].id))
  const after = await processes()
  assert.notEqual(after.find(({ id }) => id === before[0].id).pid, before[0].pid)
  assert.equal(after.find(({ id }) => id === before[1].id).pid, before[1].pid)
  await until(() => !isAlive(before[0].pid))

  const stayed = talkers.filter(({ end }) => end === undefined)
  const gone = talkers.filter(({ end }) => end !== undefined)
  assert.ok(stayed.length > 0 && gone.length > 0, `${stayed.length} have stayed, ${gone.length} have gone`)
  // a drain closes sessions; nothing breaks
  assert.deepEqual(new Set(gone.map(({ end }) => end)), new Set(['transport close']))
  const heard = stayed.map(({ echoes }) => echoes)
  await until(() => stayed.every(({ echoes }, at) => echoes >= heard[at] + 5))
  for (let i = 0; i < gone.length; i++) talkers.push(await talker(url, TRANSPORTS[i % 3]))
  await until(() => talkers.every(({ echoes, end }) => end !== undefined || echoes >= 5))
  assert.equal(talkers.filter(({ end }) => end !== undefined).length, gone.length, 'no other session has ended')
  assert.deepEqual(
    talkers.filter(({ gaps }) => gaps > 0),
    [],
  )
})

async function until(condition) {
  const end = Date.now() + 60_000
  while (!condition()) {
    assert.ok(Date.now() < end, `expected in time: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** A client of engine.io itself, which is upgraded if it may. */
async function openEngine(url, transports) {
  const client = new Socket(url, { transports })
  await once(client, 'open')
  if (transports.length > 1) await once(client, 'upgrade')
  return client
}

test('PM2 reloads examples/drain: its clients are closed in order, and others come to the new process', async (t) => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const home = scratchFolder()
  const config = path.join(app, 'drain', 'test.config.js')
  fs.writeFileSync(
    config,
    `const [app] = require('./ecosystem.config.js').apps
    module.exports = { apps: [{ ...app, cwd: __dirname, env: { ...app.env, PORT: ${port}, DRAIN_SPREAD: 1000 } }] }`,
  )
  const call = pm2(t, 'pm2', {}, home)
  const pid = async () => Number((await call('pid', 'drain')).trim().split('\n').pop())
  await call('start', config)
  const old = await pid()
  const clients = await Promise.all(TRANSPORTS.map((transports) => openEngine(url, transports)))
  const closed = clients.map((client) => new Promise((resolve) => client.once('close', resolve)))

  await call('reload', 'drain')
  assert.deepEqual(await Promise.all(closed), ['transport close', 'transport close', 'transport close'])
  assert.notEqual(await pid(), old)
  for (const transports of TRANSPORTS) {
    const client = await openEngine(url, transports)
    const answer = once(client, 'message')
    client.send('hello')
    assert.equal((await answer)[0], 'hello')
    client.close()
  }

  const logs = path.join(home, 'logs')
  const printed = fs.readdirSync(logs).map((name) => fs.readFileSync(path.join(logs, name), 'utf8'))
  const [, outcome] = /SIGINT: draining[^]*drained: (.*)/.exec(printed.join('\n')) ?? []
  assert.ok(outcome, printed.join('\n'))
  const { duration, ...sessions } = JSON.parse(outcome)
  assert.deepEqual(sessions, { sessions: 3, closed: 3, left: 0, terminated: 0 })
  assert.ok(duration < 20_000, `drained in ${duration} ms`)
})
