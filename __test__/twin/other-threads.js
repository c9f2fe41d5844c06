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
    // whoever waits goes on, and the next one is told
    client.once('close', () => client.emit('pong'))
    return client
  }
  return Promise.all(Array.from({ length: THREADS }, open))
}

const THREADS =
  Number(process.env.ENGINE_IO_NATIVE_IO_THREADS) ||
  Math.max(1, Math.min(4, require('node:os').availableParallelism() >> 1))

/** The round of pings that goes on, and the next one, for those who have come since it began. */
let round
let next

/** Resolves when each thread of the engine's has answered, and those of the pool, if somebody compresses there. */
async function otherThreads(compresses) {
  if (compresses) await Promise.all(Array.from({ length: POOL }, () => deflate(EMPTY)))
  if (round === undefined) return begin()
  next ??= round.then(begin)
  return next
}

function begin() {
  next = undefined
  round = ping().finally(() => (round = undefined))
  return round
}

async function ping() {
  connections ??= connect()
  await Promise.all(
    (await connections).map((client) => {
      if (client.readyState !== client.OPEN) throw new Error('The connection that the twin pings by has ended')
      client.ping()
      return new Promise((resolve) => client.once('pong', resolve))
    }),
  )
}

module.exports = { otherThreads }
