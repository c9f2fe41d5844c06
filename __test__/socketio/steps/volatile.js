'use strict'

const assert = require('node:assert')
const { event, events, until } = require('../harness')

module.exports = [
  {
    name: 'a volatile message is delivered while the transport is writable',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      await writable(socket)
      const seen = event(client, 'pos')
      socket.volatile.emit('pos', 1)
      assert.deepEqual(await seen, [1])
    },
  },
  {
    name: 'the second volatile message of a tick is dropped',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      await writable(socket)
      const seen = []
      client.on('pos', (n) => seen.push(n))
      const end = event(client, 'end')
      socket.volatile.emit('pos', 1)
      assert.equal(socket.conn.transport.writable, false)
      socket.volatile.emit('pos', 2)
      socket.emit('end')
      await end
      assert.deepEqual(seen, [1])
    },
  },
  {
    name: 'a volatile message behind a message of the same tick is dropped',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      await writable(socket)
      const seen = []
      client.onAny((name) => seen.push(name))
      const end = event(client, 'end')
      socket.emit('sure')
      socket.volatile.emit('maybe')
      socket.emit('end')
      await end
      assert.deepEqual(seen, ['sure', 'end'])
    },
  },
  {
    name: 'the transport is writable again after each message',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      const seen = events(client, 'pos', 10)
      for (let n = 0; n < 10; n++) {
        await writable(socket)
        socket.volatile.emit('pos', n)
      }
      assert.deepEqual(
        (await seen).map(([n]) => n),
        Array.from({ length: 10 }, (_, n) => n),
      )
    },
  },
  {
    name: 'a volatile broadcast skips whoever is not writable',
    async run(bench) {
      const io = await bench.serve()
      const busy = await bench.pair()
      const free = await bench.pair()
      await writable(busy.socket)
      await writable(free.socket)
      const seen = []
      busy.client.on('pos', () => seen.push('busy'))
      free.client.on('pos', () => seen.push('free'))
      const ends = [event(busy.client, 'end'), event(free.client, 'end')]
      busy.socket.emit('keep busy')
      io.volatile.emit('pos')
      io.emit('end')
      await Promise.all(ends)
      assert.deepEqual(seen, ['free'])
    },
  },
]

function writable({ conn }) {
  return until(() => conn.transport.writable, 'the transport is writable')
}
