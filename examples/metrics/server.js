'use strict'

// An echo whose numbers are at /metrics, for Prometheus. CLIENTS clients of its own (20 by default) give it some work.

const http = require('node:http')
const engineIo = require('engine.io')
const { Socket } = require('engine.io-client')
const { prometheus } = require('engine.io/metrics')

const httpServer = http.createServer((req, res) => {
  if (req.url !== '/metrics') return res.writeHead(404).end('not found')
  res.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  res.end(prometheus(engine, { eventLoop: true }))
})
const engine = engineIo.attach(httpServer, { cluster: true })

engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))

/** Opens a session for a while, which sends a message now and then. */
function visit(url) {
  const client = new Socket(url, { transports: Math.random() < 0.2 ? ['polling'] : ['polling', 'websocket'] })
  const talk = setInterval(() => client.send('x'.repeat(Math.random() * 1000)), 20 + Math.random() * 200)
  client.on('error', () => {})
  client.on('close', () => clearInterval(talk))
  setTimeout(
    () => {
      client.close()
      visit(url)
    },
    5000 + Math.random() * 20_000,
  )
}

httpServer.listen(process.env.PORT ?? 3000, () => {
  const url = `http://localhost:${httpServer.address().port}`
  for (let i = 0; i < Number(process.env.CLIENTS ?? 20); i++) visit(url)
  console.log(`The numbers are here: ${url}/metrics`)
})
