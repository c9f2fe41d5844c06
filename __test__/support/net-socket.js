'use strict'

const { openUpgraded } = require('./peers')

/** What a `net.Socket` tells of its end. */
const EVENTS = ['end', 'finish', 'error', 'close']

/** Ways in which a connection gets to its session. */
const WAYS = {
  "a websocket's socket": {},
  "a websocket's socket that is watched": {
    prepare: (server) => server.on('connection', (stream) => stream.on('data', () => {})),
  },
  'the socket of a session that was upgraded': { open: openUpgraded },
}

module.exports = { EVENTS, WAYS }
