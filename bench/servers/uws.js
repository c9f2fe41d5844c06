'use strict'
// The same tasks on plain uWebSockets.js: no Engine.IO, no sessions, no heartbeats (load generator option --raw).
const fs = require('fs')
const path = require('path')
const uws = require('./uws-module')

const { TASK = 'echo', ACK_EVERY = '100', TLS, OPTS = '{}' } = process.env
const opts = JSON.parse(OPTS)
const every = +ACK_EVERY
const count = { messages: 0, connections: 0, closes: 0 }
const app = uws.app(TLS && path.join(__dirname, '..', '..', '__test__', 'fixtures', 'tls'))

const tasks = {
  echo: (ws, data, binary) => ws.send(data, binary, !!opts.perMessageDeflate),
  receive: (ws, data, binary) => {
    const state = ws.getUserData()
    // Text becomes a string, as Engine.IO gives it to an application.
    const message = binary ? data : Buffer.from(data).toString()
    state.bytes += message.length ?? message.byteLength
    if (++state.n % every === 0) ws.send(`${state.n} ${state.bytes}`)
  },
  // Broadcasts with uWebSockets.js's own publish.
  broadcast: (ws, data, binary) => app.publish('all', data, binary),
}
const task = tasks[TASK] || (() => {})

app.ws('/*', {
  ...uws.limits,
  ...(opts.perMessageDeflate ? { compression: uws.compression } : {}),
  maxPayloadLength: 1e6,
  upgrade: (res, req, context) =>
    res.upgrade(
      { n: 0, bytes: 0 },
      req.getHeader('sec-websocket-key'),
      req.getHeader('sec-websocket-protocol'),
      req.getHeader('sec-websocket-extensions'),
      context,
    ),
  open: (ws) => {
    count.connections++
    if (TASK === 'broadcast') ws.subscribe('all')
  },
  message: (ws, data, binary) => {
    count.messages++
    task(ws, data, binary)
  },
  close: () => {
    count.closes++
  },
})
require('./report')(count)
uws.listen(app, (port) => fs.writeSync(1, JSON.stringify({ event: 'listening', port, pid: process.pid }) + '\n'))
