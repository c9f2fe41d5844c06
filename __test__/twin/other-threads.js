'use strict'

// When the engine's threads have had their turn. On a busy machine the event loop may be quiet for long because another thread has not
// run: the time alone says nothing of what is still to come. A ping frame to a server of its own, which an I/O thread answers by
// itself, says it.

const http = require('node:http')
const { once } = require('node:events')
const { WebSocket } = require('ws')

/** The connections that pings go by: one for each I/O thread, as the engine gives them to its threads in turn. */
let connections

/** Who waits for the answer to a ping, by its number. */
const waiting = new Map()
let lastPing = 0

async function connect() {
  const server = http.createServer()
  const { Server } = require('../..')
  const engine = new Server({ pingInterval: 2 ** 31 - 1 })
  engine.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.unref()
  const open = async () => {
    const client = new WebSocket(`ws://127.0.0.1:${server.address().port}/engine.io/?EIO=4&transport=websocket`)
    await once(client, 'message')
    client._socket.unref()
    client.on('pong', (data) => {
      const number = Number(data)
      waiting.get(number)()
      waiting.delete(number)
    })
    return client
  }
  return Promise.all(Array.from({ length: THREADS }, open))
}

const THREADS =
  Number(process.env.ENGINE_IO_NATIVE_IO_THREADS) ||
  Math.max(1, Math.min(4, require('node:os').availableParallelism() >> 1))

/** Resolves when each of them has answered. */
async function otherThreads() {
  connections ??= connect()
  await Promise.all(
    (await connections).map(
      (client) =>
        new Promise((resolve) => {
          waiting.set(++lastPing, resolve)
          client.ping(String(lastPing))
        }),
    ),
  )
}

module.exports = { otherThreads }
