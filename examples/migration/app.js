'use strict'

// An application of Socket.IO that exists already. It is the same before and after.

const { createServer } = require('node:http')
const { Server } = require('socket.io')

const httpServer = createServer()
const io = new Server(httpServer)

io.on('connection', (socket) => {
  socket.on('ask', (question, answer) => answer(question))
})

httpServer.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
  console.log(`The application listens: http://localhost:${httpServer.address().port}`)
  process.send?.(httpServer.address().port)
})

process.on('message', () => process.send({ cpu: process.cpuUsage(), memory: process.memoryUsage.rss() }))
process.on('disconnect', () => process.exit())
