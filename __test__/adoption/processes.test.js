'use strict'

// Applications of several processes on one port.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const { installApp } = require('../packaging/app')
const { plainEnvironment, run, scratchFolder } = require('../packaging/scratch')
const { askAll, open } = require('./check')
const { freePort } = require('./child')
const { dependenciesOn } = require('./versions')

let app

before(() => {
  const read = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8')
  app = installApp(dependenciesOn('@socket.io/cluster-adapter', '@socket.io/pm2', '@socket.io/sticky', 'pm2'), {
    'check.js': read('check.js'),
    'cluster.js': read('programs/cluster.js'),
    'app.js': read('programs/pm2.js'),
  })
})

test('@socket.io/sticky and @socket.io/cluster-adapter: clients of two workers hear each other', () => {
  const { status, output } = run(app, 'cluster.js')
  assert.equal(status, 0, output)
  assert.match(output, /it works/)
})

/** PM2 with a home of its own, whose daemon ends with the test. */
function pm2(t, name, more) {
  const env = { ...plainEnvironment(), PM2_HOME: scratchFolder(), PM2_DISABLE_VERSION_CHECK: 'true', ...more }
  const program = path.join(app, 'node_modules', name, 'bin/pm2')
  const call = (...args) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
      cwd: app,
      env,
      encoding: 'utf8',
      timeout: 60_000,
    })
    assert.equal(status, 0, `${stdout}\n${stderr}`)
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
  call('start', 'app.js', '--name', 'app', '--instances', '1', '--wait-ready')
  await askAll(url)
  call('scale', 'app', '2')
  const old = await clientsOf(url, 2)
  for (const client of old.values()) client.close()
  call('reload', 'app')
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
  call('start', 'app.js', '--name', 'app', '--instances', '2')
  await askAll(url, { route: null })
  const clients = [...(await clientsOf(url, 2)).values()]
  const heard = clients.map((client) => new Promise((resolve) => client.once('news', resolve)))
  clients[0].emit('tell everyone', 'hello')
  assert.deepEqual(await Promise.all(heard), ['hello', 'hello'])
  clients.forEach((client) => client.close())
})
