'use strict'

// One process of a cluster on a platform where a parent cannot talk to it: an echo server that writes its port, and
// whose metrics are at /metrics.

const http = require('node:http')
const { Server } = require('../..')

const server = http.createServer()
const [, , directory] = process.argv
const engine = new Server({ cluster: directory === undefined ? true : { directory } })
server.on('request', (req, res) => {
  if (req.url === '/metrics') res.end(JSON.stringify(engine.metrics().cluster))
})
engine.attach(server)
engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
server.listen(0, '127.0.0.1', () => console.log(`listening ${/** @type {any} */ (server.address()).port}`))
