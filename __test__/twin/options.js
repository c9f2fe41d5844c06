'use strict'

// The server's options. Times are so long that no timer fires, unless the program is about them.

const NEVER = 600_000

const TIMES = { pingInterval: NEVER, pingTimeout: NEVER, upgradeTimeout: NEVER, destroyUpgradeTimeout: 20 }

const DRAWS = {
  cors: (random) =>
    random.pick([
      { origin: 'http://example.com' },
      { origin: true, credentials: true },
      { origin: ['http://a.test', 'http://b.test'], methods: ['GET', 'POST'] },
      {},
    ]),
  cookie: (random) =>
    random.pick([true, { name: 'sid' }, { name: 'sid', path: '/x', httpOnly: false, sameSite: 'strict', maxAge: 10 }]),
  initialPacket: (random) => random.pick(['welcome', 'ü', 'x'.repeat(2000)]),
  httpCompression: (random) => random.pick([false, { threshold: 0 }, { threshold: 100 }]),
  perMessageDeflate: (random) =>
    random.pick([true, { threshold: 0 }, { threshold: 10, serverNoContextTakeover: true }]),
  maxHttpBufferSize: (random) => random.pick([10, 100, 1000]),
  maxBufferedChunks: (random) => random.pick([0, 1, 3]),
  allowUpgrades: () => false,
  transports: (random) => random.pick([['polling'], ['websocket'], ['websocket', 'polling']]),
  addTrailingSlash: () => false,
  destroyUpgrade: () => false,
}

function drawOptions(random, protocol) {
  const options = {}
  if (protocol === 3 ? random.chance(0.97) : random.chance(0.1)) options.allowEIO3 = true
  for (const [name, draw] of Object.entries(DRAWS)) {
    if (random.chance(0.1)) options[name] = draw(random)
  }
  return options
}

/**
 * Times for programs about timers: all end half-way between two beats of the clock, whatever they begin with. A client is excused whose pong
 * the engine may have missed because it was kept from its work for a quarter of `pingTimeout`, so that this is not short.
 */
const drawTimes = (random) =>
  random.pick([
    { pingInterval: 300, pingTimeout: 400 },
    { upgradeTimeout: 300 },
    { httpRequestBodyTimeout: 300 },
    { pingInterval: 300, pingTimeout: 600, upgradeTimeout: 500 },
  ])

module.exports = { drawOptions, drawTimes, TIMES }
