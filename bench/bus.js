'use strict'
// The servers of the buses: those on the PATH, or Debian's, as for the tests.
const net = require('net')
const { accepts } = require('../__test__/support/accepts')
const { findNats, findRedis } = require('../__test__/support/debian')
const { Child } = require('./measure')

const SERVERS = {
  redis: {
    find: findRedis,
    args: (port) => ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', '/tmp'],
  },
  nats: { find: findNats, args: (port) => ['--addr', '127.0.0.1', '--port', port] },
}

/** The server of each client. */
const OF = { redis: 'redis', ioredis: 'redis', nats: 'nats' }

const found = {}

/** Starts the server that a client is for, and waits until it accepts connections. */
async function startBus(o, client) {
  const { find, args } = SERVERS[OF[client]]
  found[OF[client]] ??= find()
  const { program, env, skip } = found[OF[client]]
  if (skip) throw new Error(skip)
  const port = await freePort()
  const child = new Child(program, args(port).map(String), env, o.pin)
  const stop = () => {
    child.process.kill('SIGKILL')
    return child.ended
  }
  for (let tries = 0; !(await accepts(port)); tries++) {
    if (tries > 250 || child.end) {
      await stop()
      throw new Error(`${program} does not start: ${child.end ?? 'it accepts no connections'}${child.why()}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { port, pid: child.process.pid, stop }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

module.exports = { startBus }
