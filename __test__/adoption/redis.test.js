'use strict'

// The Redis adapters in two processes, with a Redis of the test's own.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { installApp } = require('../packaging/app')
const { run, scratchFolder } = require('../packaging/scratch')
const { findRedis } = require('../support/debian')
const { freePort } = require('./child')
const { dependenciesOn } = require('./versions')

const { program, env, skip } = findRedis()

let app
let port
let server

before(async () => {
  if (skip) return
  const read = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8')
  app = installApp(dependenciesOn('@socket.io/redis-adapter', '@socket.io/redis-streams-adapter', 'redis'), {
    'check.js': read('check.js'),
    'redis.js': read('programs/redis.js'),
  })
  port = await freePort()
  server = spawn(program, ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', scratchFolder()], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const text of server.stdout.setEncoding('utf8')) if (text.includes('Ready to accept connections')) break
})

after(async () => {
  if (server === undefined || server.exitCode !== null) return
  server.kill()
  await once(server, 'exit')
})

for (const [kind, title] of [
  ['pubsub', '@socket.io/redis-adapter: news of one process reach the rooms of the other'],
  ['streams', '@socket.io/redis-streams-adapter: the same, and a client recovers its session at the other process'],
]) {
  test(title, { skip }, () => {
    const { status, output } = run(app, 'redis.js', kind, String(port))
    assert.equal(status, 0, output)
    assert.match(output, /it works/)
  })
}
