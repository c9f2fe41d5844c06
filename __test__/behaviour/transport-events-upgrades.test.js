'use strict'

// The events and states of both transports, and of their session, in every upgrade that is done or not.

const { RawWebSocket, frame, openPolling, path } = require('../support')
const { openPolling3 } = require('../support/eio3')
const { scene } = require('../support/transport-log')

const frames = (...payloads) => Buffer.concat(payloads.map((payload) => frame({ payload })))

async function openBoth(context, query) {
  const { peer: polling, socket } = await (query === undefined ? openPolling : openPolling3)(context)
  return {
    polling,
    socket,
    peer: await RawWebSocket.open(context.port, path(context, { transport: 'websocket', sid: polling.sid, ...query })),
  }
}

function upgrade(name, act, given) {
  scene(`upgrade: ${name}`, { open: openBoth, act, ...given })
}

/** The client probes, and goes on when its probe has been answered. */
async function probe({ peer }) {
  peer.sendText('2probe')
  await peer.packet()
}

/** A poll, or a POST, whose answer is not waited for. */
async function begin(started) {
  const { req, response } = await started
  response.catch(() => {})
  return req
}

upgrade('only a probe', (session) => probe(session), {
  log: [
    'socket upgrading websocket [open upgrading: polling open, websocket open]',
    'websocket drain [open upgrading: polling open, websocket open]',
    'websocket ready [open upgrading: polling open, websocket open writable]',
    'then [open upgrading: polling open, websocket open writable]',
  ],
})

upgrade(
  'a probe and another one',
  async (session) => {
    await probe(session)
    await probe(session)
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket packet ping:probe [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'then [open upgrading: polling open, websocket open writable]',
    ],
  },
)

upgrade(
  'done, and a packet',
  async (session) => {
    await probe(session)
    session.peer.write(frames('5', '4a'))
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'polling close [open upgraded: polling closed discarded, websocket open writable]',
      'socket upgrade websocket [open upgraded: polling closed discarded, websocket open writable]',
      'websocket packet upgrade [open upgraded: polling closed discarded, websocket open writable]',
      'websocket packet message:a [open upgraded: polling closed discarded, websocket open writable]',
      'socket packet message:a [open upgraded: polling closed discarded, websocket open writable]',
      'then [open upgraded: polling closed discarded, websocket open writable]',
    ],
  },
)

upgrade(
  'done while a poll waits',
  async ({ peer, polling }) => {
    await begin(polling.pendingPoll())
    // in one segment, so that no noop comes between
    peer.write(frames('2probe', '5'))
  },
  {
    log: [
      'polling ready [open upgrading: polling open writable]',
      'socket upgrading websocket [open upgrading: polling open writable, websocket open]',
      'polling drain [open upgraded: polling closing discarded, websocket open]',
      'polling close [open upgraded: polling closed discarded, websocket open]',
      'socket upgrade websocket [open upgraded: polling closed discarded, websocket open]',
      'websocket packet upgrade [open upgraded: polling closed discarded, websocket open]',
      'websocket drain [open upgraded: polling closed discarded, websocket open]',
      'websocket ready [open upgraded: polling closed discarded, websocket open writable]',
      'then [open upgraded: polling closed discarded, websocket open writable]',
    ],
  },
)

upgrade(
  'done when a poll has been answered',
  async (session) => {
    const { response } = await session.polling.pendingPoll()
    await probe(session)
    await response
    session.peer.sendText('5')
  },
  {
    log: [
      'polling ready [open upgrading: polling open writable]',
      'socket upgrading websocket [open upgrading: polling open writable, websocket open]',
      'websocket drain [open upgrading: polling open writable, websocket open]',
      'websocket ready [open upgrading: polling open writable, websocket open writable]',
      'polling drain [open upgrading: polling open, websocket open writable]',
      'polling close [open upgraded: polling closed discarded, websocket open writable]',
      'socket upgrade websocket [open upgraded: polling closed discarded, websocket open writable]',
      'websocket packet upgrade [open upgraded: polling closed discarded, websocket open writable]',
      'then [open upgraded: polling closed discarded, websocket open writable]',
    ],
  },
)

upgrade(
  'done while a POST is in progress',
  async (session) => {
    await begin(session.polling.pendingPost('4a'))
    await probe(session)
    session.peer.sendText('5')
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'polling close [open upgraded: polling closed discarded, websocket open writable]',
      'socket upgrade websocket [open upgraded: polling closed discarded, websocket open writable]',
      'websocket packet upgrade [open upgraded: polling closed discarded, websocket open writable]',
      'polling error "data request connection closed prematurely" [open upgraded: polling closed discarded, websocket open writable]',
      'then [open upgraded: polling closed discarded, websocket open writable]',
    ],
  },
)

upgrade(
  'done while packets wait',
  async (session) => {
    await probe(session)
    session.socket.send('a')
    session.peer.sendText('5')
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'polling close [open upgraded: polling closed discarded, websocket open writable]',
      'socket upgrade websocket [open upgraded: polling closed discarded, websocket open writable]',
      'socket drain [open upgraded: polling closed discarded, websocket open]',
      'websocket packet upgrade [open upgraded: polling closed discarded, websocket open]',
      'websocket drain [open upgraded: polling closed discarded, websocket open]',
      'websocket ready [open upgraded: polling closed discarded, websocket open writable]',
      'then [open upgraded: polling closed discarded, websocket open writable]',
    ],
  },
)

upgrade('done in one segment', ({ peer }) => peer.write(frames('2probe', '5', '4a')), {
  log: [
    'socket upgrading websocket [open upgrading: polling open, websocket open]',
    'polling close [open upgraded: polling closed discarded, websocket open]',
    'socket upgrade websocket [open upgraded: polling closed discarded, websocket open]',
    'websocket packet upgrade [open upgraded: polling closed discarded, websocket open]',
    'websocket packet message:a [open upgraded: polling closed discarded, websocket open]',
    'socket packet message:a [open upgraded: polling closed discarded, websocket open]',
    'websocket drain [open upgraded: polling closed discarded, websocket open]',
    'websocket ready [open upgraded: polling closed discarded, websocket open writable]',
    'then [open upgraded: polling closed discarded, websocket open writable]',
  ],
})

upgrade('done without a probe', ({ peer }) => peer.sendText('5'), {
  log: [
    'polling close [open upgraded: polling closed discarded]',
    'socket upgrade websocket [open upgraded: polling closed discarded]',
    'then [open upgraded: polling closed discarded]',
  ],
})

upgrade(
  'not done in time',
  async (session) => {
    await probe(session)
    await session.peer.closeFrame()
    session.peer.sendClose()
  },
  {
    opts: { upgradeTimeout: 500 },
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'websocket close [open: polling open, websocket closed writable]',
      'then [open: polling open, websocket closed writable]',
    ],
  },
)

upgrade(
  'not done in time, and the client does not answer',
  async (session) => {
    await probe(session)
  },
  {
    opts: { upgradeTimeout: 500 },
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'then [open: polling open, websocket closing writable]',
    ],
  },
)

upgrade(
  'a message instead, and another one',
  async (session) => {
    const { peer, seen } = session
    await probe(session)
    peer.sendText('4a')
    await peer.closeFrame()
    peer.sendText('4late')
    await seen('websocket packet message:late')
    peer.sendClose()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'websocket packet message:a [open: polling open, websocket closing writable]',
      'websocket packet message:late [open: polling open, websocket closing writable]',
      'websocket close [open: polling open, websocket closed writable]',
      'then [open: polling open, websocket closed writable]',
    ],
  },
)

upgrade(
  'something that is not a packet instead',
  async (session) => {
    await probe(session)
    session.peer.sendText('x')
    await session.peer.closeFrame()
    session.peer.sendClose()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'websocket packet error:parser error [open: polling open, websocket closing writable]',
      'websocket close [open: polling open, websocket closed writable]',
      'then [open: polling open, websocket closed writable]',
    ],
  },
)

upgrade(
  'a frame instead that breaks the protocol',
  async (session) => {
    await probe(session)
    session.peer.sendFrame({ opcode: 3 })
    await session.peer.closeFrame()
    session.peer.socket.end()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'websocket error "RangeError: Invalid WebSocket frame: invalid opcode 3" [open: polling open, websocket closing writable]',
      'websocket close [open: polling open, websocket closed writable]',
      'then [open: polling open, websocket closed writable]',
    ],
  },
)

upgrade(
  'the client closes the WebSocket',
  async (session) => {
    await probe(session)
    session.peer.sendClose()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'websocket close [open: polling open, websocket closed writable]',
      'then [open: polling open, websocket closed writable]',
    ],
  },
)

upgrade(
  'the client resets the WebSocket',
  async (session) => {
    await probe(session)
    session.peer.reset()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'websocket close [open: polling open, websocket closed writable]',
      'then [open: polling open, websocket closed writable]',
    ],
  },
)

upgrade(
  'close(true) meanwhile, and a packet before the client has answered',
  async (session) => {
    const { peer, seen, socket } = session
    await probe(session)
    socket.close(true)
    await peer.closeFrame()
    peer.sendText('4late')
    await seen('websocket packet message:late')
    peer.sendClose()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'socket close "forced close" [closed upgrading: polling closing discarded, websocket open writable]',
      'polling close [closed: polling closed discarded, websocket closing writable]',
      'websocket packet message:late [closed: polling closed discarded, websocket closing writable]',
      'websocket close [closed: polling closed discarded, websocket closed writable]',
      'then [closed: polling closed discarded, websocket closed writable]',
    ],
  },
)

upgrade(
  'close() meanwhile, and done',
  async (session) => {
    await probe(session)
    session.socket.close()
    session.peer.sendText('5')
    await session.peer.closeFrame()
    session.peer.sendClose()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'socket upgrade websocket [closing upgraded: polling closing discarded, websocket open writable]',
      'socket close "forced close" [closed upgraded: polling closing discarded, websocket closing writable]',
      'websocket packet upgrade [closed upgraded: polling closing discarded, websocket closing writable]',
      'websocket close [closed upgraded: polling closing discarded, websocket closed writable]',
      'then [closed upgraded: polling closing discarded, websocket closed writable]',
    ],
  },
)

upgrade(
  'close() meanwhile behind a message, and done',
  async (session) => {
    await probe(session)
    session.socket.send('a')
    session.socket.close()
    session.peer.sendText('5')
    await session.peer.closeFrame()
    session.peer.sendClose()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'polling close [closing upgraded: polling closed discarded, websocket open writable]',
      'socket upgrade websocket [closing upgraded: polling closed discarded, websocket open writable]',
      'socket drain [closing upgraded: polling closed discarded, websocket open]',
      'socket close "forced close" [closed upgraded: polling closed discarded, websocket closing]',
      'websocket packet upgrade [closed upgraded: polling closed discarded, websocket closing]',
      'websocket drain [closed upgraded: polling closed discarded, websocket closing]',
      'websocket ready [closed upgraded: polling closed discarded, websocket closing writable]',
      'websocket close [closed upgraded: polling closed discarded, websocket closed writable]',
      'then [closed upgraded: polling closed discarded, websocket closed writable]',
    ],
  },
)

upgrade(
  'close(true) by an upgrading listener',
  async ({ peer, socket }) => {
    socket.on('upgrading', () => socket.close(true))
    peer.sendText('2probe')
    await peer.closeFrame()
    peer.sendClose()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'socket close "forced close" [closed upgrading: polling closing discarded, websocket open]',
      'polling close [closed: polling closed discarded, websocket closing]',
      'websocket drain [closed: polling closed discarded, websocket closing]',
      'websocket ready [closed: polling closed discarded, websocket closing writable]',
      'websocket close [closed: polling closed discarded, websocket closed writable]',
      'then [closed: polling closed discarded, websocket closed writable]',
    ],
  },
)

upgrade(
  'close() by an upgrade listener',
  async (session) => {
    session.socket.on('upgrade', () => session.socket.close())
    await probe(session)
    session.peer.sendText('5')
    await session.peer.closeFrame()
    session.peer.sendClose()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'polling close [open upgraded: polling closed discarded, websocket open writable]',
      'socket upgrade websocket [open upgraded: polling closed discarded, websocket open writable]',
      'socket close "forced close" [closed upgraded: polling closed discarded, websocket closing writable]',
      'websocket packet upgrade [closed upgraded: polling closed discarded, websocket closing writable]',
      'websocket close [closed upgraded: polling closed discarded, websocket closed writable]',
      'then [closed upgraded: polling closed discarded, websocket closed writable]',
    ],
  },
)

upgrade(
  'the client goes away from its poll meanwhile',
  async (session) => {
    await probe(session)
    ;(await begin(session.polling.pendingPoll())).destroy()
    await session.peer.closeFrame()
    session.peer.sendClose()
  },
  {
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'polling ready [open upgrading: polling open writable, websocket open writable]',
      'polling drain [closed upgrading: polling closing, websocket open writable]',
      'polling close [closed upgrading: polling closed, websocket open writable]',
      'socket close "transport error" [closed upgrading: polling closed, websocket open writable]',
      'polling error "poll connection closed prematurely" [closed: polling closed, websocket closing writable]',
      'websocket close [closed: polling closed, websocket closed writable]',
      'then [closed: polling closed, websocket closed writable]',
    ],
  },
)

upgrade(
  'of protocol 3',
  async (session) => {
    await probe(session)
    session.peer.write(frames('5', '4a', '2'))
  },
  {
    opts: { allowEIO3: true },
    query: { EIO: '3' },
    log: [
      'socket upgrading websocket [open upgrading: polling open, websocket open]',
      'websocket drain [open upgrading: polling open, websocket open]',
      'websocket ready [open upgrading: polling open, websocket open writable]',
      'polling close [open upgraded: polling closed discarded, websocket open writable]',
      'socket upgrade websocket [open upgraded: polling closed discarded, websocket open writable]',
      'websocket packet upgrade [open upgraded: polling closed discarded, websocket open writable]',
      'websocket packet message:a [open upgraded: polling closed discarded, websocket open writable]',
      'socket packet message:a [open upgraded: polling closed discarded, websocket open writable]',
      'websocket packet ping [open upgraded: polling closed discarded, websocket open writable]',
      'socket packet ping [open upgraded: polling closed discarded, websocket open writable]',
      'socket drain [open upgraded: polling closed discarded, websocket open]',
      'socket heartbeat [open upgraded: polling closed discarded, websocket open]',
      'websocket drain [open upgraded: polling closed discarded, websocket open]',
      'websocket ready [open upgraded: polling closed discarded, websocket open writable]',
      'then [open upgraded: polling closed discarded, websocket open writable]',
    ],
  },
)
