'use strict'

// A listener of one session throws while JavaScript serves the stream of another (TLS, or a stream that is no socket): the other
// session loses nothing, and hears of its end at once.

const assert = require('node:assert/strict')
const https = require('node:https')
const tls = require('node:tls')
const { test } = require('node:test')
const {
  RawWebSocket,
  deadline,
  defer,
  duplexPair,
  eventually,
  frame,
  listen,
  once,
  openWebSocket,
  path,
} = require('../support')
const { key, cert } = require('../fixtures/tls')

/** So many messages of this length come at once: more than the engine takes in one go. */
const COUNT = 60
const LENGTH = 50_000

/** The messages of the exceptions that come up, in an application that survives them. */
function surviveExceptions(t) {
  const seen = []
  process.setUncaughtExceptionCaptureCallback(({ message }) => seen.push(message))
  t.after(() => process.setUncaughtExceptionCaptureCallback(null))
  return seen
}

/** Connections that JavaScript carries: a client's end of each. */
const STREAMS = {
  'a TLS socket': {
    makeServer: () => https.createServer({ key, cert }),
    async connect({ port }) {
      const socket = tls.connect({ host: '127.0.0.1', port, ca: cert, servername: 'localhost' })
      await once(socket, 'secureConnect')
      return socket
    },
  },
  'a stream': {
    connect({ server }) {
      const [ours, theirs] = duplexPair()
      defer(() => ours.destroy())
      server.emit('connection', theirs)
      return ours
    },
  },
}

/**
 * A session on a stream, and `callOther()`, after which a message for a listener that throws waits: that of another session, over
 * plain TCP.
 */
async function openBeside({ makeServer, connect }) {
  const other = await openWebSocket(await listen())
  other.socket.on('message', () => {
    throw new Error('of the other session')
  })
  const callOther = () => {
    other.peer.sendText('4now')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  }
  const context = await listen({}, makeServer?.())
  const connected = once(context.engine, 'connection')
  const target = path(context, { transport: 'websocket' })
  const peer = await RawWebSocket.over(await connect(context), target).response()
  assert.match(await peer.packet(), /^0\{"sid"/)
  const [socket] = await connected
  return { context, peer, socket, stream: socket.transport.socket._socket, callOther }
}

for (const [name, how] of Object.entries(STREAMS)) {
  test(`${name} that brings frames as another session's listener throws loses none of them`, async (t) => {
    const { peer, socket, stream, callOther } = await openBeside(how)
    const errors = surviveExceptions(t)
    const lengths = []
    const heard = new Promise((resolve) =>
      socket.on('message', ({ length }) => {
        if (lengths.push(length) === COUNT) resolve()
      }),
    )
    stream.prependOnceListener('data', callOther)
    // the pair of a stream passes the exception on to who writes
    setImmediate(() => peer.write(Buffer.concat(Array(COUNT).fill(frame({ payload: `4${'x'.repeat(LENGTH)}` })))))
    await deadline(heard, 'the messages')
    assert.deepEqual([...new Set(lengths)], [LENGTH])
    await eventually(() => errors, ['of the other session'])
  })

  for (const [event, act] of Object.entries({
    end: (peer) => peer.socket.end(),
    'end behind a close frame': (peer) => {
      peer.sendClose(1000)
      peer.socket.end()
    },
    close: (peer) => peer.socket.destroy(),
  })) {
    // a stream that is no socket need not emit `close` when the other side of its pair is destroyed
    if (event === 'close' && name !== 'a TLS socket') continue
    test(`${name} whose ${event} comes as another session's listener throws closes its session`, async (t) => {
      const { context, peer, socket, stream, callOther } = await openBeside(how)
      const errors = surviveExceptions(t)
      stream.prependOnceListener(event.split(' ')[0], callOther)
      const closed = once(socket, 'close')
      act(peer)
      assert.equal((await closed)[0], 'transport close')
      assert.equal(context.engine.clientsCount, 0)
      await peer.closed
      await eventually(() => errors, ['of the other session'])
    })
  }
}
