'use strict'

// The same behaviour behind listen(). Every test runs with a middleware and without; and on the native listener, which
// has no middlewares and is ours alone.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const zlib = require('node:zlib')
const WebSocket = require('ws')
const {
  defer,
  listenDirectly,
  listenNatively,
  eventually,
  once,
  path,
  record,
  request,
  client,
  PollingPeer,
  RawPeer,
  openWebSocket,
  probe,
  upstream,
} = require('../support')
const { binaryPayload, client3 } = require('../support/eio3')

const next = (req, res, go) => go()

const WAYS = {
  'listen()': listenDirectly,
  'listen() with a middleware': async (opts) => {
    const context = await listenDirectly(opts)
    context.engine.use(next)
    return context
  },
  'the native listener': listenNatively,
}

async function openPolling(context, query = {}) {
  const connected = once(context.engine, 'connection')
  const response = await request({ port: context.port, path: path(context, query) })
  const open = /0\{[^}]*\}/.exec(response.body.replace(/\\"/g, '"'))[0]
  const peer = new PollingPeer(context, query, { body: open })
  peer.response = response
  const [socket] = await connected
  return { peer, socket }
}

/** A poll that the engine has: `{ response }`, still to come. */
async function pendingPoll({ peer, socket }) {
  const response = peer.poll()
  await eventually(() => socket.transport.writable, true)
  return { response }
}

for (const [way, serve] of Object.entries(WAYS)) {
  const isNative = serve === listenNatively
  const both = (name, fn, opts = {}) =>
    test(`${way}: ${name}`, { skip: isNative && upstream }, async () => {
      const context = await serve({ allowEIO3: true, ...opts })
      await fn(context)
    })
  const polling = (name, fn, { query, ...opts } = {}) =>
    both(name, async (context) => fn({ context, ...(await openPolling(context, query)) }), opts)

  polling('messages go both ways, in order, with their headers', async ({ peer, socket }) => {
    const messages = record(socket, 'message', (_, data) => data)
    const posted = await peer.post('4a\x1e4€😀\x1ebAQID\x1e4')
    assert.deepEqual([posted.status, posted.body, posted.headers['content-type']], [200, 'ok', 'text/html'])
    await eventually(() => messages.length, 4)
    assert.deepEqual(messages, ['a', '€😀', Buffer.from([1, 2, 3]), undefined])
    for (const message of ['x', '€', Buffer.from([1])]) socket.send(message)
    const polled = await peer.poll()
    assert.equal(polled.body, '4x\x1e4€\x1ebAQ==')
    const { headers } = polled
    assert.deepEqual([headers['content-type'], headers['cache-control']], ['text/plain; charset=UTF-8', 'no-store'])
  })

  polling('a poll waits for a message', async (session) => {
    const { response } = await pendingPoll(session)
    session.socket.send('late')
    assert.equal((await response).body, '4late')
  })

  polling('callbacks and drain follow a message', async (session) => {
    const called = new Promise((resolve) => session.socket.send('a', resolve))
    assert.equal((await session.peer.poll()).body, '4a')
    assert.equal(await called, session.socket.transport)
  })

  polling(
    'what is sent behind a heartbeat waits for the next poll',
    async (session) => {
      const { peer, socket } = session
      const drained = once(socket.transport, 'drain')
      const { response } = await pendingPoll(session)
      assert.equal((await response).body, '2')
      await drained
      assert.equal(socket.transport.writable, false)
      socket.send('a')
      assert.equal(socket.writeBuffer.length, 1)
      assert.equal((await peer.poll()).body, '4a')
      assert.equal(socket.writeBuffer.length, 0)
    },
    { pingInterval: 300, pingTimeout: 20_000 },
  )

  polling(
    'the answer to a ping goes behind the messages that were sent before, in the same payload',
    async ({ peer, socket }) => {
      const flushed = record(socket, 'flush', (_, packets) => packets.map(({ type }) => type).join())
      const called = new Promise((resolve) => socket.send('a', resolve))
      assert.equal((await peer.post('1:2')).body, 'ok')
      await eventually(() => socket.writeBuffer.length, 2)
      assert.equal((await peer.poll()).body, '2:4a1:3')
      await called
      assert.deepEqual(flushed, ['message,pong'])
    },
    { query: { EIO: '3' } },
  )

  polling(
    'a ping that finds no poll waits in the buffer behind the messages',
    async ({ peer, socket }) => {
      socket.send('a')
      await eventually(() => socket.writeBuffer.length, 2)
      assert.equal((await peer.poll()).body, '4a\x1e2')
    },
    { pingInterval: 100, pingTimeout: 20_000 },
  )

  polling('what a callback sends before it closes the session goes out with its end', async (session) => {
    const { peer, socket } = session
    const { response } = await pendingPoll(session)
    const closed = once(socket, 'close')
    socket.send('a', () => {
      socket.send('b')
      socket.close()
    })
    assert.equal((await response).body, '4a')
    assert.equal((await peer.poll()).body, '4b\x1e1')
    assert.equal((await closed)[0], 'forced close')
  })

  polling(
    'the poll that a session waits for to close is ready and drain of its transport',
    async ({ peer, socket }) => {
      const events = ['ready', 'drain', 'close'].map((name) => [name, socket.transport])
      const seen = []
      for (const [name, emitter] of [...events, ['close', socket]])
        emitter.on(name, () => seen.push(`${emitter === socket ? 'session ' : ''}${name}`))
      socket.close()
      assert.equal(socket.readyState, 'closing')
      assert.equal((await peer.poll()).body, '6\x1e1')
      await eventually(() => seen.length, 4)
      assert.deepEqual(seen, ['ready', 'session close', 'close', 'drain'])
    },
  )

  polling('a session that is closed while it shows what is no packet is closed by that', async (session) => {
    const { peer, socket } = session
    const { response } = await pendingPoll(session)
    const closed = once(socket, 'close')
    socket.on('packet', () => socket.close())
    await peer.post('x')
    assert.equal((await closed)[0], 'forced close')
    assert.equal((await response).body, '1')
  })

  polling('a wrong request for an upgrade is told so when the engine is closed, too', async ({ context }) => {
    context.engine.close()
    for (const [version, answer] of [
      ['12', /^HTTP\/1\.1 400 [^]*Missing or invalid Sec-WebSocket-Version header$/],
      ['13', /^HTTP\/1\.1 503 [^]*Service Unavailable$/],
    ]) {
      const raw = await RawPeer.connect(context.port)
      const lines = ['Host: x', 'Connection: Upgrade', 'Upgrade: websocket', `Sec-WebSocket-Version: ${version}`]
      lines.push('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')
      raw.write(`GET ${path(context, { transport: 'websocket' })} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
      await raw.end()
      assert.match(raw.text, answer)
    }
  })

  polling('what is sent behind the noop of an upgrade waits for what comes next', async (session) => {
    const { context, peer, socket } = session
    const { response } = await pendingPoll(session)
    await probe(context, peer.sid)
    assert.equal((await response).body, '6')
    await eventually(() => socket.transport.writable, false)
    socket.send('a')
    assert.equal(socket.writeBuffer.length, 1)
    assert.equal((await peer.poll()).body, '4a')
  })

  polling('a replaced send of the transport sees what ends a poll', async (session) => {
    const { socket } = session
    const { response } = await pendingPoll(session)
    const { send } = socket.transport
    const sent = []
    socket.transport.send = function (packets) {
      sent.push(...packets.map(({ type }) => type))
      return send.call(this, packets)
    }
    const closed = once(socket, 'close')
    socket.close(true)
    assert.equal((await response).body, '1')
    assert.deepEqual([sent, (await closed)[0]], [['close'], 'forced close'])
  })

  polling('listeners of the transport see a message without content as one', async ({ peer, socket }) => {
    const packets = record(socket.transport, 'packet', (_, packet) => packet)
    await peer.post('4\x1e4a')
    await eventually(() => packets.length, 2)
    assert.deepEqual(packets, [{ type: 'message' }, { type: 'message', data: 'a' }])
  })

  both(
    'an upgrade that is no WebSocket handshake is refused as that, whatever transport and protocol it names',
    async (context) => {
      const lines = [
        'Host: x',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 12',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      ]
      for (const query of [{}, { transport: 'websocket', EIO: '3' }]) {
        const raw = await RawPeer.connect(context.port)
        raw.write(`GET ${path(context, query)} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
        await raw.end()
        assert.match(raw.text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*Missing or invalid Sec-WebSocket-Version header$/)
      }
    },
    { allowEIO3: false },
  )

  polling('overlapping polls close the session', async ({ peer, socket }) => {
    const closed = once(socket, 'close')
    const answers = await Promise.all([peer.poll(), peer.poll()])
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 400])
    assert.equal(answers.find(({ status }) => status === 200).body, '1')
    const [reason, { message }] = await closed
    assert.deepEqual([reason, message], ['transport error', 'overlap from client'])
  })

  polling('a poll that is aborted closes the session', async ({ peer, socket }) => {
    const closed = once(socket, 'close')
    const response = peer.poll()
    response.catch(() => {})
    await eventually(() => socket.transport.writable, true)
    response.req.destroy()
    const [reason, { message }] = await closed
    assert.deepEqual([reason, message], ['transport error', 'poll connection closed prematurely'])
  })

  polling(
    'a body at the limit passes, one over it is a 413 and ends the session',
    async ({ peer, socket }) => {
      const message = once(socket, 'message')
      assert.equal((await peer.post('4'.repeat(100))).status, 200)
      assert.equal((await message)[0].length, 99)
      const closed = once(socket, 'close')
      assert.equal((await peer.post('4'.repeat(101))).status, 413)
      assert.equal((await closed)[1].message, 'payload too large')
    },
    { maxHttpBufferSize: 100 },
  )

  polling('a body in chunks is read, a character may lie in two of them', async ({ peer, socket }) => {
    const message = once(socket, 'message')
    const response = peer.request({ method: 'POST', body: null })
    const bytes = Buffer.from('4€€')
    response.req.write(bytes.subarray(0, 3))
    setImmediate(() => response.req.end(bytes.subarray(3)))
    assert.equal((await response).body, 'ok')
    assert.deepEqual(await message, ['€€'])
  })

  polling('a binary body of protocol 4 closes the session', async ({ peer, socket }) => {
    const closed = once(socket, 'close')
    assert.equal((await peer.post('4a', { 'Content-Type': 'application/octet-stream' })).status, 400)
    assert.equal((await closed)[1].message, 'invalid content')
  })

  polling('packets before an invalid one are delivered', async ({ peer, socket }) => {
    const messages = record(socket, 'message', (_, data) => data)
    const closed = once(socket, 'close')
    assert.equal((await peer.post('4a\x1e9\x1e4b')).body, 'ok')
    assert.deepEqual(await closed, ['parse error', undefined])
    assert.deepEqual(messages, ['a'])
  })

  for (const [what, body, reason] of [
    ['a packet that is none', '4a\x1e', 'parse error'],
    ['a wrong heartbeat', '4a\x1e2', 'transport error'],
    ['a close packet', '4a\x1e1', 'transport close'],
  ]) {
    polling(`a session has ended when the POST is answered that has ${what} behind a message`, async (session) => {
      const { peer, socket } = session
      const { response } = await pendingPoll(session)
      const reasons = record(socket, 'close', (_, one) => one)
      assert.equal((await peer.post(body)).body, 'ok')
      assert.deepEqual(reasons, [reason])
      assert.match((await response).body, /^[16]$/)
    })
  }

  for (const [what, query, body, reason] of [
    ['a packet that is none', { EIO: '4' }, 'x', 'parse error'],
    ['a wrong heartbeat', { EIO: '4' }, '2', 'transport error'],
    ['a wrong heartbeat of protocol 3', { EIO: '3' }, '1:3', 'transport error'],
  ]) {
    polling(
      `a later packet listener of the transport hears of ${what} when the session has ended`,
      async (session) => {
        const { peer, socket } = session
        const { response } = await pendingPoll(session)
        const seen = record(socket, 'close', (_, one) => one)
        socket.transport.on('packet', ({ type }) => {
          seen.push(type)
          socket.send('too late')
        })
        await peer.post(body)
        await eventually(() => seen.length, 2)
        assert.equal(seen[0], reason)
        assert.doesNotMatch((await response).body, /late/)
      },
      { query },
    )
  }

  for (const [accept, encoding] of [
    ['gzip, deflate', 'gzip'],
    ['deflate', 'deflate'],
    ['br', undefined],
    ['gzip;q=0', undefined],
  ]) {
    polling(`Accept-Encoding ${accept} gets ${encoding}`, async ({ peer, socket }) => {
      socket.send('x'.repeat(2000))
      const response = await peer.poll({ 'Accept-Encoding': accept })
      assert.equal(response.headers['content-encoding'], encoding)
      const unpack = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync }[encoding] ?? ((buffer) => buffer)
      assert.equal(unpack(response.buffer).toString(), `4${'x'.repeat(2000)}`)
    })
  }

  polling('a large payload is compressed completely, and the next poll is served', async ({ peer, socket }) => {
    for (const size of [300000, 1500]) {
      socket.send('x'.repeat(size))
      const response = await peer.poll({ 'Accept-Encoding': 'gzip' })
      assert.equal(zlib.gunzipSync(response.buffer).length, size + 1)
    }
  })

  polling('below the threshold and with compress: false nothing is compressed', async ({ peer, socket }) => {
    const headers = { 'Accept-Encoding': 'gzip' }
    socket.send('x'.repeat(1022))
    assert.equal((await peer.poll(headers)).headers['content-encoding'], undefined)
    socket.send('x'.repeat(2000), { compress: false })
    assert.equal((await peer.poll(headers)).headers['content-encoding'], undefined)
  })

  polling(
    'httpCompression: false compresses nothing',
    async ({ peer, socket }) => {
      socket.send('x'.repeat(5000))
      assert.equal((await peer.poll({ 'Accept-Encoding': 'gzip' })).headers['content-encoding'], undefined)
    },
    { httpCompression: false },
  )

  polling(
    'httpCompression: true compresses everything',
    async ({ peer, socket }) => {
      socket.send('x')
      const response = await peer.poll({ 'Accept-Encoding': 'gzip' })
      assert.equal(response.headers['content-encoding'], 'gzip')
      assert.equal(zlib.gunzipSync(response.buffer).toString(), '4x')
    },
    { httpCompression: true },
  )

  polling(
    'the cookie is set by the handshake and by nothing else',
    async ({ peer, socket }) => {
      assert.match(peer.response.headers['set-cookie'][0], /^mine=[\w-]{20}; Path=\/; HttpOnly; SameSite=Lax$/)
      socket.send('a')
      assert.equal((await peer.poll()).headers['set-cookie'], undefined)
    },
    { cookie: { name: 'mine' } },
  )

  polling('old browsers get X-XSS-Protection: 0', async ({ peer, socket }) => {
    socket.send('a')
    assert.equal((await peer.poll({ 'User-Agent': 'x Trident/7.0' })).headers['x-xss-protection'], '0')
  })

  polling('an unknown sid, a wrong EIO and a wrong transport are refused', async ({ context, peer, socket }) => {
    const codes = []
    for (const query of [{ sid: 'x' }, { sid: peer.sid, EIO: '3' }, { sid: peer.sid, transport: 'websocket' }]) {
      const response = await request({ port: context.port, path: path(context, query) })
      codes.push([response.status, JSON.parse(response.body).code])
    }
    assert.deepEqual(codes, [
      [400, 1],
      [400, 3],
      [400, 3],
    ])
    assert.equal(socket.readyState, 'open')
  })

  polling('another method gets a 500', async ({ peer }) => {
    assert.equal((await peer.request({ method: 'DELETE' })).status, 500)
  })

  polling('Connection: close and HTTP/1.0 are honoured', async ({ context, peer, socket }) => {
    for (const head of [
      `GET ${peer.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      `GET ${peer.path} HTTP/1.0\r\n\r\n`,
    ]) {
      socket.send('a')
      const raw = await RawPeer.connect(context.port)
      raw.write(head)
      await raw.end()
      assert.match(raw.text, /^HTTP\/1\.[01] 200 OK\r\n[^]*4a$/)
    }
  })

  polling('a close packet ends the session and answers the pending poll', async (session) => {
    const { response } = await pendingPoll(session)
    const closed = once(session.socket, 'close')
    assert.equal((await session.peer.post('1')).body, 'ok')
    assert.deepEqual(await closed, ['transport close', undefined])
    assert.equal((await response).body, '6')
  })

  polling('close() answers the pending poll', async (session) => {
    const { response } = await pendingPoll(session)
    session.socket.close()
    assert.equal((await response).body, '1')
  })

  polling(
    'protocol 3: text, binary and base64 payloads',
    async ({ peer, socket }) => {
      const messages = record(socket, 'message', (_, data) => data)
      await peer.post('2:4€6:b4AQID3:4😀')
      await peer.post(binaryPayload('4x', Buffer.from([4, 9])), { 'Content-Type': 'application/octet-stream' })
      await eventually(() => messages.length, 5)
      assert.deepEqual(messages, ['€', Buffer.from([1, 2, 3]), '😀', 'x', Buffer.from([9])])
      socket.send('€')
      socket.send(Buffer.from([1]))
      const polled = await peer.poll()
      assert.equal(polled.headers['content-type'], 'application/octet-stream')
      assert.equal(polled.buffer.toString('hex'), '0004ff34e282ac' + '0102ff0401')
      await peer.post('1:2')
      assert.equal((await peer.poll()).body, '1:3')
    },
    { query: { EIO: '3' } },
  )

  polling(
    'JSONP: scripts and forms',
    async ({ peer, socket }) => {
      assert.match(peer.response.body, /^___eio\[5\]\("0\{/)
      const message = once(socket, 'message')
      const response = await peer.post('d=4a%5Cnb+c', { 'Content-Type': 'application/x-www-form-urlencoded' })
      assert.equal(response.body, 'ok')
      assert.deepEqual(await message, ['a\nb c'])
      socket.send('"x"')
      assert.equal((await peer.poll()).body, '___eio[5]("4\\"x\\"");')
    },
    { query: { j: '5' } },
  )

  for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
    both(`the real clients of both revisions work by ${transports.join(' and ')}`, async (context) => {
      context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
      for (const make of [client, client3]) {
        const socket = make(context, { transports })
        const received = record(socket, 'message', (_, data) => data)
        await once(socket, transports.length === 2 ? 'upgrade' : 'open')
        const messages = ['€', Buffer.from([1, 2]), 'x'.repeat(50000)]
        for (const message of messages) socket.send(message)
        await eventually(() => received.length, 3)
        assert.deepEqual(
          received.map((data) => (typeof data === 'string' ? data : Buffer.from(data))),
          messages,
        )
        socket.close()
      }
      await eventually(() => context.engine.clientsCount, 0)
    })
  }

  both(
    'permessage-deflate is negotiated',
    async (context) => {
      const connected = once(context.engine, 'connection')
      const ws = new WebSocket(`ws://127.0.0.1:${context.port}${path(context, { transport: 'websocket' })}`)
      defer(() => ws.terminate())
      const received = record(ws, 'message', (_, data) => data)
      const [socket] = await connected
      const message = once(socket, 'message')
      await once(ws, 'open')
      assert.match(ws.extensions, /^permessage-deflate/)
      ws.send(`4${'x'.repeat(5000)}`)
      assert.equal((await message)[0].length, 5000)
      socket.send('y'.repeat(5000))
      await eventually(() => received.map((data) => data.length).includes(5001), true)
    },
    { perMessageDeflate: true },
  )

  both('a session is upgraded while its poll waits', async (context) => {
    const session = await openPolling(context)
    const { response } = await pendingPoll(session)
    const peer = await probe(context, session.peer.sid)
    assert.equal((await response).body, '6')
    const upgraded = once(session.socket, 'upgrade')
    peer.sendText('5')
    await upgraded
    session.socket.send('a')
    assert.equal(await peer.packet(), '4a')
    const refused = await session.peer.poll()
    assert.deepEqual([refused.status, JSON.parse(refused.body).code], [400, 3])
  })

  if (!isNative)
    both(
      'cors headers are on all responses and on the 101',
      async (context) => {
        const Origin = 'http://app.example'
        const preflight = await request({
          port: context.port,
          path: path(context),
          method: 'OPTIONS',
          headers: { Origin },
        })
        assert.deepEqual([preflight.status, preflight.headers['access-control-allow-origin']], [204, Origin])
        const failed = await request({ port: context.port, path: path(context, { sid: 'x' }), headers: { Origin } })
        assert.deepEqual([failed.status, failed.headers['access-control-allow-origin']], [400, Origin])
        const { peer } = await openWebSocket(context, {}, { headers: { Origin } })
        assert.equal(peer.headers['access-control-allow-origin'], Origin)
      },
      { cors: { origin: 'http://app.example' } },
    )
}

test('listen(): express-session, helmet and pino-http work', async () => {
  const context = await listenDirectly()
  const lines = []
  const stream = new (require('node:stream').Writable)({
    write: (chunk, _, done) => done(lines.push(JSON.parse(chunk)) && null),
  })
  context.engine.use(require('pino-http')({}, stream))
  context.engine.use(require('helmet')())
  context.engine.use(require('express-session')({ secret: 's', resave: false, saveUninitialized: true }))
  const { peer, socket } = await openPolling(context)
  assert.match(peer.response.headers['set-cookie'][0], /^connect\.sid=/)
  assert.equal(peer.response.headers['x-content-type-options'], 'nosniff')
  assert.ok(socket.request.session)
  await eventually(() => lines.length, 1)
  assert.equal(lines[0].res.statusCode, 200)
  const { peer: ws } = await openWebSocket(context)
  assert.match(ws.headers['set-cookie'], /^connect\.sid=/)
})

test('listen(): a headers listener added later sees polls and POSTs from then on', async () => {
  const context = await listenDirectly()
  const { peer, socket } = await openPolling(context)
  socket.send('a')
  assert.equal((await peer.poll()).headers['x-mine'], undefined)
  context.engine.on('headers', (headers) => (headers['X-Mine'] = '1'))
  await new Promise(setImmediate)
  socket.send('b')
  const polled = await peer.poll()
  assert.deepEqual([polled.body, polled.headers['x-mine']], ['4b', '1'])
  assert.equal((await peer.post('4a')).headers['x-mine'], '1')
})
