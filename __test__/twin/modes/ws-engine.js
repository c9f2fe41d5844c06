'use strict'

const attach = require('./attach')

/** The WebSocket server of `ws`, given as an option. */
module.exports = {
  name: 'wsEngine',
  open: (how) => attach.open({ ...how, options: { ...how.options, wsEngine: require('ws').Server } }),
}
