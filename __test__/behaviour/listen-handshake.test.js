'use strict'

// Handshakes behind listen(). The native listener, which is ours alone, opens sessions by itself: nobody can tell from
// outside, nor from the session. What has a say in handshakes is heard from the next one on, behind Node's server.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const {
  frame,
  listenDirectly,
  listenNatively,
  eventually,
  once,
  onceOfNext,
  path,
  request,
  client,
  defer,
  RawWebSocket,
  upstream,
} = require('../support')

const websocket = { transport: 'websocket' }

/** A handshake of either transport: its status, headers and what the open packet says. */
const ways = {
  async polling(context) {
    const { status, headers, body } = await request({ port: context.port, path: path(context) })
    return { status, headers, body, open: status === 200 ? JSON.parse(body.split('\x1e')[0].slice(1)) : undefined }
  },
  async websocket(context) {
    const peer = await RawWebSocket.open(context.port, path(context, websocket))
    const { status, headers } = peer
    return { status, headers, open: status === 101 ? JSON.parse((await peer.packet()).slice(1)) : undefined, peer }
  },
}

/** Where sessions are opened. */
const SERVERS = [
  ['listen()', listenDirectly],
  ['the native listener', listenNatively],
]

/** A test behind each of them. */
function each(name, fn) {
  for (const [where, listen] of SERVERS) {
    test(name.replace('listen()', where), { skip: listen === listenNatively && upstream }, () => fn(listen))
  }
}

for (const [transport, handshake] of Object.entries(ways)) {
  const test_ = (name, fn) => each(`${transport} behind listen(): ${name}`, fn)
  const hooked = (name, fn) => test(`${transport} behind listen(): ${name}`, () => fn(listenDirectly))

  test_('a session opens with what the options say', async (listen) => {
    const context = await listen({ pingInterval: 12345, pingTimeout: 2345, maxHttpBufferSize: 4321 })
    const connected = once(context.engine, 'connection')
    const { open } = await handshake(context)
    const [socket] = await connected
    const upgrades = transport === 'polling' ? ['websocket'] : []
    assert.deepEqual(open, { sid: socket.id, upgrades, pingInterval: 12345, pingTimeout: 2345, maxPayload: 4321 })
    assert.match(socket.id, /^[\w-]{20}$/)
    assert.equal(context.engine.clients[socket.id], socket)
    assert.equal(context.engine.clientsCount, 1)
    const { readyState, protocol, transport: own, upgraded } = socket
    assert.deepEqual([readyState, protocol, own.name, own.sid, upgraded], ['open', 4, transport, socket.id, false])
  })

  test_('sessions are in clients, whether they came before somebody looked at it or after', async (listen) => {
    const context = await listen()
    const ids = []
    context.engine.on('connection', ({ id }) => ids.push(id))
    for (let opened = 0; opened < 2; opened++) {
      const connected = once(context.engine, 'connection')
      await handshake(context)
      await connected
      assert.deepEqual(Object.keys(context.engine.clients).sort(), [...ids].sort())
    }
    const [first, second] = ids
    context.engine.clients[first].close(true)
    assert.deepEqual(Object.keys(context.engine.clients), [second])
    assert.equal(context.engine.clients[second].id, second)
  })

  test_(
    "a request that names another session's transport is judged by that session, and one of a closed session is unknown",
    async (listen) => {
      const context = await listen()
      const connected = once(context.engine, 'connection')
      const { open } = await handshake(context)
      const [socket] = await connected
      const query = { sid: open.sid, transport: transport === 'polling' ? 'websocket' : 'polling' }
      const { body } = await request({ port: context.port, path: path(context, query) })
      // the native listener knows no session by its id that does not poll, see docs/NATIVE-LISTENER.md
      assert.equal(JSON.parse(body).code, listen === listenNatively && transport === 'websocket' ? 1 : 3)
      socket.close(true)
      const later = await request({ port: context.port, path: path(context, { sid: open.sid }) })
      assert.deepEqual([later.status, JSON.parse(later.body).code], [400, 1])
    },
  )

  test_('the transport of a session that has ended can still be looked at', async (listen) => {
    const context = await listen({ pingInterval: 20, pingTimeout: 20 })
    const connected = once(context.engine, 'connection')
    const closed = onceOfNext(context, 'close')
    const { peer } = await handshake(context)
    const [socket] = await connected
    await closed
    const { transport: own } = socket
    assert.deepEqual([own.name, own.sid], [transport, socket.id])
    assert.notEqual(own.readyState, 'open')
    assert.equal(socket.transport, own)
    if (peer) peer.socket.destroy()
  })

  test_('closing the server closes sessions that nobody has looked for', async (listen) => {
    const context = await listen()
    const connected = once(context.engine, 'connection')
    await handshake(context)
    const [socket] = await connected
    const closed = once(socket, 'close')
    context.engine.close()
    assert.equal((await closed)[0], 'forced close')
    assert.equal(context.engine.clientsCount, 0)
    assert.deepEqual(context.engine.clients, {})
  })

  test_('the session shows the request that opened it', async (listen) => {
    const context = await listen()
    const connected = once(context.engine, 'connection')
    await handshake(context)
    const [{ request: req, remoteAddress }] = await connected
    assert.equal(req.method, 'GET')
    assert.equal(req.url, path(context, { transport }))
    assert.deepEqual({ ...req._query }, { EIO: '4', transport })
    assert.match(req.headers.host, /127\.0\.0\.1/)
    assert.equal(req.socket.remotePort > 0, true)
    assert.match(remoteAddress, /127\.0\.0\.1$/)
    assert.equal(req.connection.remoteAddress, remoteAddress)
  })

  hooked('options that are changed count from the next handshake on', async (listen) => {
    const context = await listen()
    await handshake(context)
    Object.assign(context.engine.opts, { pingInterval: 54321, maxHttpBufferSize: 99 })
    const { open } = await handshake(context)
    assert.deepEqual([open.pingInterval, open.maxPayload], [54321, 99])
    context.engine.opts = { ...context.engine.opts, pingTimeout: 777 }
    assert.equal((await handshake(context)).open.pingTimeout, 777)
  })

  hooked('a transport that is taken out of the options is refused', async (listen) => {
    const context = await listen()
    await handshake(context)
    context.engine.opts.transports = transport === 'polling' ? ['websocket'] : ['polling']
    const { status } = await handshake(context)
    assert.equal(status, 400)
  })

  hooked('an allowRequest that comes later is asked', async (listen) => {
    const context = await listen()
    assert.notEqual((await handshake(context)).open, undefined)
    context.engine.opts.allowRequest = (req, decide) => decide('no', false)
    assert.equal((await handshake(context)).open, undefined)
    context.engine.opts.allowRequest = undefined
    assert.notEqual((await handshake(context)).open, undefined)
  })

  hooked('an allowRequest that is deleted and set again is asked, and stands among the options', async (listen) => {
    const context = await listen()
    const refuse = (req, decide) => decide('no', false)
    const { opts } = context.engine
    opts.allowRequest = refuse
    assert.equal({ ...opts }.allowRequest, refuse)
    delete opts.allowRequest
    assert.notEqual((await handshake(context)).open, undefined)
    assert.notEqual((await handshake(context)).open, undefined)
    opts.allowRequest = refuse
    assert.equal((await handshake(context)).open, undefined)
    Object.defineProperty(opts, 'allowRequest', { value: undefined, writable: true, configurable: true })
    assert.notEqual((await handshake(context)).open, undefined)
    opts.allowRequest = refuse
    assert.equal((await handshake(context)).open, undefined)
  })

  hooked('a middleware that comes later sees the next handshake', async (listen) => {
    const context = await listen()
    await handshake(context)
    const seen = []
    context.engine.use((req, res, next) => {
      seen.push(req._query.transport)
      next()
    })
    await handshake(context)
    assert.deepEqual(seen, [transport])
  })

  hooked('listeners of initial_headers and headers add to the next response', async (listen) => {
    const context = await listen()
    await handshake(context)
    context.engine.on('initial_headers', (headers) => (headers['x-initial'] = '1'))
    context.engine.on('headers', (headers) => (headers['x-each'] = '2'))
    const { headers } = await handshake(context)
    assert.deepEqual([headers['x-initial'], headers['x-each']], ['1', '2'])
  })

  hooked('a replaced generateId makes the next id', async (listen) => {
    const context = await listen()
    await handshake(context)
    context.engine.generateId = () => 'mine'
    assert.equal((await handshake(context)).open.sid, 'mine')
  })

  hooked('a listener of flush sees the open packet of the next session', async (listen) => {
    const context = await listen()
    await handshake(context)
    const flushed = []
    context.engine.on('flush', (socket, packets) => flushed.push(packets.map(({ type }) => type)))
    await handshake(context)
    assert.deepEqual(flushed, [['open']])
  })

  test_('what opens a session is told, and waits, as it does everywhere', async (listen) => {
    const context = await listen({ initialPacket: 'hello' })
    const seen = []
    context.engine.on('flush', (socket, packets) => seen.push(`flush ${packets.map(({ type }) => type)}`))
    context.engine.on('drain', () => seen.push('drain'))
    const isReady = new Promise((resolve) => {
      context.engine.on('connection', (socket) => {
        const { transport: own, writeBuffer } = socket
        seen.push(`connection, writable: ${own.writable}, ${writeBuffer.length} in writeBuffer`)
        socket.send('from the listener', resolve)
      })
    })
    const connected = once(context.engine, 'connection')
    const { body, peer } = await handshake(context)
    await connected
    if (transport === 'polling') {
      assert.equal(body.split('\x1e')[1], '4hello')
      assert.deepEqual(seen, ['flush open,message', 'drain', 'connection, writable: false, 0 in writeBuffer'])
      return
    }
    assert.deepEqual([await peer.packet(), await peer.packet()], ['4hello', '4from the listener'])
    await isReady
    const more = ['flush message,message', 'drain']
    assert.deepEqual(seen, ['flush open', 'drain', 'connection, writable: false, 1 in writeBuffer', ...more])
  })

  test_('the transport of a new session is ready when the open packet has gone', async (listen) => {
    const context = await listen()
    const seen = []
    const told = new Promise((resolve) => {
      context.engine.on('connection', (socket) => {
        socket.transport.on('drain', () => seen.push('drain'))
        socket.transport.on('ready', () => {
          seen.push('ready')
          resolve()
        })
      })
    })
    const { open } = await handshake(context)
    if (transport === 'polling') {
      void request({ port: context.port, path: path(context, { sid: open.sid }) }).catch(() => {})
      await told
      return assert.deepEqual(seen, ['ready'])
    }
    await told
    assert.deepEqual(seen, ['drain', 'ready'])
  })

  test_('the option cookie sets the header, the option initialPacket sends a packet', async (listen) => {
    const context = await listen({ cookie: true })
    const { headers, open } = await handshake(context)
    if (transport === 'polling') assert.match(String(headers['set-cookie']), new RegExp(`^io=${open.sid};`))
    const real = client(await listen({ initialPacket: 'hello' }), { transports: [transport] })
    assert.deepEqual(await once(real, 'message'), ['hello'])
    real.close()
  })

  test_('a session that its connection listener closes is closed for the client, too', async (listen) => {
    const context = await listen()
    const closes = []
    context.engine.on('connection', (socket) => {
      socket.on('close', (reason) => closes.push(reason))
      socket.close(true)
    })
    const real = client(context, { transports: [transport] })
    await once(real, 'close')
    assert.deepEqual(closes, ['forced close'])
    assert.equal(context.engine.clientsCount, 0)
  })

  test_('a listener of packet sees the pongs from the first one on', async (listen) => {
    const context = await listen({ pingInterval: 30 })
    const seen = new Promise((resolve) => {
      context.engine.on('connection', (socket) => {
        const types = []
        socket.on('packet', ({ type }) => {
          types.push(type)
          if (types.length === 2) resolve(types)
        })
      })
    })
    const real = client(context, { transports: [transport] })
    assert.deepEqual(await seen, ['pong', 'pong'])
    real.close()
  })

  test_('a listener that is added to a session later sees the next heartbeat', async (listen) => {
    const context = await listen({ pingInterval: 30 })
    const connected = once(context.engine, 'connection')
    const real = client(context, { transports: [transport] })
    const [socket] = await connected
    await once(real, 'ping')
    await once(real, 'ping')
    await once(socket, 'heartbeat')
    real.close()
  })

  test_('messages wait for listeners that are added some ticks after the session came', async (listen) => {
    const context = await listen()
    const messages = []
    const heard = new Promise((resolve) => {
      context.engine.on('connection', async (socket) => {
        await null
        await new Promise(process.nextTick)
        socket.on('message', (data) => messages.push(data) === 3 && resolve())
      })
    })
    const real = client(context, { transports: [transport] })
    real.on('open', () => ['a', 'b', 'c'].forEach((message) => real.send(message)))
    await heard
    assert.deepEqual(messages, ['a', 'b', 'c'])
    real.close()
  })

  test_('clients with text only, JSONP, escapes or revision 3 are served as ever', async (listen) => {
    const context = await listen({ allowEIO3: true })
    for (const [more, expected] of [
      [{ b64: '1' }, [4, false]],
      [{ EIO: '3' }, [3, true]],
      [{ x: '%41' }, [4, true]],
    ]) {
      const target = path(context, { transport, ...more })
      const connected = once(context.engine, 'connection')
      if (transport === 'polling') await request({ port: context.port, path: target })
      else await RawWebSocket.open(context.port, target)
      const [{ protocol, transport: own }] = await connected
      assert.deepEqual([protocol, own.supportsBinary], expected)
    }
  })

  test_('many sessions at once all come to the connection listener', async (listen) => {
    const context = await listen()
    const ids = []
    context.engine.on('connection', (socket) => ids.push(socket.id))
    const shakes = await Promise.all(Array.from({ length: 200 }, () => handshake(context)))
    await eventually(() => ids.length, 200)
    assert.deepEqual(ids.sort(), shakes.map(({ open }) => open.sid).sort())
  })
}

each('websocket behind listen(): the lines of the response are those of an attached engine', async (listen) => {
  const context = await listen({ perMessageDeflate: true })
  const headers = { 'Sec-WebSocket-Protocol': 'a, b', 'Sec-WebSocket-Extensions': 'permessage-deflate' }
  const lines = ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=']
  const more = ['Sec-WebSocket-Protocol: a', 'Sec-WebSocket-Extensions: permessage-deflate']
  for (const [options, expected] of [
    [{}, lines],
    [{ headers }, [...lines, ...more]],
  ]) {
    const peer = await RawWebSocket.open(context.port, path(context, websocket), options)
    assert.equal(peer.statusLine, 'HTTP/1.1 101 Switching Protocols')
    assert.deepEqual(peer.headerLines, expected)
  }
})

each("websocket behind listen(): requests that are no WebSocket's are refused as ever", async (listen) => {
  const context = await listen()
  for (const [headers, status] of [
    [{ 'Sec-WebSocket-Version': '12' }, 400],
    [{ 'Sec-WebSocket-Key': 'short' }, 400],
    [{ 'Sec-WebSocket-Key': undefined }, 400],
    [{ 'Sec-WebSocket-Protocol': 'a,,b' }, 400],
  ]) {
    const peer = await RawWebSocket.open(context.port, path(context, websocket), { headers })
    assert.equal(peer.status, status)
  }
  assert.equal(context.engine.clientsCount, 0)
})

each('websocket behind listen(): after close() upgrades get 503', async (listen) => {
  const context = await listen()
  await ways.websocket(context)
  context.engine.close()
  assert.equal((await ways.websocket(context)).status, 503)
})

each('websocket behind listen(): maxHttpBufferSize is the limit of a message', async (listen) => {
  const context = await listen({ maxHttpBufferSize: 10 })
  const connected = once(context.engine, 'connection')
  const { peer } = await ways.websocket(context)
  const closed = once((await connected)[0], 'close')
  peer.write(frame({ payload: `4${'x'.repeat(10)}` }))
  assert.equal((await closed)[0], 'transport error')
})

each('polling behind listen(): the answer to a handshake is compressed where the threshold says so', async (listen) => {
  const context = await listen({ httpCompression: { threshold: 0 } })
  const headers = { 'Accept-Encoding': 'gzip' }
  const response = await request({ port: context.port, path: path(context), headers })
  assert.equal(response.headers['content-encoding'], 'gzip')
})

each('a connection listener that throws costs no other client its session', async (listen) => {
  const context = await listen()
  const failures = []
  const keep = (error) => failures.push(error.message)
  const others = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', keep)
  defer(() => {
    process.removeListener('unhandledRejection', keep)
    for (const listener of others) process.on('unhandledRejection', listener)
  })
  const opened = []
  context.engine.on('connection', (socket) => {
    opened.push(socket.id)
    if (opened.length % 2 === 1) throw new Error('no')
  })
  for (let i = 0; i < 4; i++) await ways.polling(context)
  await eventually(() => [opened.length, failures.length], [4, 2])
  assert.equal(context.engine.clientsCount, 4)
})

for (const [name, open] of Object.entries(ways)) {
  each(`${name} behind listen(): the request of a session is the same object each time`, async (listen) => {
    const context = await listen()
    const connected = once(context.engine, 'connection')
    await open(context)
    const [socket] = await connected
    const { request: req } = socket
    assert.equal(socket.request, req)
    req.mark = 1
    assert.equal(socket.request.mark, 1)
  })

  each(`${name} behind listen(): a session that lets go of its request keeps the client's address`, async (listen) => {
    const context = await listen()
    const connected = once(context.engine, 'connection')
    await open(context)
    const [socket] = await connected
    socket.request = null
    assert.equal(socket.request, null)
    assert.match(socket.remoteAddress, /127\.0\.0\.1$/)
    if (name === 'websocket') assert.match(socket.transport.socket._socket.remoteAddress, /127\.0\.0\.1$/)
    socket.remoteAddress = 'elsewhere'
    socket.request = { mine: true }
    assert.equal(socket.remoteAddress, 'elsewhere')
    assert.deepEqual(socket.request, { mine: true })
  })
}

each(
  'websocket behind listen(): the socket of the request emits close when the connection has ended',
  async (listen) => {
    const context = await listen()
    const connected = once(context.engine, 'connection')
    const { peer } = await ways.websocket(context)
    const [socket] = await connected
    assert.equal(socket.transport.socket._socket, socket.request.socket)
    const closed = once(socket.request.socket, 'close')
    peer.socket.destroy()
    await closed
    assert.equal(socket.request.socket.destroyed, true)
  },
)

each('websocket behind listen(): the request shows every header that was sent', async (listen) => {
  const context = await listen()
  const connected = once(context.engine, 'connection')
  const headers = {
    'User-Agent': 'somebody',
    'Accept-Encoding': 'gzip, br',
    'Sec-WebSocket-Extensions': 'none-that-is-known',
    Cookie: 'a=b',
    'X-Own': 'c',
  }
  await RawWebSocket.open(context.port, path(context, websocket), { headers })
  const [{ request: req }] = await connected
  for (const [name, value] of Object.entries(headers)) assert.equal(req.headers[name.toLowerCase()], value)
  const { host, upgrade, connection } = req.headers
  assert.deepEqual(
    [host, upgrade, connection].map((value) => value.toLowerCase()),
    ['127.0.0.1', 'websocket', 'upgrade'],
  )
  assert.equal(req.headers['sec-websocket-version'], '13')
  assert.equal(Buffer.from(req.headers['sec-websocket-key'], 'base64').length, 16)
  assert.equal(req.rawHeaders.length, 2 * Object.keys(req.headers).length)
})
