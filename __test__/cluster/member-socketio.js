'use strict'

// One process of a cluster with Socket.IO. It takes its options from MEMBER.

require('../socketio/use-engine')
const http = require('node:http')
const { Server } = require('socket.io')
const { makeBus } = require('./buses')

const { options, bus } = JSON.parse(process.env.MEMBER)
if (bus) options.cluster.bus = makeBus(bus)
const httpServer = http.createServer()
const tell = (event, fields) => process.send({ event, ...fields })

const io = new Server(httpServer, options)
io.on('connection', (socket) => {
  const { address, secure, headers, query } = socket.handshake
  tell('connection', { id: socket.id, address, secure, token: headers['x-token'], query: query.transport })
  socket.on('echo', (number, bytes, done) => done([number, bytes]))
  socket.on('disconnect', (reason) => tell('disconnect', { id: socket.id, reason }))
})

httpServer.listen(0, '127.0.0.1', () => tell('listening', { port: httpServer.address().port }))
process.on('message', ({ command, number }) => {
  if (command === 'metrics') tell('result', { number, result: io.engine.metrics().cluster })
})
process.on('disconnect', () => process.exit())
