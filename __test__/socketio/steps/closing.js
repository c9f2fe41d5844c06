'use strict'

const assert = require('node:assert')
const { event, until } = require('../harness')

module.exports = [
  {
    name: 'io.close disconnects everybody, closes the http server and frees the port',
    async run(bench) {
      const io = await bench.serve()
      const one = await bench.pair()
      const two = await bench.pair()
      // Only a client whose poll is pending hears of it at once.
      await until(() => [one, two].every(({ socket }) => socket.conn.transport.writable), 'both are writable')
      const gone = [
        event(one.socket, 'disconnect'),
        event(two.socket, 'disconnect'),
        event(one.client, 'disconnect'),
        event(two.client, 'disconnect'),
        event(bench.httpServer, 'close'),
      ]
      await io.close()
      const [[first], [second], [third], [fourth]] = await Promise.all(gone)
      assert.deepEqual(
        [first, second, third, fourth],
        ['server shutting down', 'server shutting down', 'transport close', 'transport close'],
      )
      assert.equal(io.engine.clientsCount, 0)
      assert.equal(bench.httpServer.listening, false)
      const refused = bench.open()
      await event(refused, 'connect_error')
    },
  },
  {
    name: 'a second server takes over the port and the client comes back',
    async run(bench) {
      const io = await bench.serve()
      const { client } = await bench.pair('/', { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 40 })
      const { port } = bench
      await io.close()
      const next = await bench.serveOn(port)
      const [socket] = await event(next, 'connection')
      if (!client.connected) await event(client, 'connect')
      assert.equal(socket.id, client.id)
    },
  },
]
