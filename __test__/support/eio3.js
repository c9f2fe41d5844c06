'use strict'

const assert = require('node:assert/strict')
const eio3 = require('engine.io-client-v3')
const { defer } = require('./cleanup')
const { once } = require('./events')
const { request } = require('./http')
const { PollingPeer, openWebSocket, path } = require('./peers')

/** Unless a test is about heartbeats, no timer of the session's runs out. */
const ALLOW = { allowEIO3: true }

/** A text payload of protocol 3: each packet behind its length in UTF-16 units. */
const textPayload = (...packets) => packets.map((packet) => `${packet.length}:${packet}`).join('')

/** A binary payload of protocol 3: strings become UTF-8 (`00`), buffers stay what they are (`01`). */
function binaryPayload(...packets) {
  const parts = packets.map((packet) => {
    const bytes = Buffer.from(packet)
    const digits = [...String(bytes.length)].map(Number)
    return Buffer.concat([Buffer.from([typeof packet === 'string' ? 0 : 1, ...digits, 255]), bytes])
  })
  return Buffer.concat(parts)
}

/** The content of a `118:0{…}` handshake payload. */
function openPacket(body) {
  const [, length, packet] = /^(\d+):(0\{[^}]*\})/.exec(body)
  assert.equal(Number(length), packet.length)
  return packet
}

/** Like `openPolling`, with protocol 3. */
async function openPolling3(context, query, headers) {
  const connected = once(context.engine, 'connection')
  const all = { EIO: '3', ...query }
  const response = await request({ port: context.port, path: path(context, all), headers })
  assert.equal(response.status, 200, response.body)
  const peer = new PollingPeer(context, all, { body: openPacket(response.body) })
  peer.response = response
  const [socket] = await connected
  defer(async () => {
    if (socket.readyState === 'closing') await peer.request({ ms: 1000 }).catch(() => {})
  })
  return { peer, socket }
}

/** POSTs a binary payload. */
const postBinary = (peer, payload) => peer.post(payload, { 'Content-Type': 'application/octet-stream' })

const openWebSocket3 = (context, query) => openWebSocket(context, { EIO: '3', ...query })

/** The real client of protocol 3; closed after the test. */
function client3(context, options) {
  const socket = new eio3.Socket(`ws://127.0.0.1:${context.port}`, { path: context.path, ...options })
  defer(() => socket.close())
  return socket
}

module.exports = { ALLOW, textPayload, binaryPayload, openPolling3, postBinary, openWebSocket3, client3 }
