'use strict'

const assert = require('node:assert')
const { event, events } = require('../harness')

const CROWD = 25

module.exports = [
  {
    name: `a broadcast reaches ${CROWD} clients, each once and in order`,
    async run(bench) {
      const io = await bench.serve()
      const clients = await crowd(bench)
      const all = clients.map((client) => events(client, 'tick', 20))
      for (let n = 0; n < 20; n++) io.emit('tick', n, 'für alle 🎉')
      for (const ticks of await Promise.all(all)) {
        assert.deepEqual(
          ticks,
          Array.from({ length: 20 }, (_, n) => [n, 'für alle 🎉']),
        )
      }
    },
  },
  {
    name: 'the recipients of a broadcast share one encoded frame',
    async run(bench) {
      const io = await bench.serve()
      await crowd(bench)
      const options = new Set()
      const frames = new Set()
      for (const conn of Object.values(io.engine.clients)) {
        conn.on('packetCreate', (packet) => {
          if (packet.type !== 'message') return
          options.add(packet.options)
          frames.add(packet.options.wsPreEncodedFrame)
        })
      }
      io.emit('shared', 'one frame')
      assert.equal(frames.size, 1)
      assert.equal(options.size, 1)
      assert.ok([...frames][0], 'wsPreEncodedFrame is there')
    },
  },
  {
    name: 'a broadcast may be larger than a short frame, or compressed',
    async run(bench) {
      const io = await bench.serve({ perMessageDeflate: true })
      const clients = await crowd(bench, 5)
      const sizes = [100, 125, 126, 65_535, 65_536, 200_000]
      const all = clients.map((client) => events(client, 'big', sizes.length))
      for (const size of sizes) io.emit('big', 'x'.repeat(size))
      for (const seen of await Promise.all(all))
        assert.deepEqual(
          seen.map(([text]) => text.length),
          sizes,
        )
    },
  },
  {
    name: 'binary attachments are broadcast',
    async run(bench) {
      const io = await bench.serve()
      const clients = await crowd(bench, 5)
      const all = clients.map((client) => event(client, 'bytes'))
      io.emit('bytes', { a: Buffer.from([0, 1, 255]), b: [Buffer.alloc(70_000, 7)] }, 'and text')
      for (const [value, text] of await Promise.all(all)) {
        assert.deepEqual([...value.a], [0, 1, 255])
        assert.deepEqual(Buffer.from(value.b[0]), Buffer.alloc(70_000, 7))
        assert.equal(text, 'and text')
      }
    },
  },
  {
    name: 'broadcast and direct messages keep their order',
    async run(bench) {
      const io = await bench.serve()
      const { client, socket } = await bench.pair()
      const seen = events(client, 'n', 60)
      for (let n = 0; n < 60; n += 2) {
        io.emit('n', n)
        socket.emit('n', n + 1)
      }
      assert.deepEqual(
        (await seen).map(([n]) => n),
        Array.from({ length: 60 }, (_, n) => n),
      )
    },
  },
]

function crowd(bench, size = CROWD) {
  return Promise.all(Array.from({ length: size }, () => bench.client()))
}
