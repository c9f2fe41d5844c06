'use strict'

const http = require('node:http')
const { defer } = require('./cleanup')
const { engine } = require('./engine')
const { delay, once } = require('./events')

/** Binds `server` to an ephemeral loopback port and returns the port; it is closed after the test. */
async function bind(server) {
  const sockets = new Set()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  const port = await rebind(server)
  defer(async () => {
    for (const socket of sockets) socket.destroy()
    if (!server.listening) return
    await Promise.race([new Promise((resolve) => server.close(resolve)), delay(500, undefined, { ref: false })])
  })
  return port
}

async function rebind(server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server.address().port
}

/**
 * An engine attached to a listening HTTP server: `{ engine, server, port, close() }`.
 *
 * `opts` goes to the engine and to `attach()`; `server` replaces the default `http.createServer()`.
 */
async function listen(opts = {}, server = http.createServer()) {
  const attached = engine.attach(server, opts)
  const port = await bind(server)
  const context = {
    engine: attached,
    server,
    port,
    path: opts.path === undefined ? '/engine.io/' : `${opts.path.replace(/\/$/, '')}/`,
    async close() {
      attached.close()
      if (server.listening) {
        server.closeAllConnections()
        server.close()
      }
    },
  }
  defer(() => context.close())
  return context
}

/** The same on the server that the package's own `listen()` makes. */
async function listenDirectly(opts = {}) {
  const server = engine.listen(0, opts)
  const { httpServer } = server
  defer(() => {
    server.close()
    httpServer.close()
    httpServer.closeAllConnections?.()
  })
  if (!httpServer.listening) await once(httpServer, 'listening')
  return { engine: server, server: httpServer, port: httpServer.address().port, path: '/engine.io/' }
}

/** The same on the engine's own listener. */
function listenNatively(opts = {}) {
  return listenDirectly({ ...opts, listener: 'native' })
}

/** Resolves when the HTTP server has handed a matching request to its listeners (the engine's came first). */
function arrived(server, matches = () => true) {
  return new Promise((resolve) => {
    server.on('request', function listener(req) {
      if (matches(req)) {
        server.removeListener('request', listener)
        resolve(req)
      }
    })
  })
}

module.exports = { listen, listenDirectly, listenNatively, bind, rebind, arrived }
