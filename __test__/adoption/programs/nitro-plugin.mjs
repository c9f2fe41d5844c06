// Socket.IO in a server of Nitro, as Socket.IO's documentation does it with Nuxt: requests and WebSockets come by
// Nitro's own router and its WebSocket hooks.

import { Server as Engine } from 'engine.io'
import { defineEventHandler } from 'h3'
import { Server } from 'socket.io'
import { serve } from '../check.js'

export default (nitroApp) => {
  const engine = new Engine()
  const io = new Server()
  io.bind(engine)
  serve(io)
  const handler = defineEventHandler({
    handler(event) {
      engine.handleRequest(event.node.req, event.node.res)
      event._handled = true
    },
    websocket: {
      open(peer) {
        const { nodeReq } = peer._internal
        engine.prepare(nodeReq)
        engine.onWebSocket(nodeReq, nodeReq.socket, peer.websocket)
      },
    },
  })
  nitroApp.router.use('/socket.io/', handler)
}
