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
