'use strict'

const attach = require('./attach')

/** WebTransport sessions, made of web streams, beside `attach()`. */
module.exports = {
  name: 'webtransport',
  protocols: [4],
  steps: ['webtransport'],
  open: (how) =>
    attach.open({ ...how, options: { ...how.options, transports: ['polling', 'websocket', 'webtransport'] } }),
  adapt(program, random) {
    delete program.options.transports
    // middlewares close WebTransport sessions
    if (random.chance(0.9)) {
      program.hooks = program.hooks.filter(({ hook }) => hook !== 'middleware')
      delete program.options.cors
    }
  },
}
