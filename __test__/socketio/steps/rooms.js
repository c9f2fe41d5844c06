'use strict'

const assert = require('node:assert')
const { event, until } = require('../harness')

module.exports = [
  {
    name: 'only members of a room hear it',
    async run(bench) {
      const io = await bench.serve()
      const red = await bench.pair()
      const blue = await bench.pair()
      red.socket.join('red')
      blue.socket.join(['blue', 'both'])
      red.socket.join('both')

      const heard = record({ red: red.client, blue: blue.client }, 'msg')
      io.to('red').emit('msg', 1)
      io.to('blue').emit('msg', 2)
      io.to('both').emit('msg', 3)
      io.to('red').to('both').emit('msg', 4)
      io.except('red').emit('msg', 5)
      io.emit('msg', 'end')
      await until(() => heard.red.at(-1) === 'end' && heard.blue.at(-1) === 'end', 'both have heard the end')
      assert.deepEqual(heard, { red: [1, 3, 4, 'end'], blue: [2, 3, 4, 5, 'end'] })
    },
  },
  {
    name: 'a socket that speaks to its room does not hear itself',
    async run(bench) {
      await bench.serve()
      const one = await bench.pair()
      const two = await bench.pair()
      one.socket.join('room')
      two.socket.join('room')
      const heard = record({ one: one.client, two: two.client }, 'msg')
      one.socket.to('room').emit('msg', 'from one')
      one.socket.broadcast.emit('msg', 'to the others')
      one.socket.emit('msg', 'end')
      two.socket.emit('msg', 'end')
      await until(() => heard.one.at(-1) === 'end' && heard.two.at(-1) === 'end', 'both have heard the end')
      assert.deepEqual(heard, { one: ['end'], two: ['from one', 'to the others', 'end'] })
    },
  },
  {
    name: 'leaving and disconnecting empty a room',
    async run(bench) {
      const io = await bench.serve()
      const one = await bench.pair()
      const two = await bench.pair()
      io.socketsJoin('room')
      assert.equal((await io.in('room').fetchSockets()).length, 2)
      one.socket.leave('room')
      const { rooms } = io.of('/').adapter
      assert.deepEqual([...rooms.get('room')], [two.socket.id])
      const gone = event(two.socket, 'disconnect')
      two.client.disconnect()
      await gone
      await until(() => !rooms.has('room'), 'the room is gone')
    },
  },
  {
    name: 'the server disconnects a whole room',
    async run(bench) {
      const io = await bench.serve()
      const one = await bench.pair()
      const two = await bench.pair()
      one.socket.join('out')
      const gone = event(one.client, 'disconnect')
      io.in('out').disconnectSockets()
      assert.equal((await gone)[0], 'io server disconnect')
      assert.equal(two.client.connected, true)
    },
  },
]

function record(clients, name) {
  const heard = {}
  for (const [who, client] of Object.entries(clients)) {
    heard[who] = []
    client.on(name, (value) => heard[who].push(value))
  }
  return heard
}
