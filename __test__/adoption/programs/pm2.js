'use strict'

// An application that PM2 starts: `pm2.js sticky` behind the balancer of @socket.io/pm2, else with a port of its own.

const { randomBytes } = require('node:crypto')
const { createServer } = require('node:http')
const { Server } = require('socket.io')
const { serve } = require('./check')

const server = createServer((req, res) => res.end('hello'))
const io = new Server(server)
serve(io)

if (process.env.STICKY) {
  io.adapter(require('@socket.io/cluster-adapter').createAdapter())
  require('@socket.io/sticky').setupWorker(io)
  // a quick client's next request would come before PM2 knows whose session it is
  io.engine.generateId = async () => {
    const id = randomBytes(15).toString('base64url')
    process.send({ type: 'sticky:connection', data: id })
    await new Promise((resolve) => setTimeout(resolve, 1000))
    return id
  }
} else {
  server.listen(process.env.PORT, '127.0.0.1', () => process.send('ready'))
}

io.on('connection', (socket) => {
  socket.on('which', (answer) => answer(process.pid))
  socket.on('tell everyone', (news) => io.emit('news', news))
})

process.on('SIGINT', () => io.close(() => process.exit()))
