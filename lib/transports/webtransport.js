'use strict'

const { createPacketEncoderStream } = require('engine.io-parser')
const { countSent } = require('../base/traffic')
const { Transport } = require('./transport')
const debug = require('debug')('engine:webtransport')
const { kReadPackets } = require('../base/symbols')

/** The transport of a WebTransport session that the application accepted. JavaScript moves the packets. */
class WebTransport extends Transport {
  constructor(session, stream, reader, opts) {
    super({ _query: { EIO: '4' } }, opts)
    this.session = session
    const encoder = createPacketEncoderStream()
    encoder.readable.pipeTo(stream.writable).catch(() => debug('the stream was closed'))
    this.writer = encoder.writable.getWriter()
    this.writable = true
    this[kReadPackets](reader)
    session.closed.then(
      () => this.onClose(),
      () => this.onClose(),
    )
  }

  get name() {
    return 'webtransport'
  }

  async [kReadPackets](reader) {
    for (;;) {
      let read
      try {
        read = await reader.read()
      } catch (error) {
        return debug('error while reading: %s', error.message)
      }
      if (read.done) return
      try {
        this.onPacket(read.value)
      } catch (error) {
        // the exception of a listener does not end the reading
        process.nextTick(() => {
          throw error
        })
      }
    }
  }

  async send(packets) {
    this.writable = false
    countSent(packets)
    try {
      for (const packet of packets) await this.writer.write(packet)
    } catch (error) {
      debug('error while writing: %s', error.message)
    }
    try {
      this.emit('drain')
    } finally {
      this.writable = true
      this.emit('ready')
    }
  }

  doClose(fn) {
    this.session.close()
    fn()
  }
}

module.exports = { WebTransport }
