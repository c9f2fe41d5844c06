'use strict'

// Two servers that know each other over a bus, and clients whose connections reach them in turn: `bus.js CLIENT PORT`,
// where CLIENT is the name of a package, as this folder knows it, and PORT that of the bus.

const { mkdtempSync, rmSync } = require('node:fs')
const { createServer } = require('node:http')
const { connect, createServer: createBalancer } = require('node:net')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { nats, redis } = require('engine.io/cluster')
const { Server } = require('socket.io')
const { askAll, serve, urlOf } = require('./check')

const [, , name, port] = process.argv

/** A bus over a client of its own, and how this is ended. */
const makers = {
  async redis() {
    const client = require(name).createClient({ url: `redis://127.0.0.1:${port}` })
    await client.connect()
    return { bus: redis(client), end: () => client.quit() }
  },
  async ioredis() {
    const { default: Redis } = require(name)
    const client = new Redis(Number(port), '127.0.0.1')
    return { bus: redis(client), end: () => client.quit() }
  },
  async nats() {
    const connection = await require(name).connect({ servers: `127.0.0.1:${port}`, maxReconnectAttempts: -1 })
    return { bus: nats(connection), end: () => connection.close() }
  },
}

async function startServer(directory, options) {
  const { bus, end } = await makers[/ioredis|redis|nats/.exec(name)[0]]()
  const server = createServer()
  const io = new Server(server, { ...options, cluster: { bus, key: 'a key for two machines', directory } })
  serve(io)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, io, end, counts: () => io.engine.metrics().cluster.bus }
}

/**
 * Has clients ask two machines in turn.
 *
 * @param {object} options of the servers
 * @param {'relayed' | 'claimed'} what becomes of upgrades that come to the other machine
 */
async function tryOut(options, what) {
  // with a directory of its own each is on a machine of its own
  const folder = mkdtempSync(join(tmpdir(), 'engine.io-native-'))
  const machines = await Promise.all(['a', 'b'].map((one) => startServer(join(folder, one), options)))
  let turn = 0
  const balancer = createBalancer((client) => {
    const server = connect(machines[turn++ % 2].server.address().port, '127.0.0.1')
    client.on('error', () => server.destroy()).pipe(server)
    server.on('error', () => client.destroy()).pipe(client)
  })
  await new Promise((resolve) => balancer.listen(0, '127.0.0.1', resolve))
  while (machines.some(({ counts }) => counts().nodes < 1)) await new Promise((resolve) => setTimeout(resolve, 20))

  for (let i = 0; i < 3; i++) await askAll(urlOf(balancer), { route: null })
  const [first, second] = machines.map(({ counts }) => counts())
  const [asked, upgrades] = ['asked', what].map((count) => first[count] + second[count])
  if (asked === 0 || upgrades === 0)
    throw new Error(`expected requests over the bus, got ${asked}, ${upgrades} ${what}`)

  balancer.close()
  for (const { io, end } of machines) {
    await io.close()
    await end()
  }
  rmSync(folder, { recursive: true })
}

async function main() {
  // an application that decides about requests knows of sessions, so that they stay where they were opened
  await tryOut({ allowRequest: (req, decide) => decide(null, true) }, 'relayed')
  await tryOut({}, 'claimed')
  console.log('it works')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
