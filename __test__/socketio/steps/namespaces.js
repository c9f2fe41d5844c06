'use strict'

const assert = require('node:assert')
const { event, slowly } = require('../harness')

module.exports = [
  {
    name: 'several namespaces share one connection and stay apart',
    async run(bench) {
      const io = await bench.serve()
      const chat = io.of('/chat')
      const admin = io.of('/admin')
      const first = await bench.client('/chat')
      const second = first.io.socket('/admin')
      await event(second, 'connect')
      assert.equal(io.engine.clientsCount, 1)
      assert.notEqual(first.id, second.id)

      let strays = 0
      second.on('news', () => strays++)
      const news = event(first, 'news')
      chat.emit('news', 'for chat')
      assert.deepEqual(await news, ['for chat'])
      const order = event(second, 'order')
      admin.emit('order', 1)
      await order
      assert.equal(strays, 0)
    },
  },
  {
    name: 'a dynamic namespace is made for the first client',
    async run(bench) {
      const io = await bench.serve()
      const parent = io.of(/^\/room-\d+$/)
      const accepted = event(parent, 'connection')
      await bench.client('/room-42')
      const [socket] = await accepted
      assert.equal(socket.nsp.name, '/room-42')
    },
  },
  {
    name: 'an unknown namespace is refused',
    async run(bench) {
      await bench.serve()
      const client = bench.open('/nowhere')
      const [error] = await event(client, 'connect_error')
      assert.equal(error.message, 'Invalid namespace')
    },
  },
  {
    name: 'leaving one namespace keeps the other',
    async run(bench) {
      const io = await bench.serve()
      io.of('/a').on('connection', (socket) => socket.on('ask', (answer) => answer('still here')))
      io.of('/b')
      const a = await bench.client('/a')
      const b = a.io.socket('/b')
      const [socket] = await event(io.of('/b'), 'connection')
      if (!b.connected) await event(b, 'connect')
      const gone = event(socket, 'disconnect')
      b.disconnect()
      assert.equal((await gone)[0], 'client namespace disconnect')
      assert.equal(await a.timeout(slowly(2000)).emitWithAck('ask'), 'still here')
    },
  },
]
