'use strict'

const { createPacketEncoderStream } = require('engine.io-parser')
const { Transport } = require('../transport')
const debug = require('debug')('engine:webtransport')

/** A WebTransport session that the application accepted; JavaScript moves the packets. */
class WebTransport extends Transport {
  constructor(session, stream, reader) {
    super({ _query: { EIO: '4' } })
    this.session = session
    const encoder = createPacketEncoderStream()
    encoder.readable.pipeTo(stream.writable).catch(() => debug('the stream was closed'))
    this.writer = encoder.writable.getWriter()
    this.writable = true
    this._read(reader)
    session.closed.then(
      () => this.onClose(),
      () => this.onClose()
    )
  }

  get name() {
    return 'webtransport'
  }

  async _read(reader) {
    try {
      for (;;) {
        const { value, done } = await reader.read()
        if (done) return
        this.onPacket(value)
      }
    } catch (error) {
      debug('error while reading: %s', error.message)
    }
  }

  async send(packets) {
    this.writable = false
    try {
      for (const packet of packets) await this.writer.write(packet)
    } catch (error) {
      debug('error while writing: %s', error.message)
    }
    this.emit('drain')
    this.writable = true
    this.emit('ready')
  }

  doClose(fn) {
    this.session.close()
    fn()
  }
}

module.exports = { WebTransport }
