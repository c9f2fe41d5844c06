'use strict'

// The clients that carry the bus of a cluster, each with a server of the test's own.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { installApp } = require('../packaging/app')
const { run, scratchFolder } = require('../packaging/scratch')
const { accepts } = require('../support/accepts')
const { findNats, findRedis } = require('../support/debian')
const { freePort } = require('./child')
const { dependenciesOn } = require('./versions')

const CLIENTS = {
  redis: ['redis-4', 'redis-5', 'redis', 'ioredis-5', 'ioredis'],
  nats: ['nats', '@nats-io/transport-node'],
}

const kinds = {
  redis: {
    ...findRedis(),
    args: (port) => ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', scratchFolder()],
  },
  nats: { ...findNats(), args: (port) => ['--addr', '127.0.0.1', '--port', port] },
}

let app

before(() => {
  const read = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8')
  app = installApp(dependenciesOn(...Object.values(CLIENTS).flat()), {
    'check.js': read('check.js'),
    'bus.js': read('programs/bus.js'),
  })
})

for (const [kind, clients] of Object.entries(CLIENTS)) {
  const { program, env, skip, args } = kinds[kind]
  let port
  let server

  before(async () => {
    if (skip) return
    port = String(await freePort())
    server = spawn(program, args(port), { env, stdio: 'ignore' })
    while (!(await accepts(Number(port)))) {
      assert.equal(server.exitCode, null, `${kind} does not start`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })

  after(async () => {
    if (server === undefined || server.exitCode !== null) return
    server.kill()
    await once(server, 'exit')
  })

  for (const client of clients) {
    test(`${client}: two machines serve each other's sessions, and the process ends by itself`, { skip }, () => {
      const { status, output } = run(app, 'bus.js', client, port)
      assert.equal(status, 0, output)
      assert.match(output, /it works/)
    })
  }
}
