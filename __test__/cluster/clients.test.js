'use strict'

// Real clients behind a balancer that sends each of their connections to the next process.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const eio = require('engine.io-client')
const eio3 = require('engine.io-client-v3')
const { defer, eventually, once } = require('../support')
const { acknowledges, allTold, echoes, startCluster } = require('./support')

const WAYS = [['polling'], ['polling', 'websocket'], ['websocket']]

for (const [name, connect, protocol] of [
  ['engine.io-client 6', (url, transports) => new eio.Socket(url, { transports }), 4],
  ['engine.io-client 3', (url, transports) => eio3(url, { transports }), 3],
]) {
  for (const transports of WAYS) {
    test(`${name} over ${transports.join(', ')}: every message comes once and in order`, async () => {
      const { members, port } = await startCluster(3, { options: { allowEIO3: true, pingInterval: 500 } })
      const clients = []
      for (let i = 0; i < 6; i++) {
        const client = connect(`http://127.0.0.1:${port}`, transports)
        client.on('error', () => {})
        defer(() => client.close())
        clients.push(client)
      }
      await Promise.all(clients.map((client) => once(client, 'open')))
      for (const { received, expected } of await Promise.all(clients.map((client) => echoes(client, 30)))) {
        assert.deepEqual(received, expected)
      }
      if (transports.length > 1)
        await eventually(() => clients.every(({ transport }) => transport.name === 'websocket'), true, 20_000)
      const opened = await allTold(members, 'connection')
      assert.equal(opened.length, 6)
      assert.deepEqual(new Set(opened.map(({ sid }) => sid)), new Set(clients.map(({ id }) => id)))
      assert.deepEqual(
        members.flatMap((member) => [...member.seen('close'), ...member.seen('connection_error')]),
        [],
        `protocol ${protocol}: no session ends, no request is refused`,
      )
      if (transports[0] === 'websocket') return
      const passed = await Promise.all(members.map((member) => member.ask('metrics')))
      assert.ok(passed.some(({ forwarded, moved }) => forwarded + moved > 0))
    })
  }
}

for (const transports of WAYS) {
  test(`socket.io-client 4 over ${transports.join(', ')}: acknowledgements and binary data`, async () => {
    const { members, port } = await startCluster(3, {}, 'member-socketio.js')
    await acknowledges(members, port, transports)
  })
}
