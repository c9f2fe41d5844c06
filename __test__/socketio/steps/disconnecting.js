'use strict'

const assert = require('node:assert')
const { event, slowly, until } = require('../harness')

module.exports = [
  {
    name: 'the client leaves the namespace',
    run: (bench) =>
      reasons(bench, { server: 'client namespace disconnect', client: 'io client disconnect' }, ({ client }) =>
        client.disconnect(),
      ),
  },
  {
    name: 'the server puts the client out of the namespace',
    run: (bench) =>
      reasons(bench, { server: 'server namespace disconnect', client: 'io server disconnect' }, ({ socket }) =>
        socket.disconnect(),
      ),
  },
  {
    name: 'the server puts the client out and closes the connection',
    run: (bench) =>
      reasons(bench, { server: 'server namespace disconnect', client: 'io server disconnect' }, ({ socket }) =>
        socket.disconnect(true),
      ),
  },
  {
    name: 'the client closes the engine',
    run: (bench) =>
      reasons(bench, { server: 'transport close', client: 'forced close' }, ({ client }) => client.io.engine.close()),
  },
  {
    name: 'the server closes the engine',
    run: (bench) =>
      reasons(bench, { server: 'forced close', client: 'transport close' }, ({ socket }) => socket.conn.close()),
  },
  {
    name: 'the connection breaks',
    modes: ['websocket', 'upgrade'],
    run: (bench) =>
      reasons(bench, { server: 'transport close', client: 'transport close' }, ({ client }) =>
        client.io.engine.transport.ws.terminate(),
      ),
  },
  {
    name: 'the client stops answering pings',
    run: (bench) =>
      reasons(
        bench,
        { server: 'ping timeout', client: 'transport close' },
        ({ client }) => {
          client.io.engine._sendPacket = () => {}
        },
        { pingInterval: slowly(200), pingTimeout: slowly(500) },
      ),
  },
  {
    name: 'the network falls silent: each side times out by itself',
    async run(bench) {
      await bench.serve({ pingInterval: slowly(300), pingTimeout: slowly(500) })
      const proxy = await bench.freezableProxy()
      const { client, socket } = await bench.pair('/', { port: proxy.port })
      const gone = [event(socket, 'disconnect'), event(client, 'disconnect')]
      proxy.freeze()
      const [[server], [other]] = await Promise.all(gone)
      assert.deepEqual([server, other], ['ping timeout', 'ping timeout'])
    },
  },
  {
    name: 'the client sends what no Socket.IO parser understands',
    run: (bench) =>
      reasons(bench, { server: 'forced close', client: 'transport close' }, ({ client }) =>
        client.io.engine.write('not a packet'),
      ),
  },
  {
    name: 'the client sends more than maxHttpBufferSize',
    async run(bench) {
      await bench.serve({ maxHttpBufferSize: 10_000 })
      const { client, socket } = await bench.pair()
      const gone = [event(socket, 'disconnect'), event(client, 'disconnect')]
      client.emit('big', 'x'.repeat(20_000))
      const [[server], [other]] = await Promise.all(gone)
      assert.equal(server, 'transport error')
      // A frame ends the connection with close code 1009. A POST is refused with 413 and the pending poll answered with a close
      // packet: the client goes by what it reads first.
      const expected = { polling: ['transport close', 'transport error'], websocket: ['transport close'] }
      assert.ok(expected[bench.settled].includes(other), other)
    },
  },
  {
    name: 'disconnecting comes first, with the rooms still there',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      socket.join('room')
      const order = []
      socket.on('disconnecting', (reason) => order.push(['disconnecting', reason, socket.rooms.has('room')]))
      socket.on('disconnect', (reason) => order.push(['disconnect', reason, socket.rooms.has('room')]))
      const gone = event(socket, 'disconnect')
      client.io.engine.close()
      await gone
      assert.deepEqual(order, [
        ['disconnecting', 'transport close', true],
        ['disconnect', 'transport close', false],
      ])
    },
  },
]

/** Connects, does what ends the connection, and compares the reasons both sides are told. */
async function reasons(bench, expected, act, options) {
  const io = await bench.serve(options)
  const pair = await bench.pair()
  const gone = [event(pair.socket, 'disconnect'), event(pair.client, 'disconnect')]
  act(pair)
  const [[server], [client]] = await Promise.all(gone)
  assert.deepEqual({ server, client }, expected)
  assert.equal(pair.socket.connected, false)
  if (pair.client.io.engine.readyState !== 'open') {
    await until(() => io.engine.clientsCount === 0, 'the engine has forgotten the session')
  }
}
