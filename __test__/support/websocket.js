'use strict'

const assert = require('node:assert/strict')
const WebSocket = require('ws')
const { defer } = require('./cleanup')
const { once } = require('./events')
const { frame, readFrame, closePayload, upgradeRequest, KEY } = require('./frames')
const { RawPeer } = require('./tcp')

/** A WebSocket client that can send arbitrary frames and keeps the frames it receives. */
class RawWebSocket extends RawPeer {
  /** Sends the upgrade request, with `head` in the same write, and does not wait for the answer. */
  static async request(port, path, options) {
    return (await this.connect(port)).upgrade(path, options)
  }

  /** The same over a stream that is already connected. */
  static over(stream, path, options) {
    return new this(stream).upgrade(path, options)
  }

  upgrade(path, options = {}) {
    const head = options.head ?? Buffer.alloc(0)
    this.write(Buffer.concat([Buffer.from(upgradeRequest(path, options), 'latin1'), head]))
    return this
  }

  /** Sends the upgrade request and waits for the response head. */
  static async open(port, path, options) {
    return (await this.request(port, path, options)).response()
  }

  /** The response: `{ status, headerLines, headers, text }`; the bytes after it are frames. */
  async response() {
    const [head] = await this.match(/^[^]*?\r\n\r\n/)
    this.bytes = this.bytes.subarray(head.length)
    const [statusLine, ...headerLines] = head.slice(0, -4).split('\r\n')
    this.status = Number(statusLine.split(' ')[1])
    this.statusLine = statusLine
    this.headerLines = headerLines
    this.headers = Object.fromEntries(
      headerLines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
    )
    return this
  }

  takeFrame() {
    const next = readFrame(this.bytes)
    if (next === undefined) return null
    const { size, ...found } = next
    this.bytes = this.bytes.subarray(size)
    const payload = Buffer.from(found.payload)
    const code = found.opcode === 8 && payload.length >= 2 ? payload.readUInt16BE(0) : undefined
    return { ...found, payload, text: payload.toString('utf8'), code }
  }

  /** The next frame. */
  frame(ms) {
    return this.until(() => this.takeFrame(), 'a frame', ms)
  }

  /** The text of the next frame, which must be a text frame. */
  async packet(ms) {
    const { opcode, text } = await this.frame(ms)
    assert.equal(opcode, 1, `expected a text frame, got opcode ${opcode}: ${text}`)
    return text
  }

  /** Skips data frames and returns the close frame. */
  async closeFrame(ms) {
    for (;;) {
      const received = await this.frame(ms)
      if (received.opcode === 8) return received
    }
  }

  sendFrame(options) {
    this.write(frame(options))
  }

  sendText(payload) {
    this.sendFrame({ opcode: 1, payload })
  }

  sendBinary(payload) {
    this.sendFrame({ opcode: 2, payload })
  }

  sendClose(code, reason) {
    this.sendFrame({ opcode: 8, payload: code === undefined ? '' : closePayload(code, reason) })
  }
}

/** A `ws` client, open; `next()` resolves with its next message (string or Buffer). */
async function wsClient(port, path, options) {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, options)
  const queue = []
  ws.on('message', (data, isBinary) => {
    queue.push(isBinary ? data : data.toString())
    ws.emit('queued')
  })
  ws.on('error', () => {})
  ws.next = async () => {
    if (queue.length === 0) await once(ws, 'queued')
    return queue.shift()
  }
  defer(() => ws.terminate())
  await once(ws, 'open')
  return ws
}

module.exports = { RawWebSocket, frame, closePayload, upgradeRequest, wsClient, KEY }
