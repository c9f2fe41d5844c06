'use strict'

// A custom server of Next.js, as its documents show it.

const { createServer } = require('node:http')
const next = require('next')
const { Server } = require('socket.io')
const { serve, urlOf } = require('./check')

const app = next({ dev: false, dir: __dirname })

app.prepare().then(() => {
  const server = createServer(app.getRequestHandler())
  serve(new Server(server))
  server.listen(0, '127.0.0.1', () => console.log(`ready at ${urlOf(server)}`))
})
