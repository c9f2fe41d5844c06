'use strict'

const assert = require('node:assert')
const { event, events } = require('../harness')

module.exports = [
  {
    name: 'attachments arrive at their places, both ways',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      const value = () => ({ first: Buffer.from('bytes'), list: [1, Buffer.from([0, 255]), 'text'], none: null })
      const check = ({ first, list, none }) => {
        assert.equal(Buffer.from(first).toString(), 'bytes')
        assert.deepEqual([list[0], [...Buffer.from(list[1])], list[2], none], [1, [0, 255], 'text', null])
      }
      const down = event(client, 'down')
      socket.emit('down', value(), 'tail')
      const [received, tail] = await down
      check(received)
      assert.equal(tail, 'tail')
      const up = event(socket, 'up')
      client.emit('up', value())
      check((await up)[0])
    },
  },
  {
    name: 'typed arrays and empty buffers are bytes too',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      const sent = [
        Buffer.alloc(0),
        new Uint8Array([1, 2]),
        new Uint16Array([258]).buffer,
        new DataView(new ArrayBuffer(3)),
      ]
      const down = event(client, 'down')
      socket.emit('down', ...sent)
      assert.deepEqual(
        (await down).map((bytes) => [...Buffer.from(bytes)]),
        [[], [1, 2], [2, 1], [0, 0, 0]],
      )
      const up = event(socket, 'up')
      client.emit('up', ...sent)
      assert.deepEqual(
        (await up).map((bytes) => [...Buffer.from(bytes)]),
        [[], [1, 2], [2, 1], [0, 0, 0]],
      )
    },
  },
  {
    name: 'a sent buffer may be a slice of a larger one',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      const slice = Buffer.from('xxhelloxx').subarray(2, 7)
      const down = event(client, 'down')
      socket.emit('down', slice)
      assert.equal(Buffer.from((await down)[0]).toString(), 'hello')
    },
  },
  {
    name: 'half a megabyte passes, both ways',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      const bytes = Buffer.from(Uint8Array.from({ length: 512 * 1024 }, (_, n) => (n * 31) % 251))
      const down = event(client, 'down')
      socket.emit('down', bytes)
      assert.ok(bytes.equals(Buffer.from((await down)[0])))
      const up = event(socket, 'up')
      client.emit('up', bytes)
      assert.ok(bytes.equals((await up)[0]))
    },
  },
  {
    name: 'text and bytes keep their order',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      const seen = events(client, 'n', 50)
      for (let n = 0; n < 50; n++) socket.emit('n', n % 2 ? Buffer.from([n]) : n)
      assert.deepEqual(
        (await seen).map(([value]) => (typeof value === 'number' ? value : Buffer.from(value)[0])),
        Array.from({ length: 50 }, (_, n) => n),
      )
    },
  },
]
