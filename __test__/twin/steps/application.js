'use strict'

const { drawCalls, runCalls, tellCalls } = require('../calls')

/** Calls on one session, in one turn. */
const application = {
  weight: (sketch) => (sketch.clients.length > 0 ? 14 : 0),
  draw: (random, sketch) => ({ on: random.pick(sketch.clients).name, calls: drawCalls(random) }),
  run(world, { on, calls }) {
    const session = world.sessionOf(on)
    if (session !== undefined) runCalls(calls, session, world)
  },
  tell: ({ on, calls }) => `the application, with ${on}'s socket: ${tellCalls(calls)}`,
}

module.exports = { application }
