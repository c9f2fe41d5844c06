'use strict'

// The Redis adapters in two processes, with a Redis of the test's own.

const assert = require('node:assert')
const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { root } = require('../../scripts/setup')
const { installApp } = require('../packaging/app')
const { run, scratchFolder } = require('../packaging/scratch')
const { freePort } = require('./child')
const { dependenciesOn } = require('./versions')

/** Packages of Debian and Ubuntu: the program, and libraries that a machine may lack. */
const PACKAGES = ['redis-tools', 'libatomic1', 'libjemalloc2', 'liblzf1']

const folder = path.join(root, 'target/redis')
const unpacked = path.join(folder, 'redis-server')

/** `REDIS_SERVER`, the program on the PATH, or the one that apt downloads into `target/redis`; undefined if there is none. */
function findRedis() {
  if (process.env.REDIS_SERVER) return process.env.REDIS_SERVER
  if (spawnSync('redis-server', ['--version']).status === 0) return 'redis-server'
  if (!fs.existsSync(unpacked)) unpack()
  return fs.existsSync(unpacked) ? unpacked : undefined
}

function unpack() {
  fs.mkdirSync(folder, { recursive: true })
  if (spawnSync('apt-get', ['download', ...PACKAGES], { cwd: folder, timeout: 120_000 }).status !== 0) return
  for (const name of fs.readdirSync(folder).filter((one) => one.endsWith('.deb'))) {
    spawnSync('dpkg', ['-x', name, '.'], { cwd: folder })
  }
  // one program that does what its name says
  const program = path.join(folder, 'usr/bin/redis-check-rdb')
  if (fs.existsSync(program)) fs.copyFileSync(program, unpacked)
}

function libraries() {
  const lib = path.join(folder, 'usr/lib')
  return fs.existsSync(lib) ? fs.readdirSync(lib).map((name) => path.join(lib, name)) : []
}

const redis = findRedis()
const skip = redis === undefined && 'there is no redis-server: set REDIS_SERVER to one, or install it'

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
  server = spawn(redis, ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', scratchFolder()], {
    env: { ...process.env, LD_LIBRARY_PATH: libraries().join(':') },
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
