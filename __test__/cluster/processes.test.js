'use strict'

// Node's cluster, whose workers share a port and need no code in the primary.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const eio = require('engine.io-client')
const { defer, delay, eventually, once } = require('../support')
const { clusterDirectory, echoes, startMember } = require('./support')

for (const policy of ['round robin', 'none']) {
  test(`Node's cluster, scheduling policy ${policy}: clients of all transports, and a worker is killed`, async () => {
    const directory = clusterDirectory()
    const settings = { policy, workers: 3, options: { cluster: { directory } } }
    const primary = await startMember(settings, 'primary.js')
    const url = `http://127.0.0.1:${primary.port}`
    const clients = []
    for (let i = 0; i < 9; i++) {
      const transports = [['polling'], ['polling', 'websocket'], ['websocket']][i % 3]
      const client = new eio.Socket(url, { transports })
      defer(() => client.close())
      clients.push(client)
    }
    await Promise.all(clients.map((client) => once(client, 'open')))
    for (const { received, expected } of await Promise.all(clients.map((client) => echoes(client, 15)))) {
      assert.deepEqual(received, expected)
    }
    assert.equal((await primary.told('connection')).length, 9)
    assert.deepEqual(primary.seen('connection_error'), [])

    await eventually(() => clients.filter(({ transport }) => transport.name === 'websocket').length, 6, 20_000)
    // a connection that the primary is handing to a worker which is killed then is lost, and its client does not hear of it
    while ((await primary.ask('settled')) < clients.length) await delay(5)
    const [{ pid }] = primary.seen('connection')
    const lost = primary.seen('connection').filter((entry) => entry.pid === pid)
    primary.child.send({ pid })
    await once(primary, 'exit')
    const ids = new Set(lost.map(({ sid }) => sid))
    const gone = clients.filter(({ id }) => ids.has(id))
    await eventually(() => gone.every(({ readyState }) => readyState === 'closed'), true)
    const again = new eio.Socket(url)
    defer(() => again.close())
    await once(again, 'open')
    const { received, expected } = await echoes(again, 10)
    assert.deepEqual(received, expected)
  })
}
