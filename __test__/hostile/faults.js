'use strict'

// What an application does wrong, towards attackers only: a function for each, which gets the cell and gives `opts` for the
// engine, what to do with the `engine`, and with each attacker's `socket`. The honest client beside them is left alone.

const isAttacker = (req) => Boolean(req._query && req._query.attacker)

/** A listener of a session's event throws. */
const onSocket = (event) => (cell) => ({
  socket: (socket) =>
    socket.on(event, () => {
      throw cell.fault()
    }),
})

/** A listener of a transport's event throws. */
const onTransport = (event) => (cell) => ({
  socket: (socket) =>
    socket.transport.on(event, () => {
      throw cell.fault()
    }),
})

/** A listener of the server's throws for requests of attackers. */
const onEngine = (event, requestOf) => (cell) => ({
  engine: (engine) =>
    engine.on(event, (...args) => {
      if (isAttacker(requestOf(...args))) throw cell.fault()
    }),
})

const fromHeaders = (headers, req) => req

module.exports = {
  'connection listener': (cell) => ({
    socket: () => {
      throw cell.fault()
    },
  }),
  'data listener': onSocket('data'),
  'message listener': onSocket('message'),
  'packet listener': onSocket('packet'),
  'packetCreate listener': onSocket('packetCreate'),
  'flush listener': onSocket('flush'),
  'drain listener': onSocket('drain'),
  'heartbeat listener': onSocket('heartbeat'),
  'upgrading listener': onSocket('upgrading'),
  'upgrade listener': onSocket('upgrade'),
  'close listener': onSocket('close'),
  'transport packet listener': onTransport('packet'),
  'transport drain listener': onTransport('drain'),
  'transport ready listener': onTransport('ready'),
  'transport close listener': onTransport('close'),
  'transport error listener': onTransport('error'),
  'headers listener': onEngine('headers', fromHeaders),
  'initial_headers listener': onEngine('initial_headers', fromHeaders),
  'connection_error listener': onEngine('connection_error', ({ req }) => req),
  'server flush listener': onEngine('flush', (socket) => socket.request ?? {}),
  'server drain listener': onEngine('drain', (socket) => socket.request ?? {}),

  'send callback': (cell) => ({
    socket: (socket) =>
      socket.on('message', () =>
        socket.send('called back', () => {
          throw cell.fault()
        }),
      ),
  }),

  'allowRequest throws': (cell) => ({
    opts: {
      allowRequest(req, fn) {
        if (isAttacker(req)) throw cell.fault()
        fn(null, true)
      },
    },
  }),
  'allowRequest rejects': (cell) => ({
    opts: {
      async allowRequest(req, fn) {
        if (isAttacker(req)) throw cell.fault()
        fn(null, true)
      },
    },
  }),
  'allowRequest twice': () => ({
    opts: {
      allowRequest(req, fn) {
        fn(null, true)
        if (isAttacker(req)) fn(null, true)
      },
    },
  }),
  'allowRequest late': (cell) => ({
    opts: {
      allowRequest(req, fn) {
        if (isAttacker(req)) cell.kept.push(() => fn(null, true))
        else fn(null, true)
      },
    },
  }),
  'allowRequest refuses late': (cell) => ({
    opts: {
      allowRequest(req, fn) {
        if (isAttacker(req)) cell.kept.push(() => fn('refused', false))
        else fn(null, true)
      },
    },
  }),
  'generateId throws': (cell) => ({
    engine: (engine) => {
      const { generateId } = engine
      engine.generateId = function (req) {
        if (isAttacker(req)) throw cell.fault()
        return generateId.call(this, req)
      }
    },
  }),
  'generateId rejects': (cell) => ({
    engine: (engine) => {
      const { generateId } = engine
      engine.generateId = async function (req) {
        if (isAttacker(req)) throw cell.fault()
        return generateId.call(this, req)
      }
    },
  }),
  'generateId late': (cell) => ({
    engine: (engine) => {
      const { generateId } = engine
      engine.generateId = function (req) {
        if (!isAttacker(req)) return generateId.call(this, req)
        return new Promise((resolve) => cell.kept.push(() => resolve(generateId.call(this, req))))
      }
    },
  }),
  'middleware throws': (cell) => ({
    engine: (engine) =>
      engine.use((req, res, next) => {
        if (isAttacker(req)) throw cell.fault()
        next()
      }),
  }),
  'middleware rejects': (cell) => ({
    engine: (engine) =>
      engine.use(async (req, res, next) => {
        if (isAttacker(req)) throw cell.fault()
        next()
      }),
  }),
  'middleware late': (cell) => ({
    engine: (engine) =>
      engine.use((req, res, next) => {
        if (isAttacker(req)) cell.kept.push(next)
        else next()
      }),
  }),
  'middleware answers and goes on': () => ({
    engine: (engine) =>
      engine.use((req, res, next) => {
        if (isAttacker(req)) res.end('answered')
        next()
      }),
  }),
  // Node's own exception tells the name of the header, by which the cell is known
  'header with a line break': (cell) => ({
    engine: (engine) =>
      engine.on('headers', (headers, req) => {
        if (isAttacker(req)) headers[`cell-${cell.number}`] = 'a\r\nx-injected: b'
      }),
  }),
  'header with an invalid name': (cell) => ({
    engine: (engine) =>
      engine.on('headers', (headers, req) => {
        if (isAttacker(req)) headers[`cell-${cell.number} \r\n`] = 'a'
      }),
  }),
  'closes in connection': () => ({ socket: (socket) => socket.close(true) }),
  'closes in message': () => ({ socket: (socket) => socket.on('message', () => socket.close()) }),
  'keeps sockets': (cell) => ({ socket: (socket) => cell.kept.push(socket) }),

  /** What is done when the client says so. */
  acts: {
    /** Late answers. */
    answer(cell) {
      const late = cell.kept.splice(0)
      for (const fn of late) fn()
      return late.length
    },
    kept: (cell) => cell.kept.length,
    sessions: (cell) => Object.keys(cell.engine.clients),
    close(cell) {
      cell.engine.close()
    },
    /** Calls every method of sessions, transports and what is below, open or closed, with nothing and with something. */
    callEverything(cell) {
      const sockets = cell.kept.splice(0)
      for (const socket of sockets) {
        const { transport } = socket
        for (const object of [socket, transport, transport.socket, transport.session, transport.writer]) callAll(object)
      }
      return sockets.length
    },
  },
}

/** The methods of sessions, transports, and connections of `ws`, with what they are called with. */
const METHODS = {
  send: [['x'], ['x', {}, () => {}], [Buffer.from('x'), { compress: false }]],
  write: [['x']],
  sendPacket: [['message', 'x'], ['ping']],
  flush: [[]],
  getAvailableUpgrades: [[]],
  ping: [[]],
  pong: [[]],
  pause: [[]],
  resume: [[]],
  discard: [[]],
  close: [[], [1000, 'over'], [true]],
  closeTransport: [[true]],
  terminate: [[]],
  abort: [[]],
}

/** A call may throw: that is told to its caller, and must do no harm to others. */
function callAll(object) {
  if (!object) return
  const isTransport = object.handlesUpgrades !== undefined || object.supportsBinary !== undefined
  for (const [name, calls] of Object.entries(METHODS)) {
    if (typeof object[name] !== 'function') continue
    for (const args of calls) {
      try {
        const result = object[name](...(isTransport && name === 'send' ? [[{ type: 'message', data: 'x' }]] : args))
        if (result && typeof result.catch === 'function') result.catch(() => {})
      } catch {
        // see above
      }
    }
  }
}
