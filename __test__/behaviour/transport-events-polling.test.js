'use strict'

// The events and states of a polling transport, and of its session, in every way to end and before.

const { openPolling } = require('../support')
const { openPolling3 } = require('../support/eio3')
const { scene } = require('../support/transport-log')

const RS = '\x1e'
const V3 = { open: openPolling3, opts: { allowEIO3: true } }

/** A session without a poll; `late`: what its client sends is answered or not, that is shown elsewhere. */
function polling(name, act, given) {
  scene(`polling: ${name}`, {
    open: openPolling,
    act: (session) =>
      act({
        ...session,
        post: (...args) => session.peer.post(...args).catch(() => {}),
        poll: () => session.peer.poll().catch(() => {}),
      }),
    ...given,
  })
}

/** The same with a poll that waits. */
function pending(name, act, given) {
  polling(
    `${name}, while a poll waits`,
    async (session) => {
      const { response } = await session.peer.pendingPoll()
      response.catch(() => {})
      return act(session)
    },
    given,
  )
}

/** A POST whose body does not come to an end. */
async function beginPost({ peer }) {
  const { req, response } = await peer.pendingPost('4a')
  response.catch(() => {})
  return req
}

// ---- open ------------------------------------------------------------------------------------

polling('nothing happens', () => {}, { log: ['then [open: polling open]'] })

polling(
  'a poll comes for packets that wait',
  async ({ poll, socket }) => {
    socket.send('a')
    socket.send('b')
    await poll()
  },
  {
    log: [
      'polling drain [open: polling open]',
      'socket drain [open: polling open]',
      'polling ready [open: polling open]',
      'then [open: polling open]',
    ],
  },
)

pending(
  'packets go out',
  ({ socket }) => {
    socket.send('a')
    socket.send('b')
  },
  {
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [open: polling open]',
      'socket drain [open: polling open]',
      'then [open: polling open]',
    ],
  },
)

polling('a payload', ({ post }) => post(['4a', '6', '4b'].join(RS)), {
  log: [
    'socket packet message:a [open: polling open]',
    'polling packet message:a [open: polling open]',
    'socket packet noop [open: polling open]',
    'polling packet noop [open: polling open]',
    'socket packet message:b [open: polling open]',
    'polling packet message:b [open: polling open]',
    'then [open: polling open]',
  ],
})

polling('a payload of protocol 3', ({ post }) => post('2:4a1:62:4b'), {
  ...V3,
  log: [
    'socket packet message:a [open: polling open]',
    'polling packet message:a [open: polling open]',
    'socket packet noop [open: polling open]',
    'polling packet noop [open: polling open]',
    'socket packet message:b [open: polling open]',
    'polling packet message:b [open: polling open]',
    'then [open: polling open]',
  ],
})

pending('a ping of protocol 3', ({ post }) => post('1:2'), {
  ...V3,
  log: [
    'polling ready [open: polling open writable]',
    'socket packet ping [open: polling open writable]',
    'polling drain [open: polling open]',
    'socket drain [open: polling open]',
    'socket heartbeat [open: polling open]',
    'polling packet ping [open: polling open]',
    'then [open: polling open]',
  ],
})

pending('a ping and a pong in the wrong direction of protocol 3', ({ post }) => post('1:21:3'), {
  ...V3,
  log: [
    'polling ready [open: polling open writable]',
    'socket packet ping [open: polling open writable]',
    'polling drain [open: polling open]',
    'socket drain [open: polling open]',
    'socket heartbeat [open: polling open]',
    'polling packet ping [open: polling open]',
    'socket packet pong [open: polling open]',
    'socket close "transport error" [closed: polling closing]',
    'polling packet pong [closed: polling closing]',
    'then [closed: polling closing]',
  ],
})

polling(
  'a ping and its answer',
  async ({ poll, post }) => {
    await poll()
    await post('3')
  },
  {
    opts: { pingInterval: 500, pingTimeout: 10_000 },
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [open: polling open]',
      'socket drain [open: polling open]',
      'socket packet pong [open: polling open]',
      'socket heartbeat [open: polling open]',
      'polling packet pong [open: polling open]',
      'then [open: polling open]',
    ],
  },
)

// ---- ends by the client ------------------------------------------------------------------------

pending('another poll', ({ poll }) => poll(), {
  log: [
    'polling ready [open: polling open writable]',
    'polling drain [closed: polling closing]',
    'polling close [closed: polling closed]',
    'socket close "transport error" [closed: polling closed]',
    'polling error "overlap from client" [closed: polling closed]',
    'then [closed: polling closed]',
  ],
})

polling(
  'another POST',
  async (session) => {
    await beginPost(session)
    await session.post('4b')
  },
  {
    log: [
      'socket close "transport error" [closed: polling closing]',
      'polling error "data request overlap from client" [closed: polling closing]',
      'polling error "data request connection closed prematurely" [closed: polling closing]',
      'then [closed: polling closing]',
    ],
  },
)

pending(
  'another POST',
  async (session) => {
    await beginPost(session)
    await session.post('4b')
  },
  {
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [closed: polling closing]',
      'polling close [closed: polling closed]',
      'socket close "transport error" [closed: polling closed]',
      'polling error "data request overlap from client" [closed: polling closed]',
      'polling error "data request connection closed prematurely" [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
)

polling(
  'the client goes away from its poll',
  async ({ peer }) => {
    const { req, response } = await peer.pendingPoll()
    response.catch(() => {})
    req.destroy()
  },
  {
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [closed: polling closing]',
      'polling close [closed: polling closed]',
      'socket close "transport error" [closed: polling closed]',
      'polling error "poll connection closed prematurely" [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
)

polling('the client goes away from its POST', async (session) => (await beginPost(session)).destroy(), {
  log: [
    'socket close "transport error" [closed: polling closing]',
    'polling error "data request connection closed prematurely" [closed: polling closing]',
    'then [closed: polling closing]',
  ],
})

pending('the client goes away from its POST', async (session) => (await beginPost(session)).destroy(), {
  log: [
    'polling ready [open: polling open writable]',
    'polling drain [closed: polling closing]',
    'polling close [closed: polling closed]',
    'socket close "transport error" [closed: polling closed]',
    'polling error "data request connection closed prematurely" [closed: polling closed]',
    'then [closed: polling closed]',
  ],
})

polling('a binary POST of protocol 4', ({ post }) => post('4a', { 'Content-Type': 'application/octet-stream' }), {
  log: [
    'socket close "transport error" [closed: polling closing]',
    'polling error "invalid content" [closed: polling closing]',
    'then [closed: polling closing]',
  ],
})

pending('a binary POST of protocol 4', ({ post }) => post('4a', { 'Content-Type': 'application/octet-stream' }), {
  log: [
    'polling ready [open: polling open writable]',
    'polling drain [closed: polling closing]',
    'polling close [closed: polling closed]',
    'socket close "transport error" [closed: polling closed]',
    'polling error "invalid content" [closed: polling closed]',
    'then [closed: polling closed]',
  ],
})

const PAYLOADS = [
  {
    name: 'something that is not a packet',
    body: ['4a', 'x', '4b'].join(RS),
    log: [
      'socket packet message:a [open: polling open]',
      'polling packet message:a [open: polling open]',
      'socket packet error:parser error [open: polling open]',
      'socket close "parse error" [closed: polling closing]',
      'polling packet error:parser error [closed: polling closing]',
      'then [closed: polling closing]',
    ],
  },
  {
    name: 'a ping in the wrong direction',
    body: ['4a', '2', '4b'].join(RS),
    log: [
      'socket packet message:a [open: polling open]',
      'polling packet message:a [open: polling open]',
      'socket packet ping [open: polling open]',
      'socket close "transport error" [closed: polling closing]',
      'polling packet ping [closed: polling closing]',
      'polling packet message:b [closed: polling closing]',
      'then [closed: polling closing]',
    ],
  },
  {
    name: 'a close packet',
    body: ['4a', '1', '4b'].join(RS),
    log: [
      'socket packet message:a [open: polling open]',
      'polling packet message:a [open: polling open]',
      'socket close "transport close" [closed: polling closed]',
      'polling close [closed: polling closed]',
      'polling packet message:b [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
  {
    name: 'something that is not a packet, in protocol 3',
    body: '2:4a1:x2:4b',
    ...V3,
    log: [
      'socket packet message:a [open: polling open]',
      'polling packet message:a [open: polling open]',
      'socket packet error:parser error [open: polling open]',
      'socket close "parse error" [closed: polling closing]',
      'polling packet error:parser error [closed: polling closing]',
      'then [closed: polling closing]',
    ],
  },
  {
    name: 'a length that is too large, in protocol 3',
    body: '2:4a9:4b',
    ...V3,
    log: [
      'socket packet message:a [open: polling open]',
      'polling packet message:a [open: polling open]',
      'socket packet error:parser error [open: polling open]',
      'socket close "parse error" [closed: polling closing]',
      'polling packet error:parser error [closed: polling closing]',
      'then [closed: polling closing]',
    ],
  },
  {
    name: 'a pong in the wrong direction, in protocol 3',
    body: '2:4a1:32:4b',
    ...V3,
    log: [
      'socket packet message:a [open: polling open]',
      'polling packet message:a [open: polling open]',
      'socket packet pong [open: polling open]',
      'socket close "transport error" [closed: polling closing]',
      'polling packet pong [closed: polling closing]',
      'polling packet message:b [closed: polling closing]',
      'then [closed: polling closing]',
    ],
  },
  {
    name: 'a close packet, in protocol 3',
    body: '2:4a1:12:4b',
    ...V3,
    log: [
      'socket packet message:a [open: polling open]',
      'polling packet message:a [open: polling open]',
      'socket close "transport close" [closed: polling closed]',
      'polling close [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
]

for (const { name, body, ...given } of PAYLOADS) polling(`${name} between messages`, ({ post }) => post(body), given)

const POLLED_PAYLOADS = [
  {
    name: 'something that is not a packet',
    body: ['4a', 'x', '4b'].join(RS),
    log: [
      'polling ready [open: polling open writable]',
      'socket packet message:a [open: polling open writable]',
      'polling packet message:a [open: polling open writable]',
      'socket packet error:parser error [open: polling open writable]',
      'polling drain [closed: polling closing]',
      'polling close [closed: polling closed]',
      'socket close "parse error" [closed: polling closed]',
      'polling packet error:parser error [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
  {
    name: 'a ping in the wrong direction',
    body: ['4a', '2', '4b'].join(RS),
    log: [
      'polling ready [open: polling open writable]',
      'socket packet message:a [open: polling open writable]',
      'polling packet message:a [open: polling open writable]',
      'socket packet ping [open: polling open writable]',
      'polling drain [closed: polling closing]',
      'polling close [closed: polling closed]',
      'socket close "transport error" [closed: polling closed]',
      'polling packet ping [closed: polling closed]',
      'polling packet message:b [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
  {
    name: 'a close packet',
    body: ['4a', '1', '4b'].join(RS),
    log: [
      'polling ready [open: polling open writable]',
      'socket packet message:a [open: polling open writable]',
      'polling packet message:a [open: polling open writable]',
      'polling drain [open: polling open]',
      'socket close "transport close" [closed: polling closed]',
      'polling close [closed: polling closed]',
      'polling packet message:b [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
  {
    name: 'a close packet, in protocol 3',
    body: '2:4a1:12:4b',
    ...V3,
    log: [
      'polling ready [open: polling open writable]',
      'socket packet message:a [open: polling open writable]',
      'polling packet message:a [open: polling open writable]',
      'polling drain [open: polling open]',
      'socket close "transport close" [closed: polling closed]',
      'polling close [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
]

for (const { name, body, ...given } of POLLED_PAYLOADS)
  pending(`${name} between messages`, ({ post }) => post(body), given)

polling('no answer to a ping, and no poll', ({ poll }) => poll(), {
  opts: { pingInterval: 500, pingTimeout: 400 },
  log: [
    'polling ready [open: polling open writable]',
    'polling drain [open: polling open]',
    'socket drain [open: polling open]',
    'socket close "ping timeout" [closed: polling closing]',
    'then [closed: polling closing]',
  ],
})

polling(
  'no answer to a ping, while a poll waits',
  async ({ poll }) => {
    await poll()
    await poll()
  },
  {
    // a timer that is late by more than a quarter of the timeout has the client asked once more
    opts: { pingInterval: 500, pingTimeout: 1000 },
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [open: polling open]',
      'socket drain [open: polling open]',
      'polling ready [open: polling open writable]',
      'polling drain [closed: polling closing]',
      'polling close [closed: polling closed]',
      'socket close "ping timeout" [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
)

// ---- ends by the application -----------------------------------------------------------------

const CLOSES = [
  {
    name: 'close()',
    close: ({ socket }) => socket.close(),
    log: [
      'polling packet message:late [closing: polling closing]',
      'polling ready [closing: polling closing writable]',
      'socket close "forced close" [closed: polling closing]',
      'polling close [closed: polling closed]',
      'polling drain [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
  {
    name: 'close(true)',
    close: ({ socket }) => socket.close(true),
    log: [
      'socket close "forced close" [closed: polling closing discarded]',
      'polling close [closed: polling closed discarded]',
      'then [closed: polling closed discarded]',
    ],
  },
  {
    name: 'engine.close()',
    close: ({ context }) => context.engine.close(),
    log: [
      'socket close "forced close" [closed: polling closing discarded]',
      'polling close [closed: polling closed discarded]',
      'then [closed: polling closed discarded]',
    ],
  },
  {
    name: 'transport.close()',
    close: ({ socket }) => socket.transport.close(),
    log: [
      'socket packet message:late [open: polling closing]',
      'polling packet message:late [open: polling closing]',
      'polling ready [open: polling closing writable]',
      'socket close "transport close" [closed: polling closed]',
      'polling close [closed: polling closed]',
      'polling drain [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
]

for (const { name, close, log } of CLOSES) {
  polling(
    `${name}, then a POST and a poll`,
    async (session) => {
      close(session)
      await session.post('4late')
      await session.poll()
    },
    { log },
  )
}

const POLLED_CLOSES = [
  {
    name: 'close()',
    close: ({ socket }) => socket.close(),
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [closing: polling closing]',
      'socket close "forced close" [closed: polling closing]',
      'polling close [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
  {
    name: 'close(true)',
    close: ({ socket }) => socket.close(true),
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [open: polling closing discarded]',
      'socket close "forced close" [closed: polling closing discarded]',
      'polling close [closed: polling closed discarded]',
      'then [closed: polling closed discarded]',
    ],
  },
  {
    name: 'engine.close()',
    close: ({ context }) => context.engine.close(),
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [open: polling closing discarded]',
      'socket close "forced close" [closed: polling closing discarded]',
      'polling close [closed: polling closed discarded]',
      'then [closed: polling closed discarded]',
    ],
  },
  {
    name: 'transport.close()',
    close: ({ socket }) => socket.transport.close(),
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [open: polling closing]',
      'socket close "transport close" [closed: polling closed]',
      'polling close [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
]

for (const { name, close, log } of POLLED_CLOSES) pending(name, close, { log })

const CLOSES_OF_POSTS = [
  {
    name: 'close()',
    close: ({ socket }) => socket.close(),
    log: [
      'socket close "transport error" [closed: polling closing]',
      'polling error "data request connection closed prematurely" [closed: polling closing]',
      'then [closed: polling closing]',
    ],
  },
  {
    name: 'close(true)',
    close: ({ socket }) => socket.close(true),
    log: [
      'socket close "forced close" [closed: polling closing discarded]',
      'polling close [closed: polling closed discarded]',
      'polling error "data request connection closed prematurely" [closed: polling closed discarded]',
      'then [closed: polling closed discarded]',
    ],
  },
  {
    name: 'engine.close()',
    close: ({ context }) => context.engine.close(),
    log: [
      'socket close "forced close" [closed: polling closing discarded]',
      'polling close [closed: polling closed discarded]',
      'polling error "data request connection closed prematurely" [closed: polling closed discarded]',
      'then [closed: polling closed discarded]',
    ],
  },
]

for (const { name, close, log } of CLOSES_OF_POSTS) {
  polling(
    `${name}, while a POST is in progress`,
    async (session) => {
      await beginPost(session)
      close(session)
    },
    { log },
  )
}

pending(
  'close(true), while a POST is in progress',
  async (session) => {
    await beginPost(session)
    session.socket.close(true)
  },
  {
    log: [
      'polling ready [open: polling open writable]',
      'polling drain [open: polling closing discarded]',
      'socket close "forced close" [closed: polling closing discarded]',
      'polling close [closed: polling closed discarded]',
      'polling error "data request connection closed prematurely" [closed: polling closed discarded]',
      'then [closed: polling closed discarded]',
    ],
  },
)

polling(
  'close() behind a message',
  async ({ poll, socket }) => {
    socket.send('a')
    socket.close()
    await poll()
    await poll()
  },
  {
    log: [
      'polling drain [closing: polling open]',
      'socket drain [closing: polling open]',
      'polling ready [closing: polling closing]',
      'polling ready [closing: polling closing writable]',
      'socket close "forced close" [closed: polling closing]',
      'polling close [closed: polling closed]',
      'polling drain [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
)

polling(
  'close() by a message listener',
  async ({ log, poll, post, socket }) => {
    socket.on('message', () => {
      log.push(`socket close is called, dataReq ${typeof socket.transport.dataReq} ${log.states()}`)
      socket.close()
    })
    await post(['4a', '4b'].join(RS))
    await poll()
  },
  {
    log: [
      'socket packet message:a [open: polling open]',
      'socket close is called, dataReq object [open: polling open]',
      'polling packet message:a [closing: polling closing]',
      'polling packet message:b [closing: polling closing]',
      'polling ready [closing: polling closing writable]',
      'socket close "forced close" [closed: polling closing]',
      'polling close [closed: polling closed]',
      'polling drain [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
)

pending(
  'close(true) by a message listener',
  async ({ post, socket }) => {
    socket.on('message', () => socket.close(true))
    await post(['4a', '4b'].join(RS))
  },
  {
    log: [
      'polling ready [open: polling open writable]',
      'socket packet message:a [open: polling open writable]',
      'polling drain [open: polling closing discarded]',
      'socket close "forced close" [closed: polling closing discarded]',
      'polling close [closed: polling closed discarded]',
      'polling packet message:a [closed: polling closed discarded]',
      'polling packet message:b [closed: polling closed discarded]',
      'then [closed: polling closed discarded]',
    ],
  },
)

polling(
  'close() that the client does not come for in closeTimeout',
  ({ socket }) => {
    socket.transport.closeTimeout = 30
    socket.close()
  },
  {
    log: [
      'socket close "forced close" [closed: polling closing]',
      'polling close [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
)

polling(
  'something that is not a packet, and no poll in closeTimeout',
  ({ post, socket }) => {
    socket.transport.closeTimeout = 30
    return post('x')
  },
  {
    log: [
      'socket packet error:parser error [open: polling open]',
      'socket close "parse error" [closed: polling closing]',
      'polling packet error:parser error [closed: polling closing]',
      'polling close [closed: polling closed]',
      'then [closed: polling closed]',
    ],
  },
)

polling(
  'events that the application emits',
  ({ socket }) => {
    const { transport } = socket
    transport.emit('packet', { type: 'message', data: 'mine' })
    transport.emit('drain')
    transport.emit('ready')
    transport.emit('error', new Error('mine'))
    transport.emit('packet', { type: 'message', data: 'late' })
    transport.emit('error', new Error('late'))
  },
  {
    log: [
      'socket packet message:mine [open: polling open]',
      'polling packet message:mine [open: polling open]',
      'polling drain [open: polling open]',
      'polling ready [open: polling open]',
      'socket close "transport error" [closed: polling closing]',
      'polling error "mine" [closed: polling closing]',
      'polling packet message:late [closed: polling closing]',
      'polling error "late" [closed: polling closing]',
      'then [closed: polling closing]',
    ],
  },
)
