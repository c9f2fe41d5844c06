'use strict'

// A chat on plain engine.io: every message goes to everybody.

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

const engine = engineIo.attach(httpServer)
const everybody = new Set()
let guests = 0

engine.on('connection', (socket) => {
  everybody.add(socket)
  // the id of the socket is a secret: it stays here
  const from = `guest ${++guests}`
  tell({ people: everybody.size })
  socket.on('message', (text) => {
    if (typeof text === 'string') tell({ text: text.slice(0, 1000), from })
  })
  socket.on('close', () => {
    everybody.delete(socket)
    tell({ people: everybody.size })
  })
})

function tell(news) {
  const text = JSON.stringify(news)
  for (const socket of everybody) socket.send(text)
}

function clientBundle() {
  const main = path.dirname(require.resolve('engine.io-client/package.json'))
  return path.join(main, 'dist', 'engine.io.min.js')
}

httpServer.listen(process.env.PORT ?? 3000, () => {
  console.log(`The chat is open: http://localhost:${httpServer.address().port}`)
})
