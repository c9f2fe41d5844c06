'use strict'

const assert = require('node:assert')
const { event, events } = require('../harness')

const RECOVERY = { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } }
const RECONNECT = { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 }

module.exports = [
  {
    name: 'a client whose transport drops is recovered with its id, rooms, data and missed messages',
    async run(bench) {
      const io = await bench.serve(RECOVERY)
      const { client, socket } = await bench.pair('/', RECONNECT)
      assert.equal(client.recovered, false)
      const { id } = client
      socket.join('room')
      socket.data.score = 7
      const first = event(client, 'news')
      io.to('room').emit('news', 'before')
      await first

      socket.on('disconnect', () => io.to('room').emit('news', 'missed'))
      const missed = event(client, 'news')
      const [again] = await Promise.all([event(io, 'connection'), event(client, 'connect'), drop(client)])
      assert.equal(client.recovered, true)
      assert.equal(client.id, id)
      assert.equal(again[0].recovered, true)
      assert.ok(again[0].rooms.has('room'))
      assert.equal(again[0].data.score, 7)
      assert.deepEqual((await missed)[0], 'missed')
    },
  },
  {
    name: 'also when the server drops the connection',
    async run(bench) {
      const io = await bench.serve(RECOVERY)
      const { client, socket } = await bench.pair('/', RECONNECT)
      const { id } = client
      const first = event(client, 'hello')
      io.emit('hello')
      await first
      const back = event(client, 'connect')
      socket.conn.close()
      await back
      assert.equal(client.recovered, true)
      assert.equal(client.id, id)
    },
  },
  {
    name: 'a client that has left on purpose is not recovered',
    async run(bench) {
      const io = await bench.serve(RECOVERY)
      const { client, socket } = await bench.pair('/', RECONNECT)
      const { id } = client
      io.emit('hello')
      await event(client, 'hello')
      const gone = event(socket, 'disconnect')
      client.disconnect()
      assert.equal((await gone)[0], 'client namespace disconnect')
      const back = event(client, 'connect')
      client.connect()
      await back
      assert.equal(client.recovered, false)
      assert.notEqual(client.id, id)
    },
  },
  {
    name: 'without recovery a client reconnects as a new one, ten times over',
    async run(bench) {
      const io = await bench.serve()
      const ids = new Set()
      const connections = events(io, 'connection', 11)
      const client = bench.open('/', RECONNECT)
      for (let n = 0; n <= 10; n++) {
        await event(client, 'connect')
        ids.add(client.id)
        if (n < 10) drop(client)
      }
      await connections
      assert.equal(ids.size, 11)
    },
  },
]

function drop(client) {
  client.io.engine.close()
}
