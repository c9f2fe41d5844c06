'use strict'

// Socket.IO as a plugin of the development server of Vite, on the server that Vite has made.

const { Server } = require('socket.io')
const { serve, urlOf } = require('./check')

async function main() {
  const vite = await import('vite')
  const plugin = { name: 'socket.io', configureServer: ({ httpServer }) => serve(new Server(httpServer)) }
  const dev = await vite.createServer({
    root: __dirname,
    logLevel: 'error',
    plugins: [plugin],
    server: { host: '127.0.0.1', port: 0 },
  })
  await dev.listen(0)
  console.log(`ready at ${urlOf(dev.httpServer)}`)
}

main()
