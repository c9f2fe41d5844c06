'use strict'

// The order in which the net.Socket below a websocket, the session, its transport and the websocket tell of their end, by ways to end:
// the session is told where `ws` listens, behind the socket's listeners from before the session and before later ones.

const assert = require('node:assert/strict')
const net = require('node:net')
const { test } = require('node:test')
const { RawWebSocket, frame, improvement, listen, once, openWebSocket, path } = require('../support')
const { EVENTS, WAYS } = require('../support/net-socket')

/** The peer has done its part of a closing handshake, and ends its side when the server has. */
async function finishHandshake(peer, code = 1000) {
  await peer.closeFrame()
  peer.sendClose(code)
  await peer.closed
}

const ORDERLY = ['finish', 'end', 'early close', 'session', 'transport', 'websocket', 'late close']
const SESSION_FIRST = ['session', 'finish', 'end', 'early close', 'transport', 'websocket', 'late close']
const CUT_OFF = ['early close', 'late close', 'session', 'transport', 'websocket']

/** By name: what is done, the order that follows, and the session's reason. */
const ENDS = {
  "a close frame of the peer's": {
    act: async ({ peer }) => {
      peer.sendClose(1000)
      await peer.closed
    },
    order: ORDERLY,
  },
  "a close frame of the peer's with the end of its side": {
    act: ({ peer }) => {
      peer.sendClose(1000)
      peer.socket.end()
    },
    order: ORDERLY,
  },
  "the end of the peer's side": {
    act: ({ peer }) => peer.socket.end(),
    order: ['end', 'finish', 'early close', 'session', 'transport', 'websocket', 'late close'],
  },
  'a reset by the peer': { act: ({ peer }) => peer.reset(), order: ['error', ...CUT_OFF] },
  'an invalid frame': {
    act: async ({ peer }) => {
      peer.write(frame({ opcode: 3, payload: 'x' }))
      await peer.closed
    },
    order: SESSION_FIRST,
    reason: 'transport error',
  },
  "an invalid frame with the end of the peer's side": {
    act: ({ peer }) => {
      peer.write(frame({ opcode: 3, payload: 'x' }))
      peer.socket.end()
    },
    order: SESSION_FIRST,
    reason: 'transport error',
  },
  'a message that is no packet': {
    act: ({ peer }) => {
      peer.sendText('zzz')
      return finishHandshake(peer)
    },
    order: SESSION_FIRST,
    reason: 'parse error',
  },
  'a ping that is not answered': {
    // a timer that is late by more than a quarter of the timeout has the client asked once more
    options: { pingInterval: 800, pingTimeout: 400 },
    act: ({ peer }) => finishHandshake(peer),
    order: SESSION_FIRST,
    reason: 'ping timeout',
  },
  'close() of the session': {
    act: ({ peer, socket }) => {
      socket.close()
      return finishHandshake(peer)
    },
    order: SESSION_FIRST,
    reason: 'forced close',
  },
  'close() of the server': {
    act: ({ context, peer }) => {
      context.engine.close()
      return finishHandshake(peer)
    },
    order: SESSION_FIRST,
    reason: 'forced close',
  },
  'close() of the websocket': {
    act: ({ peer, websocket }) => {
      websocket.close(4001)
      return finishHandshake(peer, 4001)
    },
    order: ORDERLY,
  },
  'terminate()': { act: ({ websocket }) => websocket.terminate(), order: CUT_OFF },
  'destroy()': { act: ({ stream }) => stream.destroy(), order: CUT_OFF },
  'destroy(error)': { act: ({ stream }) => stream.destroy(new Error('mine')), order: ['error', ...CUT_OFF] },
  'destroy() behind a message': {
    act: ({ socket, stream }) => {
      socket.send('last')
      stream.destroy()
    },
    order: CUT_OFF,
    last: '4last',
  },
  'destroy() behind a message with a callback': {
    act: ({ log, socket, stream }) => {
      socket.send('last', () => log.push('written'))
      stream.destroy()
    },
    order: CUT_OFF,
    last: '4last',
    callback: true,
  },
  'resetAndDestroy()': { act: ({ stream }) => stream.resetAndDestroy(), order: CUT_OFF },
  'destroySoon()': { act: ({ stream }) => stream.destroySoon(), order: ['finish', ...CUT_OFF] },
  'an error event': { act: ({ stream }) => stream.emit('error', new Error('mine')), order: ['error', ...CUT_OFF] },
  'end()': {
    act: async ({ peer, stream }) => {
      stream.end()
      await peer.closed
    },
    order: ORDERLY,
  },
  'a message behind end()': {
    act: ({ socket, stream }) => {
      stream.end()
      socket.send('late')
    },
    order: ['error', 'session', 'early close', 'late close', 'transport', 'websocket'],
    reason: 'transport error',
  },
}

Object.assign(ENDS, {
  "the end of the peer's side, where a message is sent at that": {
    act: ({ peer, socket, stream }) => {
      stream.on('end', () => socket.send('late'))
      peer.socket.end()
    },
    order: ['end', 'session', 'finish', 'early close', 'transport', 'websocket', 'late close'],
    reason: 'transport error',
  },
  "the end of the peer's side, where messages with callbacks are sent at that": {
    act: ({ peer, socket, stream }) => {
      stream.on('end', () => {
        socket.send('late', () => {})
        socket.send(Buffer.from('later'), () => {})
      })
      peer.socket.end()
    },
    order: ['end', 'session', 'finish', 'early close', 'transport', 'websocket', 'late close'],
    reason: 'transport error',
  },
  "the end of the peer's side, where the session is closed at that": {
    act: ({ peer, socket, stream }) => {
      stream.on('end', () => socket.close())
      peer.socket.end()
    },
    order: ['end', 'session', 'finish', 'early close', 'transport', 'websocket', 'late close'],
    reason: 'forced close',
  },
  "a close frame of the peer's, where a message is sent at the end": {
    act: async ({ peer, socket, stream }) => {
      stream.on('end', () => socket.send('late'))
      peer.sendClose(1000)
      await peer.closed
    },
    order: ['finish', 'end', 'session', 'early close', 'transport', 'websocket', 'late close'],
    reason: 'transport error',
  },
})

/** By name: when listeners are added, besides the late ones. */
const LISTENERS = {
  'with listeners from before the session': true,
  'with late listeners only': false,
}

/** A session whose ends are noted: `{ context, log, peer, socket, stream, websocket }`. */
async function watched({ prepare = () => {}, open = openWebSocket }, options, isEarly) {
  const context = await listen(options)
  prepare(context.server)
  const log = []
  const note = (who, stream) => {
    for (const event of EVENTS) stream.on(event, () => log.push(`${who} ${event}`))
  }
  if (isEarly) context.server.prependListener('upgrade', (_req, stream) => note('early', stream))
  const { peer, polling, socket } = await open(context)
  if (polling !== undefined) context.server.closeIdleConnections()
  const websocket = socket.transport.socket
  const stream = websocket._socket
  const counts = {}
  if (isEarly) stream.prependListener('close', () => (counts.early = [socket.readyState, context.engine.clientsCount]))
  note('late', stream)
  stream.on('close', () => (counts.late = [socket.readyState, context.engine.clientsCount]))
  socket.on('close', () => log.push('session'))
  socket.transport.on('close', () => log.push('transport'))
  websocket.on('close', () => log.push('websocket'))
  return { context, counts, log, peer, socket, stream, websocket }
}

for (const [way, how] of Object.entries(WAYS)) {
  for (const [listeners, isEarly] of Object.entries(LISTENERS)) {
    for (const [name, { act, order, options, reason = 'transport close', last, callback = false }] of Object.entries(
      ENDS,
    )) {
      test(`${way} ${listeners}, ended by ${name}`, async () => {
        const context = await watched(how, options, isEarly)
        const { counts, log, peer, socket, stream, websocket } = context
        const all = [once(socket, 'close'), once(websocket, 'close'), once(stream, 'close')]
        let wasDestroyed
        socket.on('close', () => (wasDestroyed = stream.destroyed))
        await act(context)
        const [[told]] = await Promise.all(all)
        const expected = order.flatMap((event) => {
          if (['end', 'finish', 'error'].includes(event))
            return isEarly ? [`early ${event}`, `late ${event}`] : [`late ${event}`]
          return event === 'early close' && !isEarly ? [] : [event]
        })
        assert.deepEqual(
          log.filter((event) => event !== 'written'),
          expected,
        )
        assert.equal(told, reason)
        if (callback) assert.ok(log.indexOf('written') < log.indexOf('session'), log.join())
        if (last !== undefined) assert.equal(await peer.packet(), last)
        // the session goes on until it has been told, whoever looks
        const isOver = (at) => log.indexOf('session') < log.indexOf(at)
        if (isEarly) assert.deepEqual(counts.early, isOver('early close') ? ['closed', 0] : ['open', 1])
        assert.deepEqual(counts.late, isOver('late close') ? ['closed', 0] : ['open', 1])
        if (reason === 'transport close') assert.equal(wasDestroyed, true)
      })
    }
  }
}

// ---- nobody listens ----------------------------------------------------------------------------

const UNHEARD = [
  "a close frame of the peer's",
  "the end of the peer's side",
  'a reset by the peer',
  'terminate()',
  'destroy()',
]

for (const [way, how] of Object.entries(WAYS)) {
  for (const name of UNHEARD) {
    test(`${way} that nobody listens to has been destroyed when the session closes by ${name}`, async () => {
      const context = await listen()
      how.prepare?.(context.server)
      const { peer, polling, socket } = await (how.open ?? openWebSocket)(context)
      if (polling !== undefined) context.server.closeIdleConnections()
      const websocket = socket.transport.socket
      const { _socket: stream } = websocket
      const closed = once(socket, 'close')
      let states
      socket.on(
        'close',
        () => (states = [stream.destroyed, stream.readyState, websocket.readyState, context.engine.clientsCount]),
      )
      await ENDS[name].act({ peer, socket, stream, websocket })
      await closed
      assert.deepEqual(states, [true, 'closed', websocket.CLOSED, 0])
    })
  }
}

// ---- who keeps the original from hearing --------------------------------------------------------

for (const [name, add] of Object.entries({
  'all of whose listeners have been removed': (stream) => stream.removeAllListeners('close'),
  'whose first close listener throws': (stream) =>
    stream.prependListener('close', () => {
      throw new Error('of a listener')
    }),
})) {
  improvement('what keeps ws from hearing of a close', `a websocket's socket ${name} closes its session`, async (t) => {
    // as an application that survives exceptions
    process.setUncaughtExceptionCaptureCallback(() => {})
    t.after(() => process.setUncaughtExceptionCaptureCallback(null))
    const { peer, socket, stream } = await watched({}, {}, true)
    add(stream)
    const closed = once(socket, 'close')
    peer.socket.end()
    assert.equal((await closed)[0], 'transport close')
  })
}

improvement(
  'who does not end its side is waited for',
  'a session ends with the close frames, though its client does not end its side',
  async () => {
    const context = await listen()
    const stream = net.connect({ port: context.port, host: '127.0.0.1', allowHalfOpen: true })
    await once(stream, 'connect')
    const connected = once(context.engine, 'connection')
    const peer = await RawWebSocket.over(stream, path(context, { transport: 'websocket' })).response()
    const [socket] = await connected
    const closed = once(socket, 'close')
    peer.sendClose(1000)
    assert.equal((await closed)[0], 'transport close')
    await peer.closed
    assert.equal(stream.writable, true)
  },
)
