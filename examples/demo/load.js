'use strict'

// The load: a process of its own, so that its work is not counted as the server's. Plain TCP with frames made
// beforehand, because a load client must cost less than the server it loads.

const { fork } = require('node:child_process')
const { randomBytes } = require('node:crypto')
const net = require('node:net')

const CONNECTIONS = 100
const PAYLOAD_BYTES = 64
const WINDOW = 64 // messages that one connection may have under way
const TICK_MS = 10

/**
 * Starts a process that sends `rate` messages per second over 100 WebSocket connections and reads the echoes.
 *
 * @returns {{ rate: number, stop: () => void }}
 */
function startLoad(port, rate) {
  const child = fork(__filename, [String(port), String(rate)])
  return { rate, stop: () => child.kill() }
}

function main(port, rate) {
  const message = frame(Buffer.from(`4${'x'.repeat(PAYLOAD_BYTES - 1)}`))
  const burst = Buffer.concat(Array.from({ length: WINDOW }, () => message))
  const pong = frame(Buffer.from('3'))
  const open = []

  for (let n = 0; n < CONNECTIONS; n++) {
    const connection = { socket: net.connect(port, '127.0.0.1'), underWay: 0 }
    connection.socket.setNoDelay(true)
    connection.socket.write(
      [
        'GET /engine.io/?EIO=4&transport=websocket&role=load HTTP/1.1',
        'Host: localhost',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
        '\r\n',
      ].join('\r\n'),
    )
    readFrames(connection.socket, (type) => {
      if (type === '0') open.push(connection)
      else if (type === '2') connection.socket.write(pong)
      else if (type === '4') connection.underWay--
    })
    connection.socket.on('error', () => {})
    connection.socket.on('close', () => {
      const at = open.indexOf(connection)
      if (at !== -1) open.splice(at, 1)
    })
  }

  let last = performance.now()
  let due = 0
  let turn = 0
  setInterval(() => {
    const now = performance.now()
    // What could not be sent in time is not made up for later: the rate is a ceiling.
    due = Math.min(due + ((now - last) / 1000) * rate, rate / 10 + CONNECTIONS)
    last = now
    const share = Math.ceil(due / Math.max(1, open.length))
    for (let n = 0; n < open.length && due >= 1; n++) {
      const connection = open[turn++ % open.length]
      const count = Math.min(share, WINDOW - connection.underWay, Math.floor(due))
      if (count <= 0) continue
      connection.underWay += count
      due -= count
      connection.socket.write(burst.subarray(0, count * message.length))
    }
  }, TICK_MS)
}

/** A masked text frame of less than 126 bytes. */
function frame(payload) {
  const mask = randomBytes(4)
  const masked = Buffer.from(payload.map((byte, n) => byte ^ mask[n % 4]))
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, masked])
}

/** Calls back with the Engine.IO packet type of each message after the response to the upgrade. */
function readFrames(socket, onPacket) {
  let rest = Buffer.alloc(0)
  let upgraded = false
  socket.on('data', (chunk) => {
    let bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    if (!upgraded) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end === -1) {
        rest = bytes
        return
      }
      upgraded = true
      bytes = bytes.subarray(end + 4)
    }
    let at = 0
    while (bytes.length - at >= 2) {
      const short = bytes[at + 1]
      if (short === 126 && bytes.length - at < 4) break
      const header = short === 126 ? 4 : 2
      const length = short === 126 ? bytes.readUInt16BE(at + 2) : short
      if (bytes.length - at < header + length) break
      if ((bytes[at] & 0x0f) === 1) onPacket(String.fromCharCode(bytes[at + header]))
      at += header + length
    }
    rest = bytes.subarray(at)
  })
}

module.exports = { startLoad }

if (require.main === module) {
  process.on('disconnect', () => process.exit())
  main(Number(process.argv[2]), Number(process.argv[3]))
}
