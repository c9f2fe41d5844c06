'use strict'

// Programs of Socket.IO's: real clients of versions 4 and 2, namespaces, rooms, acknowledgements, recovery, middlewares.

const { Random } = require('../../chaos/random')
const { Sketch, drawStep } = require('../sketch')
const { drawHandlers } = require('./handlers')
const { drawn } = require('./steps')

const STEPS = 12

const OPTIONS = {
  connectionStateRecovery: (random) =>
    random.pick([{}, { skipMiddlewares: false }, { maxDisconnectionDuration: 60_000 }]),
  cleanupEmptyChildNamespaces: () => true,
  perMessageDeflate: (random) => random.pick([true, { threshold: 0 }]),
  httpCompression: (random) => random.pick([false, { threshold: 0 }]),
  maxHttpBufferSize: (random) => random.pick([300, 3000]),
  allowUpgrades: () => false,
  transports: (random) => random.pick([['polling'], ['websocket']]),
  cookie: () => true,
  path: () => '/some/path',
  cors: (random) => random.pick([{ origin: '*' }, { origin: 'http://a.test', credentials: true }]),
}

// How often a client polls, and what is written at once, depends on when it comes; programs of the engine's own look at it.
const WATCHED = {
  server: [
    'connection_error',
    'initial_headers',
    'new_namespace',
    'create-room',
    'join-room',
    'leave-room',
    'delete-room',
  ],
  session: ['packet', 'packetCreate', 'upgrade', 'close'],
}

class SocketSketch extends Sketch {
  /** A client's socket: `{ as, ns }`. */
  pick(random) {
    const { name, namespaces } = super.pick(random)
    return { as: name, ns: random.pick(namespaces) }
  }
}

function drawProgram(seed, mode, protocol) {
  const random = new Random(`${seed} ${mode} ${protocol}`)
  const sketch = new SocketSketch(protocol)
  const options = protocol === 3 ? { allowEIO3: true } : {}
  for (const [name, draw] of Object.entries(OPTIONS))
    if (random.chance(name === 'connectionStateRecovery' ? 0.3 : 0.08)) options[name] = draw(random)
  // a client that has missed nothing gives the last string that it was sent as its offset, and so is refused for ever
  if (options.connectionStateRecovery !== undefined) delete options.maxHttpBufferSize
  const some = (list) => (random.chance(0.5) ? [] : list.filter(() => random.chance(0.5)))
  const program = {
    seed,
    mode,
    protocol,
    options,
    hooks: [],
    watch: { server: some(WATCHED.server), session: some(WATCHED.session), transport: [] },
    snapshots: random.chance(0.7) ? 'each' : 'end',
    listeners: drawHandlers(random),
    steps: [],
  }
  const count = 3 + random.below(STEPS - 2)
  for (let i = 0; i < count; i++) program.steps.push(drawStep(random, sketch, drawn))
  return program
}

module.exports = { drawProgram }
