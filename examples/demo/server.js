'use strict'

// The live demo: tabs chat, a load client floods, and the page shows how busy the JavaScript thread is.
//
//   node examples/demo/server.js [--engine=upstream]        PORT=3000 by default, else the next free one

const fs = require('node:fs')
const http = require('node:http')
const { createRequire } = require('node:module')
const path = require('node:path')
const { startLoad } = require('./load')
const { Meter } = require('./meter')

const upstream = process.argv.includes('--engine=upstream')
const engineIo = upstream ? require('engine.io') : require('../..')

const STATS_EVERY_MS = 500
const BLOCK_SECONDS = 6

// Short heartbeats, so that a blocked event loop has the time to miss some.
const engine = new engineIo.Server({ pingInterval: 1500, pingTimeout: 2000 })
const httpServer = http.createServer(serveFile)
engine.attach(httpServer)

const meter = new Meter()
const tabs = new Set()
let load

engine.on('connection', (socket) => {
  if (isLoad(socket)) {
    socket.on('message', (data) => {
      meter.messages++
      socket.send(data)
    })
    return
  }
  tabs.add(socket)
  socket.on('close', () => {
    tabs.delete(socket)
    if (tabs.size === 0) setLoad(0)
    tell({ type: 'people', count: tabs.size })
  })
  socket.on('message', (text) => {
    meter.messages++
    receive(socket, text)
  })
  socket.send(
    JSON.stringify({
      type: 'welcome',
      engine: upstream ? 'engine.io' : 'engine.io-native',
      upstream,
      node: process.version,
      load: load?.rate ?? 0,
      blockSeconds: BLOCK_SECONDS,
    }),
  )
  tell({ type: 'people', count: tabs.size })
})

const actions = {
  echo: (socket, message) => socket.send(JSON.stringify(message)),
  chat: (socket, { name, text }) => {
    const clip = (value, length) => String(value).slice(0, length)
    tell({ type: 'chat', from: socket.id, name: clip(name, 30), text: clip(text, 2000), at: Date.now() })
  },
  load: (socket, { rate }) => setLoad(rate),
  block: () => {
    tell({ type: 'blocked', seconds: BLOCK_SECONDS })
    // A moment for the word to get out, then nothing in JavaScript runs any more.
    setTimeout(() => {
      const end = performance.now() + BLOCK_SECONDS * 1000
      while (performance.now() < end);
      tell({ type: 'unblocked' })
    }, 150)
  },
}

function receive(socket, text) {
  let message
  try {
    message = JSON.parse(text)
  } catch {
    return socket.close()
  }
  if (Object.hasOwn(actions, message?.type)) actions[message.type](socket, message)
}

function tell(message) {
  const text = JSON.stringify(message)
  for (const tab of tabs) tab.send(text)
}

function setLoad(rate) {
  load?.stop()
  load = Number(rate) > 0 ? startLoad(httpServer.address().port, rate) : undefined
  tell({ type: 'load', rate })
}

function isLoad({ request }) {
  return new URL(request.url, 'http://localhost').searchParams.get('role') === 'load'
}

setInterval(() => {
  tell({ type: 'stats', ...meter.read(), connections: engine.clientsCount })
}, STATS_EVERY_MS)

const client = path.dirname(createRequire(__filename).resolve('engine.io-client/package.json'))
const files = {
  '/': [path.join(__dirname, 'public/index.html'), 'text/html; charset=utf-8'],
  '/style.css': [path.join(__dirname, 'public/style.css'), 'text/css'],
  '/app.js': [path.join(__dirname, 'public/app.js'), 'text/javascript'],
  '/engine.io.js': [path.join(client, 'dist/engine.io.min.js'), 'text/javascript'],
}

function serveFile(req, res) {
  const [file, type] = files[req.url.split('?')[0]] ?? []
  if (!file) return res.writeHead(404).end('not found')
  res.setHeader('content-type', type)
  res.setHeader('cache-control', 'no-cache')
  fs.createReadStream(file).pipe(res)
}

let port = Number(process.env.PORT ?? 3000)
httpServer.on('error', (error) => {
  if (error.code !== 'EADDRINUSE') throw error
  httpServer.listen(++port, '127.0.0.1')
})
httpServer.listen(port, '127.0.0.1', () => {
  const name = upstream ? 'the original engine.io' : 'engine.io-native'
  console.log(`\n  The demo runs on ${name}: http://localhost:${httpServer.address().port}`)
  console.log('  Open it in two tabs. Ctrl+C ends it.\n')
})
