'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { nats } = require('../../lib/cluster-engine')
const { eventually } = require('../support')
const { find, freePort, startServer, testClient } = require('./bus-servers')
const { startMachines } = require('./bus-support')

testClient('nats')

test('nats: a connection that has given up: a warning says what to give', { skip: find('nats').skip }, async () => {
  const port = await freePort()
  const { stop } = await startServer('nats', port)
  const { members } = await startMachines(2, { bus: { name: 'nats', port, maxReconnectAttempts: 1 } })
  await stop()
  const message =
    "cluster.bus does not take messages, so that requests of other machines' sessions get 503: " +
    'the connection to NATS is closed for good: give connect() the option maxReconnectAttempts: -1'
  for (const member of members) {
    const warnings = () => member.seen('warning').map((warning) => [warning.code, warning.message])
    await eventually(warnings, [['ENGINE_CLUSTER_BUS', message]], 10_000)
  }
})

for (const [what, isRefused] of [
  ['a channel that the server refuses', true],
  ['a connection that breaks', false],
]) {
  test(`nats: ${what}: to subscribe fails, and no subscription stays`, async () => {
    const open = new Set()
    const error = new Error('of NATS')
    const connection = {
      publish() {},
      flush: () => (isRefused ? Promise.resolve() : Promise.reject(error)),
      subscribe(channel, { callback }) {
        const subscription = { unsubscribe: () => open.delete(subscription) }
        open.add(subscription)
        if (isRefused) callback(error)
        return subscription
      },
    }
    await assert.rejects(
      nats(connection).subscribe('channel', () => {}),
      error,
    )
    assert.equal(open.size, 0)
  })
}
