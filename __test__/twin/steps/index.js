'use strict'

// Every kind of step: `weight(sketch)` and `draw(random, sketch)` make one, `run(world, step)` does it, `tell(step)` says
// it in words.

const requests = require('./requests')
const websocket = require('./websocket')
const { application } = require('./application')
const { openPolling, poll, beginPost } = requests
const { openWebSocket, openUpgrade, frames } = websocket

/** What programs are made of, by their kind. */
const sets = {
  raw: { ...requests, ...websocket, application },
  real: { ...require('./real'), application },
  timed: { openPolling, poll, beginPost, openWebSocket, openUpgrade, frames, application, ...require('./time') },
  webtransport: require('./webtransport'),
}

const drawn = Object.assign({}, ...Object.values(sets))

/** The kinds of steps of these sets. */
const kindsOf = (names) => names.flatMap((name) => Object.keys(sets[name]))

module.exports = { drawn, kindsOf }
