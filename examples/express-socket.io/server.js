'use strict'

// Rooms on Express and Socket.IO. Nothing here knows of engine.io-native: package.json alone has adopted it.

const { createServer } = require('node:http')
const path = require('node:path')
const express = require('express')
const { Server } = require('socket.io')

const app = express()
const httpServer = createServer(app)
const io = new Server(httpServer)

app.use(express.static(path.join(__dirname, 'public')))
app.get('/rooms', (req, res) => res.json(Object.fromEntries(rooms())))

io.on('connection', (socket) => {
  socket.on('join', async (room, answer) => {
    for (const joined of socket.rooms) if (joined !== socket.id) socket.leave(joined)
    await socket.join(String(room).slice(0, 30))
    answer?.()
  })
  socket.on('say', (text) => {
    for (const room of socket.rooms) {
      if (room !== socket.id) io.to(room).emit('said', { room, from: socket.id.slice(0, 4), text: String(text) })
    }
  })
})

// who is in a room is told when another comes, changes rooms or disconnects
const { adapter } = io.of('/')
for (const change of ['join-room', 'leave-room']) {
  adapter.on(change, (room, id) => {
    if (room !== id) io.to(room).emit('people', adapter.rooms.get(room).size)
  })
}

/** The number of people by room, without the room that each socket has for itself. */
function rooms() {
  const { rooms: all, sids } = adapter
  return new Map([...all].filter(([room]) => !sids.has(room)).map(([room, people]) => [room, people.size]))
}

httpServer.listen(process.env.PORT ?? 3000, () => {
  console.log(`The rooms are open: http://localhost:${httpServer.address().port}`)
})
