'use strict'

// Real clients of machines that are connected by a bus, behind a balancer that sends each of their connections to the
// next machine, over buses that are slow, repeat and reorder messages.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { eventually } = require('../support')
const { Hub, startMachines } = require('./bus-support')
const { acknowledges, allTold, openEchoing } = require('./support')

const WAYS = [['polling'], ['polling', 'websocket'], ['websocket']]

/** What may become of messages, none of which is lost for good. */
const FATES = {
  'that delivers at once': () => [0],
  'with delays, repetition and reordering': () =>
    Math.random() < 0.3 ? [delay(), delay(), 5 * delay()] : [Math.random() < 0.5 ? 0 : delay()],
  'that loses one message of ten': () => (Math.random() < 0.1 ? [] : [0]),
}

function delay() {
  return 1 + Math.floor(Math.random() * 30)
}

for (const [name, fate] of Object.entries(FATES)) {
  for (const transports of WAYS) {
    test(`engine.io-client over ${transports.join(', ')}, a bus ${name}: each message comes once and in order`, async () => {
      const hub = new Hub()
      const { members, port } = await startMachines(2, { hub, options: { pingInterval: 500 } })
      hub.fate = fate
      const clients = await openEchoing(port, Array(4).fill(transports))
      if (transports.length > 1)
        await eventually(() => clients.every(({ transport }) => transport.name === 'websocket'), true, 20_000)
      const opened = await allTold(members, 'connection')
      assert.deepEqual(opened.map(({ sid }) => sid).sort(), clients.map(({ id }) => id).sort())
      const ended = members.flatMap((member) => [...member.seen('close'), ...member.seen('connection_error')])
      assert.deepEqual(ended, [], 'no session ends, no request is refused')
      const numbers = await Promise.all(members.map((member) => member.ask('metrics')))
      if (transports[0] === 'polling') assert.ok(numbers.some(({ bus }) => bus.asked > 0))
      assert.ok(numbers.every(({ bus }) => bus.violations === 0 && bus.refused === 0 && bus.unavailable === 0))
    })
  }
}

for (const transports of WAYS) {
  test(`socket.io-client over ${transports.join(', ')}: acknowledgements and binary data`, async () => {
    const { members, port } = await startMachines(2, {}, 'member-socketio.js')
    await acknowledges(members, port, transports)
  })
}
