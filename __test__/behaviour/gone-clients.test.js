'use strict'

// Clients that go away while an asynchronous hook decides about their handshake.

const assert = require('node:assert/strict')
const { engine, defer, improvement, listen, once, openPolling, path, record, RawPeer } = require('../support')

async function serveItself() {
  const attached = engine.listen(0)
  defer(() => {
    attached.close()
    attached.httpServer.close()
  })
  await once(attached.httpServer, 'listening')
  return { engine: attached, port: attached.httpServer.address().port, path: '/engine.io/' }
}

/** Each lets the next request wait in a hook; `asked(req, goOn)` is called when it does. */
const hooks = {
  allowRequest(server, asked) {
    server.opts.allowRequest = (req, fn) => {
      server.opts.allowRequest = undefined
      asked(req, () => fn(null, true))
    }
  },
  generateId(server, asked) {
    const { generateId } = server
    server.generateId = (req) => {
      server.generateId = generateId
      return new Promise((resolve) => asked(req, () => resolve('late')))
    }
  },
  'a middleware'(server, asked) {
    server.use((req, res, next) => {
      if (server.middlewares.pop()) asked(req, next)
    })
  },
}

for (const [way, serve] of [
  ['attach()', listen],
  ['listen()', serveItself],
]) {
  for (const [name, hook] of Object.entries(hooks)) {
    improvement(
      'G-44: a ghost session until the ping timeout',
      `a polling client that leaves during ${name} gets no session: ${way}`,
      async () => {
        const context = await serve()
        const connections = record(context.engine, 'connection')
        const waiting = new Promise((resolve) => hook(context.engine, (...args) => resolve(args)))
        const peer = await RawPeer.connect(context.port)
        peer.write(`GET ${path(context)} HTTP/1.1\r\nHost: x\r\n\r\n`)
        const [req, goOn] = await waiting
        const closed = once(req.res, 'close')
        peer.reset()
        await closed
        goOn()
        await new Promise(setImmediate)
        assert.deepEqual([connections, context.engine.clientsCount], [[], 0])
        const { socket } = await openPolling(context)
        assert.equal(socket.readyState, 'open')
      },
    )
  }
}
