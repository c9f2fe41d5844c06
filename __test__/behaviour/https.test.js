'use strict'

const assert = require('node:assert/strict')
const https = require('node:https')
const tls = require('node:tls')
const { test } = require('node:test')
const eio = require('engine.io-client')
const { RawWebSocket, defer, improvement, listen, once, path, pending } = require('../support')
const { key, cert } = require('../fixtures/tls')

const secure = (opts, tlsOptions) => listen(opts, https.createServer({ key, cert, ...tlsOptions }))

/** The real client over TLS. */
function client(context, options) {
  const socket = new eio.Socket(`wss://localhost:${context.port}`, { ca: cert, path: context.path, ...options })
  defer(() => socket.close())
  return socket
}

async function connect(context, options) {
  const socket = tls.connect({ host: '127.0.0.1', port: context.port, ca: cert, servername: 'localhost', ...options })
  await once(socket, 'secureConnect')
  return socket
}

async function openSecure(context, options) {
  const connected = once(context.engine, 'connection')
  const target = path(context, { transport: 'websocket' })
  const peer = await RawWebSocket.over(await connect(context, options), target).response()
  assert.match(await peer.packet(), /^0\{"sid"/)
  return { peer, socket: (await connected)[0] }
}

for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
  test(`the real client connects over TLS with ${transports} and exchanges text and binary`, async () => {
    const context = await secure()
    context.engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
    const peer = client(context, { transports })
    await once(peer, transports.length > 1 ? 'upgrade' : 'open')
    for (const data of ['é😀', Buffer.from([0, 255])]) {
      const message = once(peer, 'message')
      peer.send(data)
      assert.deepEqual(await message, [data])
    }
  })
}

test('frames go both ways over a TLS websocket', async () => {
  const { peer, socket } = await openSecure(await secure())
  const message = once(socket, 'message')
  peer.sendText('4up')
  assert.deepEqual(await message, ['up'])
  socket.send('down')
  assert.equal(await peer.packet(), '4down')
})

test('large messages go both ways over a TLS websocket', async () => {
  const { peer, socket } = await openSecure(await secure())
  const data = Buffer.alloc(900_000, 7)
  socket.on('message', (received) => socket.send(received))
  peer.sendBinary(data)
  assert.ok((await peer.frame()).payload.equals(data))
})

test('the request shows an encrypted connection', async () => {
  const { socket } = await openSecure(await secure())
  assert.equal(socket.request.connection.encrypted, true)
  assert.match(socket.remoteAddress, /127\.0\.0\.1$/)
})

test('the certificate of a client can be read from the request', async () => {
  const context = await secure({}, { requestCert: true, ca: cert })
  const { socket } = await openSecure(context, { key, cert })
  assert.equal(socket.request.socket.getPeerCertificate().subject.CN, 'localhost')
})

test('close() sends a close frame over TLS', async () => {
  const { peer, socket } = await openSecure(await secure())
  socket.send('last')
  socket.close()
  assert.equal(await peer.packet(), '4last')
  assert.equal((await peer.frame()).opcode, 8)
  peer.sendClose()
  await peer.end()
})

test('a client that closes its TLS websocket is a transport close', async () => {
  for (const abort of [(peer) => peer.sendClose(1000), (peer) => peer.socket.end(), (peer) => peer.socket.destroy()]) {
    const { peer, socket } = await openSecure(await secure())
    const closed = once(socket, 'close')
    abort(peer)
    assert.deepEqual(await closed, ['transport close', undefined])
  }
})

test('a close frame over TLS is answered, and the server ends the connection first', async () => {
  const { peer } = await openSecure(await secure())
  peer.sendClose(1000)
  assert.equal((await peer.closeFrame()).code, 1000)
  await peer.end()
})

test('an invalid frame over TLS gets its close code, and the server ends the connection first', async () => {
  const { peer, socket } = await openSecure(await secure())
  const closed = once(socket, 'close')
  peer.sendFrame({ opcode: 3 })
  assert.equal((await peer.closeFrame()).code, 1002)
  assert.equal((await closed)[0], 'transport error')
  await peer.end()
})

test('heartbeats run over TLS', async () => {
  const { peer, socket } = await openSecure(await secure({ pingInterval: 50, pingTimeout: 500 }))
  assert.equal(await peer.packet(), '2')
  peer.sendText('3')
  assert.equal(await peer.packet(), '2')
  assert.equal((await once(socket, 'close'))[0], 'ping timeout')
})

test('close of the https server waits for a TLS websocket', async () => {
  const context = await secure()
  const { peer } = await openSecure(context)
  const closed = once(context.server, 'close')
  context.server.close()
  assert.equal(await pending(closed, 50), true)
  peer.socket.destroy()
  await closed
})

// ---- what keeps the original from hearing ---------------------------------------------------------

for (const [name, add] of Object.entries({
  'all of whose close listeners have been removed': (stream) => stream.removeAllListeners('close'),
  'whose first close listener throws': (stream) =>
    stream.prependListener('close', () => {
      throw new Error('of a listener')
    }),
})) {
  improvement('what keeps ws from hearing of a close', `a TLS socket ${name} closes its session`, async (t) => {
    // as an application that survives exceptions
    process.setUncaughtExceptionCaptureCallback(() => {})
    t.after(() => process.setUncaughtExceptionCaptureCallback(null))
    const context = await secure()
    const { peer, socket } = await openSecure(context)
    add(socket.transport.socket._socket)
    const closed = once(socket, 'close')
    peer.socket.end()
    assert.equal((await closed)[0], 'transport close')
    assert.equal(context.engine.clientsCount, 0)
  })
}

// ---- a stream that the application destroys while it is written to

/** More than the kernel takes for a client that does not read. */
const LARGE = 'x'.repeat(16_000_000)

/** What happens to a session whose stream is destroyed, or whatever `act` does, until it has closed. */
async function eventsUntilClose(act) {
  const { peer, socket } = await openSecure(await secure())
  const events = []
  const stream = socket.request.socket
  const closed = once(stream, 'close')
  const ended = new Promise((resolve) => {
    socket.on('close', (reason, description) => {
      events.push(`close ${reason}`)
      resolve(description)
    })
  })
  stream.on('close', () => events.push('close of the stream'))
  stream.on('error', (error) => events.push(`error ${error.message}`))
  socket.transport.on('drain', () => events.push('drain'))
  socket.transport.on('error', (error) => events.push(`error of the transport ${error.message}`))
  peer.socket.pause()
  const send = (data, name) => socket.send(data, name && (() => events.push(name)))
  act({ socket, stream, send })
  const description = await ended
  await closed
  return { events, description }
}

for (const [name, act] of Object.entries({
  'a small message': ({ send, stream }) => {
    send('small', 'callback')
    stream.destroy()
  },
  'a large message': ({ send, stream }) => {
    send(LARGE, 'callback')
    stream.destroy()
  },
  'a large message, some time later,': ({ send, stream }) => {
    send(LARGE, 'callback')
    setTimeout(() => stream.destroy(), 20)
  },
})) {
  test(`${name} that is being written when its TLS stream is destroyed is called back before the end`, async () => {
    const { events } = await eventsUntilClose(act)
    assert.deepEqual(events, ['callback', 'drain', 'close of the stream', 'close transport close'])
  })
}

test('a large message without a callback is drained before the end when its TLS stream is destroyed', async () => {
  const { events } = await eventsUntilClose(({ send, stream }) => {
    send(LARGE)
    stream.destroy()
  })
  assert.deepEqual(events, ['drain', 'close of the stream', 'close transport close'])
})

test('a message that is being written when its TLS stream is destroyed by an error is called back', async () => {
  const { events } = await eventsUntilClose(({ send, stream }) => {
    send(LARGE, 'callback')
    stream.destroy(new Error('mine'))
  })
  assert.deepEqual(events, ['error mine', 'callback', 'drain', 'close of the stream', 'close transport close'])
})

test('a message that waits behind one when their TLS stream is destroyed is a transport error', async () => {
  const { events, description } = await eventsUntilClose(({ send, stream }) => {
    send(LARGE, 'first')
    send('second', 'second')
    stream.destroy()
  })
  assert.deepEqual(events, [
    'first',
    'drain',
    'close transport error',
    'error of the transport write error',
    'close of the stream',
  ])
  assert.match(description.description, /ERR_STREAM_DESTROYED/)
})

test('messages of one batch that wait when their TLS stream is destroyed are transport errors', async () => {
  const { events, description } = await eventsUntilClose(({ socket, send, stream }) => {
    send('first')
    for (const data of [LARGE, 'a', 'b']) send(data)
    socket.transport.once('drain', () => setImmediate(() => stream.destroy()))
  })
  assert.deepEqual(events, [
    'drain',
    'close transport error',
    ...Array.from({ length: 2 }, () => 'error of the transport write error'),
    'close of the stream',
  ])
  assert.match(description.description, /ERR_STREAM_DESTROYED/)
})

test('a message to a TLS stream that has been destroyed is a transport error', async () => {
  const { events } = await eventsUntilClose(({ send, stream }) => {
    stream.destroy()
    send('late')
  })
  assert.deepEqual(events.slice(0, 2), ['close transport error', 'error of the transport write error'])
})

test('terminate() ends a session while a large message is being written over TLS', async () => {
  const { events } = await eventsUntilClose(({ socket, send }) => {
    send(LARGE, 'callback')
    setTimeout(() => socket.transport.socket.terminate(), 20)
  })
  assert.deepEqual(events, ['callback', 'drain', 'close of the stream', 'close transport close'])
})

test('the close frame of a session whose TLS stream is destroyed is no error of its transport', async () => {
  const { events } = await eventsUntilClose(({ socket, send, stream }) => {
    send(LARGE)
    socket.close(true)
    stream.destroy()
  })
  assert.deepEqual(
    events.filter((event) => event !== 'drain'),
    ['close forced close', 'close of the stream'],
  )
})
