'use strict'

// What an application does to the net.Socket of a websocket while its session begins: by place and by what is done, what
// becomes of the session, and of the answer.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { RawWebSocket, listen, path } = require('../support')

const ACTS = {
  'destroy()': (stream) => stream.destroy(),
  'destroy(error)': (stream) => stream.destroy(new Error('mine')),
  'an error event': (stream) => stream.emit('error', new Error('mine')),
  'destroySoon()': (stream) => stream.destroySoon(),
  'end()': (stream) => stream.end(),
}

/** Ways in which a connection gets to its session. */
const WAYS = {
  "a websocket's socket": () => {},
  "a websocket's socket that is watched": (server) => server.on('connection', (stream) => stream.on('data', () => {})),
}

/** Where: has `act` done, whether the 101 goes out, whether the open packet does, and the session's reason. */
const PLACES = {
  'in a listener of headers': {
    at: ({ engine }, act) => engine.once('headers', (_headers, req) => act(req.socket)),
    switches: false,
    opens: false,
    reason: 'transport error',
  },
  'in the tick of the upgrade': {
    at: ({ server }, act) => server.on('upgrade', (_req, stream) => act(stream)),
    switches: true,
    opens: false,
    reason: 'transport error',
  },
  'in generateId()': {
    at: ({ engine }, act) => {
      engine.generateId = (req) => {
        act(req.socket)
        return 'id'
      }
    },
    switches: true,
    opens: false,
    reason: 'transport error',
  },
  'in connection': {
    at: ({ engine }, act) => engine.on('connection', (socket) => act(socket.request.socket)),
    switches: true,
    opens: true,
    reason: 'transport close',
  },
  'in connection, behind a message': {
    at: ({ engine }, act) =>
      engine.on('connection', (socket) => {
        socket.send('hello')
        act(socket.request.socket)
      }),
    switches: true,
    opens: true,
    reason: 'transport error',
  },
  'in connection, before a message': {
    at: ({ engine }, act) =>
      engine.on('connection', (socket) => {
        act(socket.request.socket)
        socket.send('hello')
      }),
    switches: true,
    opens: true,
    reason: 'transport error',
  },
}

for (const [way, prepare] of Object.entries(WAYS)) {
  for (const [place, { at, switches, opens, reason }] of Object.entries(PLACES)) {
    for (const [name, act] of Object.entries(ACTS)) {
      test(`${way}, ended by ${name} ${place}, ends its session by ${reason}`, async () => {
        const context = await listen()
        prepare(context.server)
        const log = []
        const ended = new Promise((resolve) => {
          context.engine.on('connection', (socket) => {
            log.push(['connection', socket.readyState, context.engine.clientsCount])
            socket.on('close', (told) => resolve(log.push(['close', told, context.engine.clientsCount])))
          })
        })
        const closed = new Promise((resolve) =>
          context.server.on('connection', (stream) => stream.on('close', resolve)),
        )
        at(context, act)
        const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
        await Promise.all([ended, closed, peer.closed])
        assert.deepEqual(log, [
          ['connection', 'open', 1],
          ['close', reason, 0],
        ])
        assert.deepEqual([peer.text.includes('101 Switching'), peer.text.includes('pingInterval')], [switches, opens])
        assert.equal(peer.text.includes('hello'), false)
      })
    }
  }
}
