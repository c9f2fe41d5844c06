'use strict'

// Programs in which timers fire: the heartbeat, and the time for an upgrade.

const { framesOf } = require('../client')

/** Until the timers that are due have fired. */
const wait = {
  weight: () => 3,
  draw: () => ({ ms: 800 }),
  run: (world, { ms }) => new Promise((resolve) => setTimeout(resolve, ms)),
  tell: ({ ms }) => `${ms} ms pass`,
}

/** A client's heartbeat. */
const heartbeat = {
  weight: (sketch) => (sketch.some('websocket', 'probing') ? 3 : 0),
  draw: (random, sketch) => ({ on: sketch.pick(random, 'websocket', 'probing').name }),
  async run(world, { on }) {
    const { ws, protocol } = world.clients.get(on) ?? {}
    if (!ws?.upgraded) return
    // protocol 4: the answer to the server's ping
    if (protocol === 4) {
      await world.within(ws.next('2'), 4)
      await world.clock.beat()
    }
    ws.write(framesOf([{ text: protocol === 4 ? '3' : '2' }]))
  },
  tell: ({ on }) => `${on} sends its part of the heartbeat`,
}

module.exports = { wait, heartbeat }
