'use strict'

// The round trip of a message, as a live plot, by polling and by WebSocket side by side.

const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const engineIo = require('engine.io')

const files = {
  '/': [path.join(__dirname, 'public', 'index.html'), 'text/html; charset=utf-8'],
  '/engine.io.js': [clientBundle(), 'text/javascript'],
}

const httpServer = http.createServer((req, res) => {
  const [file, type] = files[req.url] ?? []
  if (file === undefined) return res.writeHead(404).end('not found')
  res.setHeader('content-type', type)
  fs.createReadStream(file).pipe(res)
})

engineIo.attach(httpServer).on('connection', (socket) => {
  socket.on('message', (data) => socket.send(data))
})

function clientBundle() {
  const main = path.dirname(require.resolve('engine.io-client/package.json'))
  return path.join(main, 'dist', 'engine.io.min.js')
}

httpServer.listen(process.env.PORT ?? 3000, () => {
  console.log(`The plot is open: http://localhost:${httpServer.address().port}`)
})
