'use strict'

// The attacker's end of a connection: writes what it is told, and counts the answers that it is owed.

const net = require('node:net')
const tls = require('node:tls')
const { frame, readFrame } = require('../support/frames')

const MS = 10_000

/** The beginning of a final response; 12 characters. */
const STATUS = /HTTP\/1\.[01] (?:[2-5]\d\d|101)/g

class Peer {
  /** @param {{port: number, tls?: boolean}} where */
  constructor({ port, tls: encrypted }) {
    this.below = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.socket = encrypted
      ? tls.connect({ socket: this.below, rejectUnauthorized: false, allowHalfOpen: true })
      : this.below
    this.bytes = Buffer.alloc(0)
    /** Responses that have come, and those that have to come unless the connection ends. */
    this.answers = 0
    this.owed = 0
    this.tail = ''
    this.ended = false
    this.waiters = new Set()
    for (const one of new Set([this.below, this.socket])) {
      one.on('error', () => {})
      one.on('end', () => this.#end())
      one.on('close', () => this.#end())
    }
    this.socket.on('data', (chunk) => {
      const text = this.tail + chunk.toString('latin1')
      this.answers += (text.match(STATUS) ?? []).length
      // a status that is cut off in two is counted with its second part
      this.tail = text.slice(-11)
      this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk])
      this.#wake()
    })
    this.opened = new Promise((resolve) => {
      this.socket.once(encrypted ? 'secureConnect' : 'connect', resolve)
      this.socket.once('close', resolve)
    })
  }

  #end() {
    this.ended = true
    this.#wake()
  }

  #wake() {
    for (const waiter of [...this.waiters]) waiter()
  }

  get text() {
    return this.bytes.toString('latin1')
  }

  write(data) {
    if (this.socket.writable) this.socket.write(data)
    return this
  }

  /** The first truthy value of `probe()`; undefined when the connection has ended before. */
  until(probe, what, ms = MS) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          finish(reject, new Error(`no ${what} within ${ms} ms; received ${JSON.stringify(this.text.slice(0, 300))}`)),
        ms,
      )
      const finish = (how, value) => {
        clearTimeout(timer)
        this.waiters.delete(look)
        how(value)
      }
      const look = () => {
        const value = probe()
        if (value || this.ended) finish(resolve, value || undefined)
      }
      this.waiters.add(look)
      look()
    })
  }

  match(pattern) {
    return this.until(() => pattern.exec(this.text), String(pattern))
  }

  /** One response, with its body; undefined if the connection ends instead. */
  async answer() {
    const response = await this.until(() => this.#takeResponse(), 'answer')
    return response
  }

  #takeResponse() {
    const { text } = this
    const end = text.indexOf('\r\n\r\n')
    if (end === -1) return
    const head = text.slice(0, end)
    const status = Number(head.split(' ')[1])
    const length = /^content-length: *(\d+)/im.exec(head)
    let size = end + 4
    let body = ''
    if (status !== 101 && /^transfer-encoding: *chunked/im.test(head)) {
      const chunks = /^(?:[\da-f]+\r\n[^]*?)?0\r\n\r\n/i.exec(text.slice(size))
      if (chunks === null) return
      size += chunks[0].length
      body = chunks[0]
    } else if (length !== null && status !== 101) {
      if (text.length < size + Number(length[1])) return
      body = text.slice(size, size + Number(length[1]))
      size += Number(length[1])
    }
    this.bytes = this.bytes.subarray(size)
    return { status, head, body }
  }

  /** One frame of the server's: `{ opcode, payload }`. */
  frame() {
    return this.until(() => this.#takeFrame(), 'frame')
  }

  #takeFrame() {
    const next = readFrame(this.bytes)
    if (next === undefined) return
    this.bytes = this.bytes.subarray(next.size)
    return { opcode: next.opcode, payload: Buffer.from(next.payload) }
  }

  /** Waits until all answers have come that are owed, or the connection is over. */
  settled() {
    return this.until(() => this.answers >= this.owed, `answer (${this.answers} of ${this.owed})`)
  }

  end() {
    return this.until(() => this.ended, 'end of the connection')
  }

  /** Ends this side and goes on reading. */
  halfClose() {
    this.socket.end()
  }

  destroy() {
    this.socket.destroy()
    this.below.destroy()
  }

  reset() {
    if (this.below.destroyed) return
    if (this.below.connecting) return this.below.destroy()
    // the one above would say goodbye
    if (this.socket !== this.below) return this.below.destroy()
    this.below.resetAndDestroy()
  }
}

/** What carries packets: a WebSocket, or the stream of a WebTransport session. */
class Channel {
  constructor(peer) {
    this.peer = peer
  }

  /** The next packet that is no heartbeat; answers those of protocol 4. */
  async message() {
    for (;;) {
      const packet = await this.packet()
      if (packet === '2') this.send('3')
      else if (packet !== '3') return packet
    }
  }
}

class WebSocketChannel extends Channel {
  send(text) {
    this.peer.write(frame({ payload: text }))
    return this
  }

  sendBinary(bytes) {
    this.peer.write(frame({ opcode: 2, payload: bytes }))
    return this
  }

  /** The text of the next message; undefined when there comes none any more. */
  async packet() {
    for (;;) {
      const received = await this.peer.frame()
      if (received === undefined || received.opcode === 8) return undefined
      if (received.opcode <= 2) return received.payload.toString()
    }
  }

  close() {
    this.peer.write(frame({ opcode: 8 }))
  }
}

/** The header of a packet in a WebTransport stream: its length, and whether it is binary. */
function streamed(payload, binary = false, length = payload.length) {
  const bit = binary ? 128 : 0
  if (length < 126) return Buffer.concat([Buffer.from([bit | length]), Buffer.from(payload)])
  const head = length < 65536 ? Buffer.alloc(3) : Buffer.alloc(9)
  head[0] = bit | (length < 65536 ? 126 : 127)
  if (length < 65536) head.writeUInt16BE(length, 1)
  else head.writeBigUInt64BE(BigInt(length), 1)
  return Buffer.concat([head, Buffer.from(payload)])
}

class StreamChannel extends Channel {
  send(text) {
    this.peer.write(streamed(Buffer.from(text)))
    return this
  }

  sendBinary(bytes) {
    this.peer.write(streamed(bytes, true))
    return this
  }

  packet() {
    return this.peer.until(() => this.#take(), 'packet')
  }

  #take() {
    const { bytes } = this.peer
    if (bytes.length < 1) return
    let length = bytes[0] & 127
    let at = 1
    if (length >= 126) {
      at = length === 126 ? 3 : 9
      if (bytes.length < at) return
      length = at === 3 ? bytes.readUInt16BE(1) : Number(bytes.readBigUInt64BE(1))
    }
    if (bytes.length < at + length) return
    this.peer.bytes = bytes.subarray(at + length)
    return bytes.subarray(at, at + length).toString()
  }

  close() {
    this.peer.destroy()
  }
}

module.exports = { Peer, WebSocketChannel, StreamChannel, streamed, frame }
