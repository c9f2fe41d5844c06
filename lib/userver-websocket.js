'use strict'

const { Transport } = require('./transport')
const debug = require('debug')('engine:uws')

/** What `send()` of uWebSockets.js tells. */
const BUFFERED = 0
const DROPPED = 2

/** A WebSocket of uWebSockets.js; JavaScript moves the packets. */
class WebSocket extends Transport {
  constructor(req) {
    super(req)
    /** The connection, with `subscribe()`, `publish()` and so on; null before it is open. */
    this.socket = null
    this.perMessageDeflate = null
    this._packets = []
    this._gone = false
    this._congested = false
  }

  get name() {
    return 'websocket'
  }

  get handlesUpgrades() {
    return true
  }

  /** The protocol has been switched. */
  _onOpen(socket) {
    this.socket = socket
    // the session may have ended meanwhile
    if (this.readyState !== 'open') return socket.end()
    this.writable = true
    this.emit('ready')
  }

  _onMessage(message, isBinary) {
    // the bytes are gone when uWebSockets.js gets them back
    const data = Buffer.from(message.slice(0))
    this.onData(isBinary ? data : data.toString())
  }

  _onDrain() {
    if (!this._congested) return
    this._congested = false
    // not here: what is buffered in its `drain` handler uWebSockets.js does not write any more
    setImmediate(() => this._write())
  }

  _onEnd() {
    this._gone = true
    if (this.readyState !== 'closed') this.onClose()
  }

  send(packets) {
    this.writable = false
    this._packets = packets.slice()
    this._write()
  }

  _write() {
    while (this._packets.length > 0 && !this._gone) {
      const packet = this._packets.shift()
      let status
      this.parser.encodePacket(packet, this.supportsBinary, (data) => (status = this._writeOne(packet, data)))
      if (status === DROPPED) return this.onError('write error', 'the client is slower than maxBackpressure allows')
      if (status === BUFFERED) {
        debug('waiting for the client to catch up')
        this._congested = true
        return
      }
    }
    if (this._gone) return
    try {
      this.emit('drain')
    } finally {
      this.writable = true
      this.emit('ready')
    }
  }

  /** Cuts the connection off. */
  _cutOff() {
    if (this.socket !== null && !this._gone) this.socket.close()
  }

  _writeOne({ options }, data) {
    const deflate = this.perMessageDeflate
    const compress = Boolean(deflate) && !(options && options.compress === false) && Buffer.byteLength(data) > deflate.threshold
    return this.socket.send(data, typeof data !== 'string', compress)
  }

  doClose(fn) {
    debug('closing')
    // first, because end() tells of the end of the connection at once
    fn()
    if (this.socket !== null && !this._gone) this.socket.end()
  }
}

module.exports = { WebSocket }
