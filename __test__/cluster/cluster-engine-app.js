'use strict'

// An application of @socket.io/cluster-engine, as its users have it: only the name of the package is another.

require('../socketio/use-engine')
const cluster = require('node:cluster')
const { createServer } = require('node:http')
const { NodeClusterEngine, setupPrimary } = require('engine.io-native/cluster')
const { Server } = require('socket.io')

const { options } = JSON.parse(process.env.MEMBER)

if (cluster.isPrimary) {
  for (let i = 0; i < 3; i++) cluster.fork()
  setupPrimary()
  let listening = 0
  cluster.on('listening', (worker, { port }) => {
    if (++listening === 3) process.send({ event: 'listening', port })
  })
  cluster.on('message', (worker, message) => process.send(message))
  process.on('disconnect', () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL')
    process.exit()
  })
} else {
  const httpServer = createServer()
  const engine = new NodeClusterEngine(options)
  engine.attach(httpServer, { path: '/socket.io/' })
  const io = new Server()
  io.bind(engine)
  io.on('connection', (socket) => {
    process.send({ event: 'connection', pid: process.pid })
    socket.on('echo', (number, bytes, done) => done([number, bytes]))
    socket.on('passed on', (done) => done(engine.metrics().cluster))
    socket.on('disconnect', (reason) => process.send({ event: 'disconnect', reason }))
  })
  httpServer.listen(0, '127.0.0.1')
}
