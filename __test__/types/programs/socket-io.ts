// Socket.IO's own declarations, and what applications reach through them.

import { Server } from 'socket.io'
import { Server as Engine, uServer } from 'engine.io'

const io = new Server(3000, { pingInterval: 1000, path: '/x/', transports: ['websocket'], cookie: true })
const engine: Engine = io.engine

io.bind(engine)
io.bind(new Engine())
io.engine.on('connection_error', (error: { code: number }) => error.code)
io.engine.generateId = () => 'id'
io.engine.use((req: unknown, res: unknown, next: () => void) => next())

io.on('connection', (socket) => {
  const name: string = socket.conn.transport.name
  const protocol: number = socket.conn.protocol
  socket.conn.on('upgrade', (transport: { name: string }) => transport.name)
  socket.conn.once('close', (reason: string) => reason)
  socket.conn.send(`${name} ${protocol} ${socket.conn.remoteAddress}`)
})

// @ts-expect-error: an option of Engine.IO with a value of another type
new Server({ pingInterval: '1s' })

export { uServer }
