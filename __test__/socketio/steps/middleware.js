'use strict'

const assert = require('node:assert')
const { event } = require('../harness')

module.exports = [
  {
    name: 'io.use lets a client in, in order',
    async run(bench) {
      const io = await bench.serve()
      const calls = []
      io.use((socket, next) => {
        calls.push('first')
        socket.data.user = socket.handshake.auth.user
        setImmediate(next)
      })
      io.use((socket, next) => {
        calls.push('second')
        next()
      })
      const { socket } = await bench.pair('/', { auth: { user: 'ada' } })
      assert.deepEqual(calls, ['first', 'second'])
      assert.equal(socket.data.user, 'ada')
    },
  },
  {
    name: 'io.use refuses a client with a message and data',
    async run(bench) {
      const io = await bench.serve()
      io.use((socket, next) => next(Object.assign(new Error('not you'), { data: { code: 42 } })))
      const [error] = await event(bench.open(), 'connect_error')
      assert.equal(error.message, 'not you')
      assert.deepEqual(error.data, { code: 42 })
    },
  },
  {
    name: 'socket.use sees every packet and may refuse it',
    async run(bench) {
      await bench.serve()
      const { client, socket } = await bench.pair()
      socket.use(([name], next) => next(name === 'bad' ? new Error('refused') : undefined))
      const refused = event(socket, 'error')
      const good = event(socket, 'good')
      client.emit('bad')
      client.emit('good', 1)
      assert.equal((await refused)[0].message, 'refused')
      assert.deepEqual(await good, [1])
    },
  },
  {
    name: 'io.engine.use runs Express middleware on the requests',
    async run(bench) {
      const io = await bench.serve()
      const seen = []
      io.engine.use((req, res, next) => {
        const handshake = req._query.sid === undefined
        seen.push({ handshake, method: req.method })
        req.marked = 'by middleware'
        setImmediate(next)
      })
      const { socket } = await bench.pair()
      assert.equal(seen.filter(({ handshake }) => handshake).length, 1)
      assert.deepEqual(seen[0], { handshake: true, method: 'GET' })
      assert.equal(socket.request.marked, 'by middleware')
    },
  },
  {
    name: 'io.engine.use may end a request itself',
    async run(bench) {
      const io = await bench.serve()
      io.engine.use((req, res) => {
        res.writeHead(503)
        res.end()
      })
      const client = bench.open()
      const [error] = await event(client, 'connect_error')
      assert.equal(error.message, bench.mode === 'websocket' ? 'websocket error' : 'xhr poll error')
      assert.equal(io.engine.clientsCount, 0)
    },
  },
  {
    name: 'allowRequest refuses a handshake and connection_error says why',
    async run(bench) {
      const io = await bench.serve({ allowRequest: (req, decide) => decide('no entry', false) })
      const refused = event(io.engine, 'connection_error')
      const client = bench.open()
      const [error] = await event(client, 'connect_error')
      assert.equal(error.message, bench.mode === 'websocket' ? 'websocket error' : 'xhr poll error')
      const [{ code, message, context, req }] = await refused
      assert.deepEqual({ code, message, context }, { code: 4, message: 'Forbidden', context: { message: 'no entry' } })
      assert.ok(req.url.startsWith('/socket.io/'))
    },
  },
  {
    name: 'initial_headers and headers reach the response',
    modes: ['polling', 'upgrade'],
    async run(bench) {
      const io = await bench.serve()
      let initial = 0
      let all = 0
      io.engine.on('initial_headers', (headers) => {
        initial++
        headers['x-initial'] = 'one'
      })
      io.engine.on('headers', (headers) => {
        all++
        headers['x-all'] = 'more'
      })
      const response = await fetch(`http://127.0.0.1:${bench.port}/socket.io/?EIO=4&transport=polling`)
      const text = await response.text()
      assert.match(text, /^0\{"sid":"/)
      assert.equal(response.headers.get('x-initial'), 'one')
      assert.equal(response.headers.get('x-all'), 'more')
      assert.deepEqual([initial, all], [1, 1])
    },
  },
]
