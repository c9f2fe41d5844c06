'use strict'
// Socket.IO in workers of Node's cluster, as its documentation sets it up: rooms over @socket.io/cluster-adapter, and
// requests by @socket.io/sticky, or by Node alone.
const cluster = require('cluster')
const http = require('http')
const { once } = require('events')

/** In the primary process. Resolves when all workers serve. */
async function start(count, isSticky) {
  const server = http.createServer()
  if (isSticky) {
    require('@socket.io/sticky').setupMaster(server, { loadBalancingMethod: 'round-robin' })
    // What comes in between a connection's first bytes and its worker's taking it over would be read here, and lost.
    server.on('connection', (socket) => socket.prependOnceListener('data', () => socket._handle.readStop()))
  }
  require('@socket.io/cluster-adapter').setupPrimary()
  cluster.setupPrimary({ serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  cluster.on('message', (worker, { type, data }) => {
    if (type === 'sticky:connection') worker.send({ registered: data })
  })
  const workers = Array.from({ length: count }, () => cluster.fork())
  const pids = workers.map((worker) => worker.process.pid)
  if (!isSticky) {
    const [[{ port }]] = await Promise.all(workers.map((worker) => once(worker, 'listening')))
    return { port, pids }
  }
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  server.listen(0)
  await once(server, 'listening')
  return { port: server.address().port, pids }
}

const adapter = () => require('@socket.io/cluster-adapter').createAdapter()

/** In a worker: its connections come from the primary process. */
function stick(io) {
  require('@socket.io/sticky').setupWorker(io)
  // Sticky makes a session known when its client knows it, too, whose next request may come first and meet another worker.
  const unregistered = new Map()
  const { generateId } = io.engine
  io.engine.generateId = async (req) => {
    const id = await generateId.call(io.engine, req)
    process.send({ type: 'sticky:connection', data: id })
    return new Promise((resolve) => unregistered.set(id, () => resolve(id)))
  }
  process.on('message', ({ registered }) => {
    unregistered.get(registered)?.()
    unregistered.delete(registered)
  })
  process.send({ type: 'ready' })
}

module.exports = { start, adapter, stick }
