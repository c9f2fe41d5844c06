'use strict'

// engine.io without Socket.IO: `attach` and `listen` with the official engine.io-client 6.

require('./use-engine')
require('../support/ledger')
const assert = require('node:assert')
const { once } = require('node:events')
const http = require('node:http')
const { afterEach, describe, test } = require('node:test')
const { Socket: Client } = require('engine.io-client')
const { event, events, until } = require('./harness')

const { engine: eio } = require('../support/engine')

const MODES = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] }

let closers = []
afterEach(async () => {
  for (const close of closers) await close()
  closers = []
})

const WAYS_IN = {
  async attach(options) {
    const httpServer = http.createServer((req, res) => res.end('the application'))
    const engine = eio.attach(httpServer, options)
    httpServer.listen(0, '127.0.0.1')
    await once(httpServer, 'listening')
    closers.push(async () => {
      engine.close()
      httpServer.close()
      httpServer.closeAllConnections()
    })
    return { engine, port: httpServer.address().port }
  },
  async listen(options) {
    let engine
    await new Promise((resolve) => (engine = eio.listen(0, options, resolve)))
    closers.push(async () => {
      engine.close()
      engine.httpServer.close()
    })
    return { engine, port: engine.httpServer.address().port }
  },
}

for (const [way, serve] of Object.entries(WAYS_IN)) {
  for (const [mode, transports] of Object.entries(MODES)) {
    describe(`engine.io-client 6 over ${mode}, ${way}`, () => {
      const pair = async (options) => {
        const { engine, port } = await serve(options)
        const accepted = event(engine, 'connection')
        const client = new Client(`ws://127.0.0.1:${port}`, { transports, path: '/engine.io' })
        closers.unshift(() => client.close())
        const [[socket]] = await Promise.all([accepted, event(client, 'open')])
        if (mode === 'upgrade') {
          await Promise.all([
            client.transport.name === 'websocket' || event(client, 'upgrade'),
            socket.upgraded || event(socket, 'upgrade'),
          ])
        }
        return { engine, socket, client }
      }

      test('ids and transports agree', async () => {
        const { engine, socket, client } = await pair()
        assert.equal(client.id, socket.id)
        assert.equal(socket.transport.name, mode === 'polling' ? 'polling' : 'websocket')
        assert.equal(engine.clientsCount, 1)
        assert.equal(engine.clients[socket.id], socket)
      })

      test('text passes unchanged, both ways', async () => {
        const { socket, client } = await pair()
        socket.on('message', (data) => socket.send(data))
        const texts = ['hello', '🦀 crab and 中文', '4looks like a packet', 'x'.repeat(100_000), 'line\nbreak']
        const back = events(client, 'message', texts.length)
        for (const text of texts) client.send(text)
        for (const [n, [text]] of (await back).entries()) assert.ok(text === texts[n], `text ${n}`)
      })

      test('bytes pass unchanged, both ways', async () => {
        const { socket, client } = await pair()
        client.binaryType = 'nodebuffer'
        socket.on('message', (data) => {
          assert.ok(Buffer.isBuffer(data))
          socket.send(data)
        })
        const all = [Buffer.from([0, 1, 2, 255]), Buffer.alloc(70_000, 9), Buffer.from('bytes')]
        const back = events(client, 'message', all.length)
        for (const bytes of all) client.send(bytes)
        assert.deepEqual((await back).flat(), all)
      })

      test('five hundred messages keep their order, both ways', async () => {
        const { socket, client } = await pair()
        const seen = events(socket, 'message', 500)
        const back = events(client, 'message', 500)
        for (let n = 0; n < 500; n++) {
          client.send(`up ${n}`)
          socket.send(`down ${n}`)
        }
        const numbers = Array.from({ length: 500 }, (_, n) => n)
        assert.deepEqual(
          (await seen).flat(),
          numbers.map((n) => `up ${n}`),
        )
        assert.deepEqual(
          (await back).flat(),
          numbers.map((n) => `down ${n}`),
        )
      })

      test('the callback of send runs once the message is written', async () => {
        const { socket, client } = await pair()
        const received = event(client, 'message')
        await new Promise((resolve) => socket.send('hi', resolve))
        assert.deepEqual(await received, ['hi'])
      })

      test('the client closes', async () => {
        const { engine, socket, client } = await pair()
        const closed = event(socket, 'close')
        client.close()
        const [reason] = await closed
        assert.equal(reason, 'transport close')
        await until(() => engine.clientsCount === 0, 'the session is gone')
      })

      test('the server closes', async () => {
        const { engine, socket, client } = await pair()
        await until(() => socket.transport.writable, 'the transport is writable')
        const closed = [event(socket, 'close'), event(client, 'close')]
        socket.close()
        const [[server], [other]] = await Promise.all(closed)
        assert.deepEqual([server, other], ['forced close', 'transport close'])
        await until(() => engine.clientsCount === 0, 'the session is gone')
      })

      test('what was sent before close still arrives', async () => {
        const { socket, client } = await pair()
        const received = events(client, 'message', 3)
        const closed = event(client, 'close')
        for (const text of ['one', 'two', 'three']) socket.send(text)
        socket.close()
        assert.deepEqual((await received).flat(), ['one', 'two', 'three'])
        await closed
      })

      test('the initial packet comes with the handshake', async () => {
        const { engine, port } = await serve({ initialPacket: 'welcome' })
        const client = new Client(`ws://127.0.0.1:${port}`, { transports })
        closers.unshift(() => client.close())
        const [[data]] = await Promise.all([event(client, 'message'), event(engine, 'connection')])
        assert.equal(data, 'welcome')
      })
    })
  }
}
