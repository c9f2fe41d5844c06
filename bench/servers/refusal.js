'use strict'
// An HTTP server that refuses each request as an engine does whose sessions do not have the id.
const http = require('http')
const fs = require('fs')

const body = JSON.stringify({ code: 1, message: 'Session ID unknown' })
const server = http.createServer((req, res) => {
  res.writeHead(400, { 'Content-Type': 'application/json' })
  res.end(body)
})
server.listen(0, () => {
  const { port } = server.address()
  fs.writeSync(1, `${JSON.stringify({ event: 'listening', port, pid: process.pid })}\n`)
})
require('./report')({ messages: 0, connections: 0, closes: 0 })
