'use strict'

const assert = require('node:assert')
const http = require('node:http')
const { event, slowly, until } = require('../harness')

module.exports = [
  {
    name: 'client and server agree on the id and on the transport',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      assert.equal(socket.id, client.id)
      assert.equal(socket.conn.id, client.io.engine.id)
      assert.match(socket.conn.id, /^[A-Za-z0-9_-]{20}$/)
      assert.equal(socket.conn.transport.name, bench.settled)
      assert.equal(client.io.engine.transport.name, bench.settled)
      assert.equal(socket.conn.protocol, 4)
      assert.equal(socket.conn.readyState, 'open')
    },
  },
  {
    name: 'the handshake carries auth, query, headers and address',
    async run(bench) {
      await bench.serve()
      const { socket } = await bench.pair('/', {
        auth: { token: 'abc' },
        query: { room: 'blue é' },
        extraHeaders: { 'x-custom': 'yes' },
      })
      const { auth, query, headers, address } = socket.handshake
      assert.deepEqual(auth, { token: 'abc' })
      assert.equal(query.room, 'blue é')
      assert.equal(query.EIO, '4')
      assert.equal(headers['x-custom'], 'yes')
      assert.equal(address, '127.0.0.1')
      assert.equal(socket.request.headers['x-custom'], 'yes')
    },
  },
  {
    name: 'text of every kind arrives unchanged, both ways',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      socket.on('echo', (...args) => socket.emit('echo', ...args))
      const values = [
        '',
        'plain',
        'emoji 🦀🚀 中文',
        'quote " \\ \n \u0000 \u2028',
        { a: [1, null, true] },
        'x'.repeat(70_000),
      ]
      const answer = event(client, 'echo')
      client.emit('echo', ...values)
      assert.deepEqual(await answer, values)
    },
  },
  {
    name: 'a thousand messages arrive once and in order, both ways',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      const seen = []
      const back = []
      socket.on('n', (n) => {
        seen.push(n)
        socket.emit('n', n)
      })
      client.on('n', (n) => back.push(n))
      const expected = Array.from({ length: 1000 }, (_, n) => n)
      for (const n of expected) client.emit('n', n)
      await until(() => back.length >= 1000, 'a thousand echoes are back')
      assert.deepEqual(seen, expected)
      assert.deepEqual(back, expected)
    },
  },
  {
    name: 'io.engine counts the clients that are there',
    async run(bench) {
      const io = await bench.serve()
      assert.equal(io.engine.clientsCount, 0)
      const clients = await Promise.all([bench.client(), bench.client(), bench.client()])
      assert.equal(io.engine.clientsCount, 3)
      assert.equal(Object.keys(io.engine.clients).length, 3)
      assert.equal(io.of('/').sockets.size, 3)
      for (const client of clients) client.disconnect()
      await until(() => io.engine.clientsCount === 0, 'the count is back to 0')
      assert.deepEqual(Object.keys(io.engine.clients), [])
    },
  },
  {
    name: "the application's own routes and the client bundle are served beside it",
    async run(bench) {
      await bench.serve()
      await bench.client()
      assert.equal((await get(bench.port, '/hello')).body, 'the application')
      const bundle = await get(bench.port, '/socket.io/socket.io.min.js')
      assert.equal(bundle.status, 200)
      assert.match(bundle.body, /Socket\.IO v4/)
    },
  },
  {
    name: 'large messages pass compressed',
    async run(bench) {
      await bench.serve({ perMessageDeflate: { threshold: 1024 }, httpCompression: { threshold: 1024 } })
      const { client, socket } = await bench.pair()
      const text = 'compress me, please. '.repeat(5000)
      const down = event(client, 'down')
      socket.compress(true).emit('down', text)
      assert.deepEqual(await down, [text])
      const up = event(socket, 'up')
      client.compress(true).emit('up', text)
      assert.deepEqual(await up, [text])
    },
  },
  {
    name: 'sessions outlive several heartbeats',
    async run(bench) {
      await bench.serve({ pingInterval: 40, pingTimeout: slowly(1000) })
      const { client, socket } = await bench.pair()
      let beats = 0
      socket.conn.on('heartbeat', () => beats++)
      await until(() => beats >= 3, 'three heartbeats have passed')
      assert.equal(client.connected, true)
      assert.equal(socket.connected, true)
    },
  },
]

function get(port, path) {
  return new Promise((resolve, reject) => {
    http
      .get({ port, path, host: '127.0.0.1', agent: false }, async (res) => {
        let body = ''
        for await (const chunk of res.setEncoding('utf8')) body += chunk
        resolve({ status: res.statusCode, body })
      })
      .on('error', reject)
  })
}
