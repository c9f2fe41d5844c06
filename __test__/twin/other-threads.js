'use strict'

// When other threads have had their turn. On a busy machine the event loop may be quiet for long because another thread has not run,
// or the kernel has not passed on what was written: the time alone says nothing of what is still to come. A ping frame to a server
// of its own, which an I/O thread of the engine's answers by itself, says it, and so does a job for each thread of libuv's pool, where
// `ws` compresses.

const http = require('node:http')
const { once } = require('node:events')
const { promisify } = require('node:util')
const zlib = require('node:zlib')
const { WebSocket } = require('ws')

const deflate = promisify(zlib.deflateRaw)
const EMPTY = Buffer.alloc(0)
const POOL = Number(process.env.UV_THREADPOOL_SIZE) || 4

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

/** Resolves when each of them has answered, and those of the pool, if somebody compresses there. */
async function otherThreads(compresses) {
  connections ??= connect()
  if (compresses) await Promise.all(Array.from({ length: POOL }, () => deflate(EMPTY)))
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
