'use strict'

// Methods of the server that subclasses override and applications patch, also while sessions are open.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  engine,
  listen,
  once,
  eventually,
  record,
  request,
  wsClient,
  openPolling,
  openWebSocket,
  openUpgraded,
  path,
} = require('../support')
const { serve } = require('../support/subclass')

const { Server } = engine

/** A subclass that notes the calls of `names` and hands them on. */
function noting(names, calls) {
  const Noting = class extends Server {}
  for (const name of names) {
    Noting.prototype[name] = function (...args) {
      calls.push(name)
      return Server.prototype[name].apply(this, args)
    }
  }
  return Noting
}

const HANDSHAKE = ['prepare', 'verify', 'handshake', 'generateId', 'createTransport', 'upgrades']

test('the methods of a subclass are called in order for a polling handshake', async () => {
  const calls = []
  const context = await serve(noting([...HANDSHAKE, 'onWebSocket'], calls))
  await openPolling(context)
  assert.deepEqual(calls, HANDSHAKE)
})

test('the methods of a subclass are called in order for a WebSocket handshake', async () => {
  const calls = []
  const context = await serve(noting([...HANDSHAKE, 'onWebSocket'], calls))
  await openWebSocket(context)
  assert.deepEqual(calls, [
    'prepare',
    'verify',
    'onWebSocket',
    'handshake',
    'generateId',
    'createTransport',
    'upgrades',
  ])
})

test('the methods of a subclass are called in order for the requests of an upgrade', async () => {
  const calls = []
  const context = await serve(noting([...HANDSHAKE, 'onWebSocket'], calls))
  await openUpgraded(context)
  assert.deepEqual(calls.slice(HANDSHAKE.length), ['prepare', 'verify', 'onWebSocket', 'createTransport'])
})

test('methods patched after the server was attached are called for the next requests', async () => {
  const calls = []
  const context = await serve()
  const { peer } = await openPolling(context)
  for (const name of HANDSHAKE) {
    const original = context.engine[name]
    context.engine[name] = function (...args) {
      calls.push(name)
      return original.apply(this, args)
    }
  }
  assert.equal((await peer.post('4x')).status, 200)
  assert.deepEqual(calls, ['prepare', 'verify'])
  await openPolling(context)
  assert.deepEqual(calls.slice(2), HANDSHAKE)
})

test('verify may be overridden to refuse a request, with a code and a context', async () => {
  const context = await serve(
    class extends Server {
      verify(req, upgrade, fn) {
        if (req._query.token !== 'yes') return fn(Server.errors.FORBIDDEN, { message: 'no token' })
        return super.verify(req, upgrade, fn)
      }
    },
  )
  const failed = once(context.engine, 'connection_error')
  const response = await request({ port: context.port, path: path(context) })
  assert.equal(response.status, 403)
  assert.equal(response.body, '{"code":4,"message":"no token"}')
  const [{ code, context: details }] = await failed
  assert.deepEqual([code, details], [4, { message: 'no token' }])
  await openPolling(context, { token: 'yes' })
})

test('verify may call back later', async () => {
  const context = await serve(
    class extends Server {
      verify(req, upgrade, fn) {
        super.verify(req, upgrade, (code, details) => setImmediate(() => fn(code, details)))
      }
    },
  )
  await openPolling(context)
  await openWebSocket(context)
  const response = await request({ port: context.port, path: path(context, { sid: 'unknown' }) })
  assert.equal(response.body, '{"code":1,"message":"Session ID unknown"}')
})

test('verify may see an unknown session and leave the request to somebody else', async () => {
  const context = await serve(
    class extends Server {
      verify(req, upgrade, fn) {
        super.verify(req, upgrade, (code, details) => {
          if (code === Server.errors.UNKNOWN_SID) req.res.writeHead(200).end(`elsewhere: ${details.sid}`)
          else fn(code, details)
        })
      }
    },
  )
  const response = await request({ port: context.port, path: path(context, { sid: 'abc' }) })
  assert.equal(response.body, 'elsewhere: abc')
})

test('prepare may be overridden to fill the query from elsewhere', async () => {
  const context = await serve(
    class extends Server {
      prepare(req) {
        super.prepare(req)
        req._query.EIO = '4'
        req._query.transport = req.headers['x-transport']
      }
    },
  )
  const response = await request({ port: context.port, path: context.path, headers: { 'x-transport': 'polling' } })
  assert.equal(response.status, 200)
})

test('handshake resolves with the transport, and its override may look at it', async () => {
  const transports = []
  const context = await serve(
    class extends Server {
      async handshake(name, req, close) {
        const transport = await super.handshake(name, req, close)
        transports.push(transport)
        return transport
      }
    },
  )
  const { socket } = await openPolling(context)
  const { socket: other } = await openWebSocket(context)
  await eventually(() => transports.length, 2)
  assert.equal(transports[0], socket.transport)
  assert.equal(transports[1], other.transport)
})

test('createTransport may be overridden to make transports of classes of its own', async () => {
  const { polling, websocket } = engine.transports
  class Loud extends websocket {
    send(packets) {
      super.send(packets.map((packet) => ({ ...packet, data: packet.data && packet.data.toUpperCase() })))
    }
  }
  const context = await serve(
    class extends Server {
      createTransport(name, req) {
        const transport = name === 'websocket' ? new Loud(req) : polling(req)
        transport.mark = name
        return transport
      }
    },
  )
  const { socket } = await openPolling(context)
  assert.equal(socket.transport.mark, 'polling')
  const ws = await wsClient(context.port, path(context, { transport: 'websocket' }))
  assert.match(await ws.next(), /^0\{"SID"/)
  const [sid] = Object.keys(context.engine.clients).filter((id) => id !== socket.id)
  context.engine.clients[sid].send('hello')
  assert.equal(await ws.next(), '4HELLO')
})

test("a transport of the application's own may be served by plain requests", async (t) => {
  class Streaming extends engine.Transport {
    get name() {
      return 'streaming'
    }

    onRequest({ method, res }) {
      if (method === 'POST') {
        this.onData('4posted')
        return res.end('taken')
      }
      this.res = res
      this.writable = true
      this.emit('ready')
    }

    send(packets) {
      for (const packet of packets) this.parser.encodePacket(packet, false, (data) => this.res.write(`${data}\n`))
      this.emit('drain')
    }

    doClose(done) {
      this.res.end()
      done()
    }
  }
  engine.transports.streaming = Streaming
  t.after(() => delete engine.transports.streaming)
  const context = await listen({ transports: ['polling', 'streaming'] })
  const connected = once(context.engine, 'connection')
  const stream = request({ port: context.port, path: path(context, { transport: 'streaming' }) })
  const [socket] = await connected
  const messages = record(socket, 'message')
  const posted = await request({
    port: context.port,
    method: 'POST',
    path: path(context, { transport: 'streaming', sid: socket.id }),
  })
  assert.deepEqual([posted.status, posted.body], [200, 'taken'])
  assert.deepEqual(messages, [['message', 'posted']])
  socket.send('hello')
  socket.close()
  const { body } = await stream
  assert.match(body, /^0\{"sid":.*\}\n4hello\n$/)
})

test('an exception of createTransport refuses the handshake', async () => {
  const context = await serve(
    class extends Server {
      createTransport() {
        throw new Error('none left')
      }
    },
  )
  const failed = once(context.engine, 'connection_error')
  const response = await request({ port: context.port, path: path(context) })
  assert.equal(response.status, 400)
  const [{ context: details }] = await failed
  assert.equal(details.name, 'TRANSPORT_HANDSHAKE_ERROR')
  assert.equal(details.error.message, 'none left')
})

test('onWebSocket may be overridden to keep a connection for something else', async () => {
  const context = await serve(
    class extends Server {
      onWebSocket(req, socket, websocket) {
        if (req._query.echo === undefined) return super.onWebSocket(req, socket, websocket)
        websocket.on('message', (data, isBinary) => websocket.send(isBinary ? data : `echo ${data}`))
      }
    },
  )
  const ws = await wsClient(context.port, path(context, { transport: 'websocket', echo: '1' }))
  ws.send('hi')
  assert.equal(await ws.next(), 'echo hi')
  ws.send(Buffer.from([1, 2]))
  assert.deepEqual(await ws.next(), Buffer.from([1, 2]))
  assert.equal(context.engine.clientsCount, 0)
  await openWebSocket(context)
  assert.equal(context.engine.clientsCount, 1)
})

test('onWebSocket may be overridden to serve a connection later', async () => {
  const context = await serve(
    class extends Server {
      onWebSocket(req, socket, websocket) {
        setTimeout(() => super.onWebSocket(req, socket, websocket), 20)
      }
    },
  )
  const { peer, socket } = await openWebSocket(context)
  const message = once(socket, 'message')
  peer.sendText('4late')
  assert.deepEqual(await message, ['late'])
})

test('upgrades decides what clients are told', async () => {
  const context = await serve(
    class extends Server {
      upgrades(name) {
        return name === 'polling' ? ['websocket', 'carrier pigeon'] : []
      }
    },
  )
  const { peer } = await openPolling(context)
  assert.deepEqual(peer.open.upgrades, ['websocket'])
  context.engine.upgrades = () => []
  assert.deepEqual((await openPolling(context)).peer.open.upgrades, [])
})

test('generateId may be replaced on a running server, and gets the request', async () => {
  const context = await serve()
  await openPolling(context)
  context.engine.generateId = (req) => `custom-${req._query.name}`
  const { peer, socket } = await openPolling(context, { name: 'a' })
  assert.equal(peer.sid, 'custom-a')
  assert.equal(context.engine.clients['custom-a'], socket)
  context.engine.generateId = async () => 'later'
  assert.equal((await openWebSocket(context)).open.sid, 'later')
})

test('everything the server emits goes through emit, which may hold events back', async () => {
  const events = []
  const context = await serve(
    class extends Server {
      emit(event, ...args) {
        events.push(event)
        if (event === 'connection') {
          setTimeout(() => super.emit(event, ...args), 20)
          return true
        }
        return super.emit(event, ...args)
      }
    },
  )
  const { socket } = await openPolling(context)
  assert.ok(context.engine.clients[socket.id] === socket)
  const own = events.filter((event) => event !== 'newListener')
  assert.deepEqual([...own].sort(), ['connection', 'drain', 'flush', 'headers', 'initial_headers'])
  await request({ port: context.port, path: '/engine.io/?transport=none' })
  assert.ok(events.includes('connection_error'))
})

test('clients may be written to by others than the engine', async () => {
  const context = await serve()
  const { peer, socket } = await openPolling(context)
  context.engine.clients.alias = socket
  delete context.engine.clients[peer.sid]
  assert.equal((await peer.poll()).status, 400)
  const message = once(socket, 'message')
  const response = await request({
    port: context.port,
    path: path(context, { sid: 'alias' }),
    method: 'POST',
    body: '4x',
  })
  assert.equal(response.status, 200)
  assert.deepEqual(await message, ['x'])
})
