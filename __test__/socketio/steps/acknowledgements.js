'use strict'

const assert = require('node:assert')
const { slowly } = require('../harness')

module.exports = [
  {
    name: 'the server answers the client',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      socket.on('add', (a, b, answer) => answer(a + b))
      assert.equal(await client.timeout(slowly(2000)).emitWithAck('add', 2, 3), 5)
    },
  },
  {
    name: 'the client answers the server, also with bytes',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      client.on('mirror', (bytes, answer) => answer(Buffer.from(bytes).reverse()))
      const answer = await socket.timeout(slowly(2000)).emitWithAck('mirror', Buffer.from([1, 2, 3]))
      assert.deepEqual([...answer], [3, 2, 1])
    },
  },
  {
    name: 'an answer that does not come is an error after the timeout, on both sides',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      socket.on('silence', () => {})
      client.on('silence', () => {})
      await assert.rejects(client.timeout(30).emitWithAck('silence'), /operation has timed out/)
      await assert.rejects(socket.timeout(30).emitWithAck('silence'), /operation has timed out/)
    },
  },
  {
    name: 'a broadcast collects the answers of all',
    async run(bench) {
      const io = await bench.serve()
      const clients = await Promise.all(Array.from({ length: 5 }, () => bench.client()))
      clients.forEach((client, n) => client.on('who', (answer) => answer(n)))
      const answers = await io.timeout(slowly(3000)).emitWithAck('who')
      assert.deepEqual(answers.sort(), [0, 1, 2, 3, 4])
    },
  },
  {
    name: 'a broadcast reports who did not answer in time',
    async run(bench) {
      const io = await bench.serve()
      const [quick, slow] = await Promise.all([bench.client(), bench.client()])
      quick.on('who', (answer) => answer('quick'))
      slow.on('who', () => {})
      const { error, answers } = await new Promise((resolve) => {
        io.timeout(slowly(1000)).emit('who', (error, answers) => resolve({ error, answers }))
      })
      assert.ok(error)
      assert.deepEqual(answers, ['quick'])
    },
  },
  {
    name: 'retries deliver once',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair('/', { retries: 3, ackTimeout: slowly(1000) })
      const seen = []
      socket.on('order', (n, answer) => {
        seen.push(n)
        answer()
      })
      await Promise.all([client.emitWithAck('order', 1), client.emitWithAck('order', 2)])
      assert.deepEqual(seen, [1, 2])
    },
  },
]
