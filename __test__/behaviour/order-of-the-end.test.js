'use strict'

// What ends a connection comes after messages: what the application answers to them goes out before the end.

const assert = require('node:assert/strict')
const https = require('node:https')
const tls = require('node:tls')
const { test } = require('node:test')
const zlib = require('node:zlib')
const {
  RawWebSocket,
  closePayload,
  defer,
  engine,
  eventually,
  frame,
  improvement,
  listen,
  once,
  openPolling,
  path,
} = require('../support')
const { key, cert } = require('../fixtures/tls')

const TRAILER = 4

/** Above what is sent without asking the kernel, and below what it takes at once. */
const BIG = 'x'.repeat(100_000)

/** The payload of a compressed frame that stands alone. */
function deflated(data) {
  const all = zlib.deflateRawSync(Buffer.from(data), { finishFlush: zlib.constants.Z_SYNC_FLUSH })
  return all.subarray(0, all.length - TRAILER)
}

/** What the client sends last, what the client then sees, and the reason of the session's end. */
const ENDS = {
  'a frame that breaks the protocol': [frame({ payload: '4x', rsv: 2 }), ['close 1002'], 'transport error'],
  'a text that is not UTF-8': [frame({ payload: Buffer.from([0x34, 0xff]) }), ['close 1007'], 'transport error'],
  'a message above the limit': [frame({ payload: '', length: 1000001 }), ['close 1009'], 'transport error'],
  "the client's close frame": [
    frame({ opcode: 8, payload: closePayload(1000, 'bye') }),
    ['close 1000 bye'],
    'transport close',
  ],
  'what is no packet': [frame({ payload: 'x' }), ['close 1005'], 'parse error'],
  'a ping, which a client of protocol 4 does not send': [frame({ payload: '2' }), ['close 1005'], 'transport error'],
  "the end of the client's side": [null, [], 'transport close'],
}

const connectTls = async (port) => {
  const socket = tls.connect({ host: '127.0.0.1', port, ca: cert, servername: 'localhost' })
  await once(socket, 'secureConnect')
  return socket
}

const natively = async () => {
  const server = engine.listen(0, { listener: 'native' })
  const { httpServer } = server
  defer(() => {
    server.close()
    httpServer.close()
  })
  if (!httpServer.listening) await once(httpServer, 'listening')
  return { engine: server, port: httpServer.address().port, path: '/engine.io/' }
}

const DOORS = {
  plain: { open: (context, target) => RawWebSocket.open(context.port, target) },
  compressed: {
    opts: { perMessageDeflate: { threshold: 0 } },
    open: (context, target) =>
      RawWebSocket.open(context.port, target, {
        headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; server_no_context_takeover' },
      }),
  },
  TLS: {
    server: () => https.createServer({ key, cert }),
    open: async (context, target) => RawWebSocket.over(await connectTls(context.port), target).response(),
  },
}

/** A session that answers each message by `answer`; `events` gets what its application sees. */
async function open({ opts, server, query, start, open: connect }, answer) {
  const context = await (start === undefined ? listen({ allowEIO3: true, ...opts }, server?.()) : start())
  const connected = once(context.engine, 'connection')
  const peer = await connect(context, path(context, { transport: 'websocket', ...query }))
  const [socket] = await connected
  await peer.frame()
  const events = []
  socket.on('message', (data) => {
    events.push(`message ${data}`)
    answer(socket, data, events)
  })
  const closed = new Promise((resolve) => {
    socket.on('close', (reason) => {
      events.push(`close ${reason}`)
      resolve()
    })
  })
  return { peer, socket, events, closed, context }
}

/** The frames that the client gets until the connection ends; it ends its side when it is told to close. */
async function framesUntilEnd(peer) {
  const frames = []
  for (;;) {
    const frame = await peer.until(() => peer.takeFrame() ?? (peer.isClosed && 'end'), 'a frame or the end')
    if (frame === 'end') return frames
    if (frame.opcode === 8) {
      const { payload } = frame
      frames.push(`close ${payload.length < 2 ? 1005 : payload.readUInt16BE()} ${payload.subarray(2)}`.trim())
      peer.socket.end()
    } else if (frame.opcode === 1) {
      frames.push(frame.rsv === 4 ? inflated(frame.payload) : frame.text)
    }
  }
}

function inflated(payload) {
  const whole = Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])])
  return zlib.inflateRawSync(whole, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).toString()
}

/** Sends in one segment; without `last`, then ends the client's side. */
function send(peer, bytes, last) {
  if (last === null) peer.socket.end(Buffer.concat(bytes))
  else peer.write(Buffer.concat([...bytes, last]))
}

/** Where the original calls back, too. */
const TOLD = {
  plain: [
    'a frame that breaks the protocol',
    'a text that is not UTF-8',
    'a message above the limit',
    "the client's close frame",
    "the end of the client's side",
  ],
  compressed: ["the client's close frame"],
  TLS: ["the client's close frame", "the end of the client's side"],
}

const message = (door, text) =>
  door === 'compressed' ? frame({ rsv: 4, payload: deflated(`4${text}`) }) : frame({ payload: `4${text}` })
const WRONG = ENDS['a frame that breaks the protocol'][0]

for (const [door, how] of Object.entries(DOORS)) {
  for (const [name, [last, seen, reason]] of Object.entries(ENDS)) {
    const lost = door === 'compressed' && last === null
    ;(lost ? improvement.bind(null, 'no answer that is being compressed is lost') : test)(
      `${door}: the answer to a message before ${name} goes out before the end`,
      async () => {
        const { peer, events, closed } = await open(how, (socket, data) => socket.send(`re ${data}`))
        send(peer, [message(door, 'a')], last)
        assert.deepEqual(await framesUntilEnd(peer), ['4re a', ...seen])
        await closed
        assert.deepEqual(events, ['message a', `close ${reason}`])
      },
    )

    improvement(
      'no answer waits in vain for the one before',
      `${door}: the answers to all messages before ${name} go out before the end`,
      async () => {
        const { peer, events, closed } = await open(how, (socket, data) => socket.send(`re ${data}`))
        send(peer, [message(door, 'a'), message(door, 'b'), message(door, 'c')], last)
        assert.deepEqual(await framesUntilEnd(peer), ['4re a', '4re b', '4re c', ...seen])
        await closed
        assert.deepEqual(events, ['message a', 'message b', 'message c', `close ${reason}`])
      },
    )

    const told = TOLD[door].includes(name)
      ? test
      : improvement.bind(null, 'whoever waits is told what has been written')
    told(`${door}: the callback of the answer to a message before ${name} comes before the end`, async () => {
      const { peer, events, closed } = await open(how, (socket, data, events) =>
        socket.send(`re ${data}`, () => events.push('written')),
      )
      send(peer, [message(door, 'a')], last)
      assert.deepEqual(await framesUntilEnd(peer), ['4re a', ...seen])
      await closed
      assert.deepEqual(events, ['message a', 'written', `close ${reason}`])
    })
  }

  improvement(
    'the session is open until then',
    `${door}: an answer that is put off to the next tick goes out before the end`,
    async () => {
      const { peer } = await open(how, (socket, data) => process.nextTick(() => socket.send(`re ${data}`)))
      send(peer, [message(door, 'a')], WRONG)
      assert.deepEqual(await framesUntilEnd(peer), ['4re a', 'close 1002'])
    },
  )

  test(`${door}: a message is answered by closing the session, before a frame that breaks the protocol`, async () => {
    const { peer, events, closed } = await open(how, (socket, data) => {
      socket.send(`re ${data}`)
      socket.close()
    })
    send(peer, [message(door, 'a')], WRONG)
    assert.deepEqual(await framesUntilEnd(peer), ['4re a', 'close 1005'])
    await closed
    assert.deepEqual(events, ['message a', 'close forced close'])
  })

  test(`${door}: the transport tells that such an answer is written`, async () => {
    const { peer, socket, events, closed } = await open(how, (socket) => {
      socket.send('last')
      socket.close()
    })
    const { transport } = socket
    transport.on('drain', () => events.push(`drain, ${transport.readyState}`))
    const over = once(transport, 'close')
    send(peer, [message(door, 'a')], WRONG)
    assert.deepEqual(await framesUntilEnd(peer), ['4last', 'close 1005'])
    await Promise.all([closed, over])
    assert.deepEqual(events, ['message a', 'close forced close', 'drain, closing'])
  })

  const kept = door === 'compressed' ? improvement.bind(null, 'no answer that is being compressed is lost') : test
  const bye = ENDS["the client's close frame"][0]
  kept(`${door}: a listener closes the session, before the client's close frame and the end of its side`, async () => {
    const { peer, events, closed } = await open(how, (socket, data) => {
      if (data === 'b') socket.close()
    })
    send(peer, [message(door, 'a'), message(door, 'b'), bye], null)
    assert.deepEqual(await framesUntilEnd(peer), ['close 1005'])
    await closed
    assert.deepEqual(events, ['message a', 'message b', 'close forced close'])
  })

  kept(`${door}: a large answer and the close frame go out before the end of the client's side`, async () => {
    const { peer, events, closed } = await open(how, (socket) => {
      socket.send('x'.repeat(3_000_000))
      socket.close()
    })
    send(peer, [message(door, 'a'), bye], null)
    const frames = await framesUntilEnd(peer)
    assert.deepEqual([frames.length, frames[0].length, frames[1]], [2, 3_000_001, 'close 1005'])
    await closed
    assert.deepEqual(events, ['message a', 'close forced close'])
  })

  test(`${door}: a large answer goes out before the end`, async () => {
    const { peer } = await open(how, (socket) => socket.send('x'.repeat(3_000_000)))
    send(peer, [message(door, 'a')], WRONG)
    const frames = await framesUntilEnd(peer)
    assert.deepEqual([frames.length, frames[0].length, frames[1]], [2, 3_000_001, 'close 1002'])
  })
}

// ---- what drain listeners send ------------------------------------------------------------------

/** Who hears of messages besides the session. */
const HEARERS = {
  'only the session hears of the message': () => {},
  'the transport has a packet listener': (transport) => transport.on('packet', () => {}),
  'the WebSocket has a message listener': (transport) => transport.socket.on('message', () => {}),
}

for (const [who, listenTo] of Object.entries(HEARERS)) {
  test(`a frame that breaks the protocol ends what drain listeners send after two rounds: ${who}`, async () => {
    const { peer, socket, events, closed } = await open(DOORS.plain, (socket) => {
      let sent = 0
      socket.on('drain', () => {
        if (sent++ < 4) socket.send(`more ${sent}`)
      })
      socket.send('first')
    })
    const { transport } = socket
    listenTo(transport)
    transport.on('drain', () => events.push('drain'))
    transport.on('error', () => events.push(`error, ${transport.writable}`))
    send(peer, [message('plain', 'a')], WRONG)
    assert.deepEqual(await framesUntilEnd(peer), ['4first', '4more 1', '4more 2', 'close 1002'])
    await closed
    const seen = ['message a', 'drain', 'drain', 'close transport error', 'error, false', 'drain']
    await eventually(() => events, seen)
  })
}

improvement(
  'the drain of an answer comes behind the end over TLS, see row 44',
  'over TLS the drain of a pong comes before the error of an invalid frame behind the ping, as without TLS',
  async () => {
    for (const door of [DOORS.plain, DOORS.TLS]) {
      const { peer, socket, events, closed } = await open({ ...door, query: { EIO: 3 } }, () => {})
      socket.transport.on('drain', () => events.push('drain'))
      socket.transport.on('error', () => events.push('error'))
      send(peer, [frame({ payload: '2' })], WRONG)
      assert.deepEqual(await framesUntilEnd(peer), ['3', 'close 1002'])
      await closed
      await eventually(() => events, ['drain', 'close transport error', 'error'])
    }
  },
)

// ---- what waits behind a large answer -----------------------------------------------------------

const NATIVE = { ...DOORS.plain, start: natively }

for (const [door, how] of Object.entries({ ...DOORS, 'the native listener': NATIVE })) {
  for (const [name, [last, seen, reason]] of Object.entries(ENDS)) {
    // a stream of TLS ends its own side with the client's
    if (door === 'TLS' && last === null) continue
    const isSame = door === 'plain' && last === null
    ;(isSame ? test : improvement.bind(null, 'no answer waits in vain for the one before'))(
      `${door}: answers behind a large one to a message before ${name} go out before the end`,
      async () => {
        const { peer, events, closed } = await open(how, (socket) => {
          for (const text of [BIG, 'b', 'c']) socket.send(text)
        })
        send(peer, [message(door, 'a')], last)
        assert.deepEqual(await framesUntilEnd(peer), [`4${BIG}`, '4b', '4c', ...seen])
        await closed
        assert.deepEqual(events, ['message a', `close ${reason}`])
      },
    )
  }

  if (door === 'TLS') continue
  const during = door === 'plain' ? test : improvement.bind(null, 'no answer waits in vain for the one before')
  for (const [when, callback] of [
    ['', undefined],
    [', whose callback is awaited', () => {}],
  ]) {
    during(`${door}: the client ends its side while an answer waits for a large one${when}`, async () => {
      const { peer, events, closed } = await open(how, (socket) => {
        for (const text of [BIG, 'b', BIG, 'c']) socket.send(text, callback)
        peer.socket.end()
      })
      peer.write(message(door, 'a'))
      assert.deepEqual(await framesUntilEnd(peer), [`4${BIG}`, '4b', `4${BIG}`, '4c'])
      await closed
      assert.deepEqual(events, ['message a', 'close transport close'])
    })
  }
}

// ---- what was accepted, and the client does not read -------------------------------------------

/** Bytes of a message that no socket takes at once, and of what comes before: the frame's head, the packet's type. */
const LARGE = 16 << 20
const HEAD = 11

const BYE = ENDS["the client's close frame"][0]
/** What the client sends, whether it ends its side, and the bytes of the answer. */
const UNREAD = {
  'the end of its side': [null, true, 0],
  'its close frame': [BYE, false, BYE.length - 4],
  'its close frame and the end of its side': [BYE, true, BYE.length - 4],
}

for (const [door, name, [last, ends, answer]] of ['plain', 'TLS'].flatMap((door) =>
  Object.entries(UNREAD).map((unread) => [door, ...unread]),
)) {
  for (const [what, texts, seen] of [
    ['a large message that the client reads after', [], ['written', 'close transport close']],
    ['a message behind one that the client reads after', ['b'], ['written', 'close transport error']],
  ]) {
    test(`${door}: ${what} ${name}`, async () => {
      const { peer, socket, events, closed } = await open(DOORS[door], () => {})
      let received = 0
      peer.socket.removeAllListeners('data')
      peer.socket.on('data', ({ length }) => (received += length))
      peer.socket.pause()
      socket.send('x'.repeat(LARGE), () => events.push('written'))
      for (const text of texts) socket.send(text, () => events.push(`written ${text}`))
      if (last !== null) peer.write(last)
      if (ends) peer.socket.end()
      await eventually(() => socket.transport.socket.readyState, socket.transport.socket.CLOSING)
      assert.deepEqual([events, socket.readyState], [[], 'open'])
      peer.socket.resume()
      await closed
      assert.deepEqual(events, seen)
      await peer.end()
      assert.equal(received, HEAD + LARGE + answer)
    })
  }
}

// ---- what a listener of the transport has still to see -----------------------------------------

for (const [door, how] of Object.entries(DOORS)) {
  for (const [last, bytes] of [
    ['a frame that breaks the protocol', WRONG],
    ["the client's close frame", ENDS["the client's close frame"][0]],
  ]) {
    test(`${door}: what is no packet ends a session whose transport is listened to, before ${last}`, async () => {
      const { peer, socket, events, closed } = await open(how, () => {})
      socket.transport.on('packet', ({ type }) => events.push(`packet ${type}`))
      send(peer, [message(door, 'a'), frame({ payload: 'x' }), message(door, 'b')], bytes)
      assert.deepEqual(await framesUntilEnd(peer), ['close 1005'])
      await closed
      assert.deepEqual(events.slice(0, 4), ['message a', 'packet message', 'close parse error', 'packet error'])
      assert.equal(events.includes('message b'), false)
    })

    test(`${door}: a listener of the transport closes the session by a message before ${last}`, async () => {
      const { peer, socket, events, closed } = await open(how, () => {})
      socket.transport.on('packet', () => socket.close())
      send(peer, [message(door, 'a'), message(door, 'b')], bytes)
      assert.deepEqual(await framesUntilEnd(peer), ['close 1005'])
      await closed
      assert.deepEqual(events, ['message a', 'close forced close'])
    })
  }

  test(`${door}: the end of a session whose transport is listened to, by a frame that breaks the protocol`, async () => {
    const { peer, socket, events, closed } = await open(how, () => {})
    socket.transport.on('packet', ({ type }) => events.push(`packet ${type}`))
    socket.transport.on('error', ({ message: text }) => events.push(`error ${/Invalid.*/.exec(text)}`))
    send(peer, [message(door, 'a')], WRONG)
    assert.deepEqual(await framesUntilEnd(peer), ['close 1002'])
    await closed
    assert.deepEqual(events, [
      'message a',
      'packet message',
      'close transport error',
      'error Invalid WebSocket frame: RSV2 and RSV3 must be clear',
    ])
  })

  test(`${door}: the pong that is due goes out before the end, where the transport is listened to`, async () => {
    const { peer, socket, events, closed } = await open({ ...how, query: { EIO: '3' } }, () => {})
    socket.transport.on('packet', ({ type }) => events.push(`packet ${type}`))
    send(peer, [frame({ payload: '2' })], WRONG)
    assert.deepEqual(await framesUntilEnd(peer), ['3', 'close 1002'])
    await closed
    assert.deepEqual(events, ['packet ping', 'close transport error'])
  })
}

for (const [door, how] of Object.entries(DOORS)) {
  test(`${door}: the pong that is due goes out before the end, where somebody hears of what is sent`, async () => {
    const { peer, socket, events, closed } = await open({ ...how, query: { EIO: '3' } }, () => {})
    socket.on('drain', () => events.push('drain'))
    send(peer, [frame({ payload: '2' })], WRONG)
    assert.deepEqual(await framesUntilEnd(peer), ['3', 'close 1002'])
    await closed
    assert.deepEqual(events, ['drain', 'close transport error'])
  })
}

test('a client that tries a WebSocket out is gone, behind a packet that its transport is listened to for', async () => {
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const events = []
  socket.on('upgrading', (transport) => {
    events.push('upgrading')
    transport.on('packet', ({ type }) => events.push(`packet ${type}`))
    transport.on('close', () => events.push(`close, ${socket.readyState}`))
  })
  const websocket = await RawWebSocket.open(context.port, path(context, { transport: 'websocket', sid: peer.sid }))
  websocket.sendText('2probe')
  await eventually(() => events.includes('upgrading'), true)
  websocket.write(Buffer.concat([frame({ payload: '6' }), frame({ opcode: 8, payload: closePayload(1000, '') })]))
  await eventually(() => events.includes('close, open'), true)
  assert.deepEqual([socket.upgrading, socket.readyState], [false, 'open'])
})

for (const [where, start, register] of [
  ['attach()', listen, test],
  ['the native listener', natively, improvement.bind(null, 'there is no such listener')],
]) {
  for (const [name, last, reason] of [
    ['what is no packet', 'x', 'parse error'],
    ['a ping', '2', 'transport error'],
    ['a close packet', '1', 'transport close'],
  ]) {
    register(
      `polling, ${where}: the answer to a message before ${name} in the same payload is the answer to the poll`,
      async () => {
        const context = await start()
        const { peer, socket } = await openPolling(context)
        const events = []
        const closed = new Promise((resolve) => {
          socket.on('close', (why) => {
            events.push(`close ${why}`)
            resolve()
          })
        })
        socket.on('message', (data) => {
          events.push(`message ${data}`)
          socket.send(`re ${data}`)
        })
        const polled = peer.poll()
        await eventually(() => socket.transport.writable, true)
        assert.equal((await peer.post(`4a\x1e${last}\x1e4b`)).status, 200)
        assert.equal((await polled).body, '4re a')
        await closed
        assert.deepEqual(events, ['message a', `close ${reason}`])
        assert.equal(context.engine.clientsCount, 0)
      },
    )
  }
}
