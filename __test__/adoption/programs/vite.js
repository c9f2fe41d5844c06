'use strict'

// The development server of Vite and Socket.IO on one port: Vite's own WebSocket for hot modules is beside it.

const { createServer } = require('node:http')
const { Server } = require('socket.io')
const { serve, urlOf } = require('./check')

async function main() {
  const vite = await import('vite')
  const server = createServer()
  const dev = await vite.createServer({
    root: __dirname,
    logLevel: 'error',
    server: { middlewareMode: true, hmr: { server } },
  })
  server.on('request', dev.middlewares)
  serve(new Server(server))
  server.listen(0, '127.0.0.1', () => console.log(`ready at ${urlOf(server)}`))
}

main()
