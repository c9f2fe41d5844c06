'use strict'

const { createPacketDecoderStream, createPacketEncoderStream } = require('engine.io-parser')
const { defer } = require('./cleanup')
const { deadline } = require('./events')

/** A WebTransport session made of web streams: what the server gets, and the client's end of it. */
class FakeSession {
  constructor() {
    this.closes = 0
    this.incomingBidirectionalStreams = new ReadableStream({ start: (controller) => (this.streams = controller) })
    this.closed = new Promise((resolve, reject) => {
      this.end = resolve
      this.fail = reject
    })
    defer(() => this.end())
  }

  /** Called by the server. */
  close() {
    this.closes++
    this.end()
  }

  /** The client opens a stream; it is the first one that counts. */
  openStream() {
    const up = new TransformStream()
    const down = new TransformStream()
    this.streams.enqueue({ readable: up.readable, writable: down.writable })
    const encoder = createPacketEncoderStream()
    encoder.readable.pipeTo(up.writable).catch(() => {})
    this.writer = encoder.writable.getWriter()
    this.writer.closed.catch(() => {})
    this.bytes = up.writable
    this.reader = down.readable.pipeThrough(createPacketDecoderStream(1e6, 'nodebuffer')).getReader()
    this.reader.closed.catch(() => {})
    return this
  }

  /** The client sends a packet. */
  send(type, data) {
    this.writer.write({ type, data }).catch(() => {})
    return this
  }

  /** The client's next packet. */
  async packet() {
    const { value } = await deadline(this.reader.read(), 'a packet')
    return value
  }
}

module.exports = { FakeSession }
