'use strict'

// The client's end of a WebTransport session, made of web streams.

const { createPacketDecoderStream, createPacketEncoderStream } = require('engine.io-parser')
const { makeShow } = require('./show')

const show = makeShow()

class Stream {
  constructor(world, name) {
    this.world = world
    this.name = name
    this.open = true
    let end
    const closed = new Promise((resolve, reject) => {
      end = resolve
      this.fail = reject
    })
    closed.catch(() => {})
    this.end = end
    let streams
    /** What the server is given. */
    this.session = {
      incomingBidirectionalStreams: new ReadableStream({ start: (controller) => (streams = controller) }),
      closed,
      close: () => {
        this.record('session.close()')
        this.open = false
        end()
      },
    }
    this.streams = streams
  }

  record(text) {
    this.world.record(this.name, text)
  }

  /** Opens the one bidirectional stream. */
  begin(onPacket) {
    const up = new TransformStream()
    const down = new TransformStream()
    this.streams.enqueue({ readable: up.readable, writable: down.writable })
    this.bytes = up.writable
    const encoder = createPacketEncoderStream()
    encoder.readable.pipeTo(up.writable).catch(() => {})
    this.writer = encoder.writable.getWriter()
    this.writer.closed.catch(() => {})
    const reader = down.readable.pipeThrough(createPacketDecoderStream(1e7, 'nodebuffer')).getReader()
    reader.closed.catch(() => {})
    const read = async () => {
      for (;;) {
        const { value, done } = await reader.read()
        if (done) return this.record('end of the stream')
        this.record(`packet ${show(value)}`)
        onPacket(value)
      }
    }
    read().catch((error) => this.record(`stream failed: ${error?.message}`))
  }

  send(packet) {
    this.writer?.write(packet).catch(() => {})
  }
}

module.exports = { Stream }
