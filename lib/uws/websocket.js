'use strict'

const { setImmediate } = require('timers')
const { countSent } = require('../base/traffic')
const { FaultText } = require('../native/contract')
const { Transport } = require('../transports/transport')
const debug = require('debug')('engine:uws')
const {
  kCutOff,
  kOnDrain,
  kOnEnd,
  kOnMessage,
  kOnOpen,
  kPeerClose,
  kState,
  kWriteOne,
  kWriteQueue,
} = require('../base/symbols')

/** Results of `send()` of uWebSockets.js. */
const BUFFERED = 0
const DROPPED = 2

/** The transport of a WebSocket of uWebSockets.js. JavaScript moves the packets. */
class WebSocket extends Transport {
  constructor(req, opts) {
    super(req, opts)
    /** The connection, with `subscribe()`, `publish()` and so on; null before it is open. */
    this.socket = null
    this[kState].packets = []
    this[kState].gone = false
    /** How the client has ended the connection. */
    this[kState].peerClose = undefined
    this[kState].congested = false
  }

  get name() {
    return 'websocket'
  }

  get handlesUpgrades() {
    return true
  }

  /** Called when the protocol has been switched. */
  [kOnOpen](socket) {
    this.socket = socket
    // the session may have ended meanwhile
    if (this.readyState !== 'open') return socket.end()
    this.writable = true
    this.emit('ready')
  }

  [kOnMessage](message, isBinary) {
    // copied, because the bytes belong to uWebSockets.js after this call
    this.onData(isBinary ? message.slice(0) : Buffer.from(message).toString())
  }

  [kOnDrain]() {
    if (!this[kState].congested) return
    this[kState].congested = false
    // not inside this handler, as uWebSockets.js does not write what is buffered in it
    setImmediate(() => this[kWriteQueue]())
  }

  [kOnEnd](code, reason) {
    this[kState].gone = true
    // copied, because the bytes belong to uWebSockets.js after this call
    this[kState].peerClose = { code, reason: Buffer.from(reason).toString() }
    if (this.readyState !== 'closed') this.onClose()
  }

  [kPeerClose]() {
    return this[kState].peerClose
  }

  send(packets) {
    this.writable = false
    this[kState].packets = packets.slice()
    countSent(packets)
    this[kWriteQueue]()
  }

  [kWriteQueue]() {
    while (this[kState].packets.length > 0 && !this[kState].gone) {
      const packet = this[kState].packets.shift()
      let status
      this.parser.encodePacket(packet, this.supportsBinary, (data) => (status = this[kWriteOne](packet, data)))
      if (status === DROPPED) return this.onError(FaultText.WRITE, 'the client is slower than maxBackpressure allows')
      if (status === BUFFERED) {
        debug('waiting for the client to catch up')
        this[kState].congested = true
        return
      }
    }
    if (this[kState].gone) return
    try {
      this.emit('drain')
    } finally {
      this.writable = true
      this.emit('ready')
    }
  }

  /** Cuts the connection off. */
  [kCutOff]() {
    if (this.socket !== null && !this[kState].gone) this.socket.close()
  }

  [kWriteOne]({ options }, data) {
    const deflate = this.opts.perMessageDeflate
    const compress =
      Boolean(deflate) && !(options && options.compress === false) && Buffer.byteLength(data) > deflate.threshold
    return this.socket.send(data, typeof data !== 'string', compress)
  }

  doClose(fn) {
    debug('closing')
    // called first, because end() reports the connection's end at once
    fn()
    if (this.socket !== null && !this[kState].gone) this.socket.end()
  }
}

module.exports = { WebSocket }
