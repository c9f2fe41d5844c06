'use strict'

const assert = require('node:assert')
const { event, slowly, until } = require('../harness')

module.exports = [
  {
    name: 'conn emits upgrade and the transport changes from polling to websocket',
    modes: ['upgrade'],
    async run(bench) {
      const io = await bench.serve()
      const accepted = event(io, 'connection')
      const client = bench.open()
      const [socket] = await accepted
      assert.equal(socket.conn.transport.name, 'polling')
      assert.equal(socket.conn.upgraded, false)
      const [transport] = await event(socket.conn, 'upgrade')
      assert.equal(transport.name, 'websocket')
      assert.equal(socket.conn.transport.name, 'websocket')
      assert.equal(socket.conn.upgraded, true)
      await bench.settle(client)
      assert.equal(client.io.engine.transport.name, 'websocket')
    },
  },
  {
    name: 'messages sent while it upgrades arrive once and in order, both ways',
    modes: ['upgrade'],
    async run(bench) {
      const io = await bench.serve()
      const up = []
      const down = []
      const accepted = event(io, 'connection')
      const client = bench.open()
      client.on('n', (n) => down.push(n))
      client.on('connect', () => stream(client))
      const [socket] = await accepted
      socket.on('n', (n) => up.push(n))
      const streaming = stream(socket)
      await bench.settle(client)
      await streaming
      await until(() => up.length >= 300 && down.length >= 300, 'all messages have arrived')
      const expected = Array.from({ length: 300 }, (_, n) => n)
      assert.deepEqual(up, expected)
      assert.deepEqual(down, expected)
      await until(() => socket.conn.transport.name === 'websocket', 'the server has upgraded')
    },
  },
  {
    name: 'polling stays when the server allows no upgrade',
    modes: ['upgrade'],
    async run(bench) {
      const io = await bench.serve({ allowUpgrades: false })
      const accepted = event(io, 'connection')
      const client = bench.open()
      const [socket] = await accepted
      socket.on('ask', (answer) => answer('polling'))
      assert.equal(await client.timeout(slowly(2000)).emitWithAck('ask'), 'polling')
      assert.equal(client.io.engine.transport.name, 'polling')
      assert.equal(socket.conn.transport.name, 'polling')
    },
  },
  {
    name: 'many clients upgrade at once',
    modes: ['upgrade'],
    async run(bench) {
      const io = await bench.serve()
      io.on('connection', (socket) => socket.on('ask', (n, answer) => answer(n)))
      const clients = await Promise.all(Array.from({ length: 30 }, () => bench.client()))
      const answers = await Promise.all(clients.map((client, n) => client.timeout(slowly(3000)).emitWithAck('ask', n)))
      assert.deepEqual(
        answers,
        Array.from({ length: 30 }, (_, n) => n),
      )
      assert.equal(io.engine.clientsCount, 30)
    },
  },
]

/** Sends 0 to 299, a few per turn, so that the upgrade falls in between. */
async function stream(emitter) {
  for (let n = 0; n < 300; n++) {
    emitter.emit('n', n)
    if (n % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
