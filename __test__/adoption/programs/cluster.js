'use strict'

// Two workers with the cluster adapter behind @socket.io/sticky, and clients of both.
//
//   node cluster.js [cluster [without sticky]]
//
// `cluster`: with the option `cluster`, beside stickiness or without it.

const cluster = require('node:cluster')
const { randomBytes } = require('node:crypto')
const { createServer } = require('node:http')
const { once } = require('node:events')
const { setupMaster, setupWorker } = require('@socket.io/sticky')
const { createAdapter, setupPrimary } = require('@socket.io/cluster-adapter')
const { Server } = require('socket.io')
const { TRANSPORTS, askAll, open, serve, urlOf } = require('./check')

const hasOption = process.argv[2] === 'cluster'
const isSticky = process.argv[3] !== 'without sticky'

async function primary() {
  const server = createServer()
  if (isSticky) setupMaster(server, { loadBalancingMethod: 'round-robin' })
  setupPrimary()
  cluster.setupPrimary({ serialization: 'advanced' })
  cluster.on('message', (one, { type, data }) => {
    if (type === 'sticky:connection') one.send({ registered: data })
  })
  const workers = [cluster.fork(), cluster.fork()]
  let url
  if (isSticky) {
    await Promise.all(workers.map((one) => once(one, 'online')))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = urlOf(server)
  } else {
    const [[{ port }]] = await Promise.all(workers.map((one) => once(one, 'listening')))
    url = `http://127.0.0.1:${port}`
  }
  await askAll(url, { route: null })

  for (const transports of TRANSPORTS) {
    const clients = []
    const served = new Set()
    // round-robin: the workers take turns; without stickiness the requests of one client do so, too
    for (let i = 0; i < 4 || (!isSticky && served.size < 2 && i < 30); i++) {
      const client = await open(url, transports)
      served.add(await client.emitWithAck('which'))
      clients.push(client)
    }
    if (served.size !== 2) throw new Error(`expected clients at two workers, got ${[...served]}`)
    const heard = clients.map((client) => new Promise((resolve) => client.once('news', resolve)))
    clients[0].emit('tell everyone', 'hello')
    for (const news of await Promise.all(heard)) if (news !== 'hello') throw new Error(`expected hello, got ${news}`)
    const counted = await clients[0].emitWithAck('count')
    if (counted !== clients.length) throw new Error(`expected ${clients.length} sockets in the cluster, got ${counted}`)
    clients.forEach((client) => client.close())
    while ((await countOf(url)) > 1) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  console.log('it works')
  process.exit()
}

async function countOf(url) {
  const client = await open(url, ['websocket'])
  const counted = await client.emitWithAck('count')
  client.close()
  return counted
}

function worker() {
  const httpServer = createServer()
  const io = new Server(httpServer, { adapter: createAdapter(), cluster: hasOption })
  if (isSticky) {
    setupWorker(io)
    io.engine.generateId = generateId
  } else {
    httpServer.listen(0, '127.0.0.1')
  }
  serve(io)
  io.on('connection', (socket) => {
    socket.on('which', (answer) => answer(process.pid))
    socket.on('tell everyone', (news) => io.emit('news', news))
    socket.on('count', async (answer) => answer((await io.fetchSockets()).length))
  })
}

const registered = new Map()
process.on('message', ({ registered: id }) => registered.get(id)?.())

/**
 * A session whose worker the primary process knows before the client does. Otherwise, both hear of it at the same time,
 * and a quick client's next request comes to another worker.
 */
async function generateId() {
  const id = randomBytes(15).toString('base64url')
  process.send({ type: 'sticky:connection', data: id })
  await new Promise((resolve) => registered.set(id, resolve))
  registered.delete(id)
  return id
}

function fail(error) {
  console.error(error)
  process.exit(1)
}

if (cluster.isPrimary) primary().catch(fail)
else worker()
