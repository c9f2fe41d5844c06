'use strict'

// How a server is made, and how clients reach it: `open({ Engine, options, prepare, entered })` gives `{ engine, port, close() }`;
// `prepare(engine)` is called before the first client can come, `entered()` where the mode calls what may throw. `protocols`: those it speaks; `steps`: kinds of steps it has
// beside the usual ones; `adapt(program, random)` takes from a program what it cannot do.

const modes = [
  require('./attach'),
  require('./handle'),
  require('./https'),
  require('./ws-engine'),
  require('./listen'),
  require('./webtransport'),
  require('./userver'),
  require('./native'),
  require('./socketio'),
].filter(({ available = true }) => available)

module.exports = Object.fromEntries(modes.map((mode) => [mode.name, mode]))
