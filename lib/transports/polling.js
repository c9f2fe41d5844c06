'use strict'

const bridge = require('../native/bridge')
const {
  BINARY_PAYLOAD_TYPE,
  CACHE_CONTROL,
  ErrorCode,
  FaultText,
  Kind,
  NO_HANDLE,
  OLD_IE,
  TEXT_PAYLOAD_TYPE,
  XSS_PROTECTION,
} = require('../native/contract')
const { connectionOf, hasGone, isHttp2, isWaiting, isWritten, unwatch, watch } = require('../base/client')
const { takeOver } = require('../base/state')
const { polls } = require('../native/duties')
const { compressionOf } = require('../native/compression')
const { content, packetType } = require('../native/packets')
const { failRequest, refuseAfter } = require('./errors')
const { OUR_ON_DATA, posting } = require('./polling-posts')
const { endWith } = require('../native/node-internals')
const { engineDriver } = require('./driver')
const { Transport } = require('./transport')
const debug = require('debug')('engine:polling')
const {
  kAdd,
  kAnswer,
  kApply,
  kCarriesPolls,
  kCloseNatively,
  kCompressFirst,
  kDriver,
  kDropNativePoll,
  kEncodingFor,
  kEndPoll,
  kExpose,
  kGiveUpPost,
  kIsBound,
  kIsPromised,
  kOnDecision,
  kOnNativePoll,
  kOnPollClosed,
  kOnPollTaken,
  kOnPollingHeaders,
  kOverlapStatus,
  kPutOff,
  kRefuse,
  kRejectPoll,
  kReleasePost,
  kSendBound,
  kSendOut,
  kSendUnbound,
  kSetPoll,
  kSetsNoLength,
  kState,
  kTakePoll,
  kTakeUp,
  kTellHeaders,
  kWhenWritten,
  kWrap,
  kWriteHead,
} = require('../base/symbols')

const wantsCompression = ({ options }) => Boolean(options && options.compress)
const kTransport = Symbol('transport')
const kPoll = Symbol('poll')

const CLOSE_TIMEOUT = 30 * 1000

/** The last `Accept-Encoding`, and the encoding that was chosen for it. */
let lastAccepted
let lastEncoding

/**
 * HTTP long-polling over Node's own HTTP server. `req` and `res` are the pending poll, `dataReq` and `dataRes` the POST
 * in progress. The engine decides what a request means for the session. Requests of a native listener do not come here.
 */
class Polling extends /** @type {typeof import('../../types/bases').PollingBase} */ (Transport) {
  /** @param {ConstructorParameters<typeof Transport>} args */
  constructor(...args) {
    super(...args)
    /** Milliseconds for which a graceful close waits for the next poll. */
    this.closeTimeout = CLOSE_TIMEOUT
    /** Number of bytes of responses that the kernel has not taken. */
    this[kState].unwritten = 0
    /** The number of the last poll, see lib/native/duties.js. */
    this[kState].poll = 0
    /** The number of the last POST. */
    this[kState].post = 0
  }

  get name() {
    return 'polling'
  }

  /** The engine moves its packets, see lib/transports/driver.js. */
  [kDriver]() {
    return engineDriver
  }

  [kCarriesPolls]() {
    return true
  }

  /** Number of bytes of responses that have not been written. */
  get bufferedAmount() {
    const session = this[kState].session
    return this[kState].unwritten + (session === null ? 0 : bridge.getEngine().unreadAnswers(session[kState].handle))
  }

  /** Returns whether the engine has a session on this transport. */
  [kIsBound]() {
    const { session, left } = this[kState]
    return session !== null && !left && !session[kState].over && session[kState].handle !== NO_HANDLE
  }

  onRequest(req) {
    const res = req.res
    // the first request is kept as long as the session, but its response must not be
    req.res = null
    if (req.method === 'GET') this.onPollRequest(req, res)
    else if (req.method === 'POST') this.onDataRequest(req, res)
    else res.writeHead(500).end()
  }

  // ---- polls ---------------------------------------------------------------------------------

  /** Takes a poll. The first poll makes the members `req` and `res`, the first POST `dataReq` and `dataRes`. */
  onPollRequest(req, res) {
    if (this.req) {
      debug('request overlap')
      return refuseAfter(res, () => this.onError(FaultText.POLL_OVERLAP), res[kOverlapStatus])
    }
    const session = this[kState].session
    if (session !== null && !this[kIsBound]()) {
      // the session has ended after the request was checked
      res.writeHead(400).end()
      return
    }
    this[kSetPoll](req, res)
    if (session !== null) {
      if (session[kState].idle) session.server[kState].limits.heard(session)
      const updates = bridge.fast.poll(session[kState].handle, this[kState].poll, false)
      if (bridge.outcome[0] === Kind.DUE) {
        this[kEndPoll]()
        return this[kPutOff](session, req, res)
      }
      session[kApply](updates)
      if (this.req !== req) return
    }
    this.writable = true
    try {
      this.emit('ready')
    } finally {
      if (this.writable && this.shouldClose) this.send([{ type: 'noop' }])
    }
  }

  /**
   * Puts a request off if it comes at the heartbeat's deadline or later. Such a poll is too late, whether the timer has
   * run out or not. But if this thread is late itself, the answer to the ping may have come in time, so that waiting
   * data is read first. A request whose session has moved to another transport is put off, too, if this thread has not
   * heard of the move.
   */
  [kPutOff](session, req, res) {
    bridge.whenRead(() => {
      try {
        if (session.readyState !== 'closed') session[kApply](bridge.getEngine().endPastDeadline(session[kState].handle))
      } finally {
        this[kTakeUp](session, req, res)
      }
    })
  }

  /** Takes a request that was put off as if it came now. */
  [kTakeUp](session, req, res) {
    const { server, transport } = session
    if (session.readyState === 'closed') {
      server[kRefuse](req, res, ErrorCode.UNKNOWN_SID, { sid: session.id })
    } else if (transport !== this) {
      const context = { name: 'TRANSPORT_MISMATCH', transport: 'polling', previousTransport: transport.name }
      server[kRefuse](req, res, ErrorCode.BAD_REQUEST, context)
    } else if (req.method === 'POST') {
      this.onDataRequest(req, res)
    } else if (hasGone(req, res)) {
      this.onError(FaultText.POLL_ABORTED)
    } else {
      this.onPollRequest(req, res)
    }
  }

  /** Passes a waiting poll to the transport's new session. */
  [kTakePoll]() {
    const session = this[kState].session
    if (!this.writable || !this.res) return
    const { req, res } = this
    const updates = bridge.fast.poll(session[kState].handle, this[kState].poll, false)
    if (bridge.outcome[0] !== Kind.DUE) return session[kApply](updates)
    this[kEndPoll]()
    this[kPutOff](session, req, res)
  }

  /** Called when the client of the pending poll has gone. */
  [kOnPollClosed]() {
    this.onError(FaultText.POLL_ABORTED)
  }

  [kSetPoll](req, res) {
    this.req = req
    this.res = res
    req[kTransport] = this
    req[kPoll] = this[kState].poll = polls.add(this)
    req.on('close', onPollClose)
    req.cleanup = cleanupPoll
  }

  /** Called when a poll waits in the native listener. */
  [kOnNativePoll]() {
    if (this[kState].session[kState].idle) this[kState].session.server[kState].limits.heard(this[kState].session)
    this[kState].polledNatively = true
    this.writable = true
    try {
      this.emit('ready')
    } finally {
      if (this.writable && this.shouldClose) this.send([{ type: 'noop' }])
    }
  }

  /** Called when the listener has answered a poll by itself. */
  [kOnPollTaken]() {
    if (!this[kState].polledNatively) return
    this.writable = false
    this[kDropNativePoll]()
  }

  send(packets) {
    this.writable = false
    const { session } = this[kState]
    if (!this.shouldClose) return this[kSendOut](session, packets)
    packets.push({ type: 'close' })
    // the end of the session would answer the listener's poll without these packets
    const waitsInListener = this[kState].polledNatively && this[kIsBound]()
    if (waitsInListener) this[kSendBound](session, packets)
    try {
      this.shouldClose()
    } finally {
      this.shouldClose = null
      // the poll is answered even if a listener of the session's end has thrown
      if (waitsInListener) this[kDropNativePoll]()
      else this[kSendOut](session, packets)
    }
  }

  [kSendOut](session, packets) {
    // a close packet answers this transport's poll, even if the session has moved to another transport
    const isEnd = packets.length === 1 && packets[0].type === 'close' && Boolean(this.req)
    if (this[kIsBound]() && !isEnd) this[kSendBound](session, packets)
    else if (this.req) this[kSendUnbound](packets)
    if (this[kState].polledNatively) this[kDropNativePoll]()
  }

  /** Called when the listener's poll has been answered. */
  [kDropNativePoll]() {
    this[kState].polledNatively = false
    this.emit('drain')
  }

  [kSendBound](session, packets) {
    if (packets.length === 1) {
      const [packet] = packets
      session[kApply](
        bridge.fast.sendPacket(
          session[kState].handle,
          packetType(packet),
          content(packet.data),
          wantsCompression(packet),
        ),
      )
    } else {
      const list = []
      for (const packet of packets) list.push(packetType(packet), content(packet.data))
      session[kApply](bridge.getEngine().sendPackets(session[kState].handle, list, packets.some(wantsCompression)))
    }
    // the engine has moved the session, of which this thread has not heard; the packets are on their way
    if (this.req && !this.res.headersSent && this.res[kIsPromised] !== true) {
      this.writable = true
      this.emit('drain')
    }
  }

  /** Answers a poll if the engine does not have the session, or no longer has it. */
  [kSendUnbound](packets) {
    const answer = (payload) => this[kAnswer](this[kWrap](payload), packets.some(wantsCompression))
    if (this.protocol === 3) this.parser.encodePayload(packets, this.supportsBinary, answer)
    else this.parser.encodePayload(packets, answer)
  }

  /** Carries out the engine's decision about the pending poll, whose session may have ended or moved meanwhile. */
  [kOnDecision](kind, payload) {
    if (!this.req) return
    this.writable = false
    if (kind === Kind.REJECT_POLL) this[kRejectPoll]()
    else this[kAnswer](payload === undefined ? '' : payload, kind === Kind.ANSWER_POLL)
  }

  [kRejectPoll]() {
    const { res } = this
    this[kEndPoll]()
    if (!res.headersSent) res.writeHead(400).end()
  }

  [kAnswer](payload, compress) {
    this.write(payload, { compress })
  }

  /** Answers the pending poll with a payload. */
  write(data, options) {
    debug('writing "%s"', data)
    this.doWrite(data, options, () => {
      this[kEndPoll]()
      this.emit('drain')
    })
  }

  [kEndPoll]() {
    if (this.req) this.req.cleanup()
  }

  /** Writes the response of the pending poll. */
  doWrite(data, options, callback) {
    const isText = typeof data === 'string'
    const headers = { 'Content-Type': isText ? TEXT_PAYLOAD_TYPE : BINARY_PAYLOAD_TYPE }
    const length = isText ? Buffer.byteLength(data) : data.length
    const { req, res } = this
    const encoding = options.compress ? this[kEncodingFor](req, length) : undefined
    if (encoding && this[kSetsNoLength]) return this[kCompressFirst](data, encoding, headers, callback)
    if (encoding) headers['Content-Encoding'] = encoding
    else if (!this[kSetsNoLength]) headers['Content-Length'] = length
    this[kWriteHead](req, res, headers)
    if (!encoding) {
      endWith(res, data, length)
      callback()
      // bytes that the kernel has not taken may never arrive
      if (isWaiting(req, res)) this[kWhenWritten](req, res, length)
      return
    }
    this[kWhenWritten](req, res, length, callback)
    bridge.compress(data, encoding, compressionOf(this.opts.httpCompression), (bytes) => {
      // the body cannot be sent uncompressed, because the header says that it is compressed
      if (bytes === undefined) res.destroy()
      else if (!res.destroyed) res.end(bytes)
    })
  }

  /** Writes the head of an answer to a poll. */
  [kWriteHead](req, res, headers) {
    try {
      res.writeHead(200, this.headers(req, headers))
    } catch (error) {
      // a listener threw, or added what no header can be: the client must not wait for ever
      this[kEndPoll]()
      failRequest(res)
      throw error
    }
  }

  /** Returns the `Content-Encoding` of a response of `length` bytes; undefined if it is not compressed. */
  [kEncodingFor](req, length) {
    const options = this.opts.httpCompression
    const accepted = req.headers['accept-encoding']
    if (!options || !accepted || length < options.threshold) return undefined
    // most clients send the same header as the one before
    if (accepted !== lastAccepted) {
      lastAccepted = accepted
      lastEncoding = bridge.getEngine().contentEncoding(accepted) || undefined
    }
    return lastEncoding
  }

  /** Calls back when a response is written. If the client goes before, packets are lost, which ends the session. */
  [kWhenWritten](req, res, length, callback = noop) {
    this[kState].unwritten += length
    const settle = (lost) => {
      this[kState].unwritten -= length
      res.removeListener('finish', onFinish)
      unwatch(one)
      try {
        callback()
        if (lost && this[kIsBound]()) this.onError(FaultText.POLL_ABORTED)
      } finally {
        // a POST may wait for this, see lib/base/backpressure.js
        this.dataReq?.[kReleasePost]?.()
      }
    }
    const connection = connectionOf(req, res)
    const one = { req, res, onClose: () => settle(true) }
    const onFinish = () => settle(!isWritten(req, res, connection))
    res.on('finish', onFinish)
    watch(one)
  }

  /** Completes the headers of a successful response. */
  headers(req, headers = {}) {
    const agent = req.headers['user-agent']
    // old versions of Internet Explorer mistake payloads for cross-site scripting
    if (agent && OLD_IE.some((mark) => agent.includes(mark))) headers[XSS_PROTECTION[0]] = XSS_PROTECTION[1]
    headers['cache-control'] = CACHE_CONTROL
    const { session } = this[kState]
    if (this.listenerCount('headers') > 0) {
      this[kTellHeaders]()
      this.emit('headers', headers, req)
    } else if (session !== null && !this[kState].tellsHeaders) {
      session.server[kOnPollingHeaders](headers, req, session)
    }
    return headers
  }

  [kExpose](event) {
    super[kExpose](event)
    if (event === 'headers') this[kTellHeaders]()
  }

  /** Makes the server a public listener of `headers`, so that others can come before it. */
  [kTellHeaders]() {
    const { session, tellsHeaders } = this[kState]
    if (session === null || tellsHeaders) return
    this[kState].tellsHeaders = true
    this[kAdd]('headers', (headers, req) => session.server[kOnPollingHeaders](headers, req, session))
  }

  // ---- payloads ------------------------------------------------------------------------------

  /**
   * Takes a payload that does not go to the engine, because there is no session or because this method was replaced.
   */
  onData(data) {
    const take = (packet) => {
      if (packet.type !== 'close') return this[kState].awaitsClose ? undefined : this.onPacket(packet)
      debug('got xhr close packet')
      this.onClose()
      return false
    }
    if (this.protocol === 3) this.parser.decodePayload(data, take)
    else this.parser.decodePayload(data).forEach(take)
  }

  onClose() {
    // the pending poll has to be answered
    if (this.writable) this.send([{ type: 'noop' }])
    super.onClose()
  }

  // ---- the end -------------------------------------------------------------------------------

  doClose(fn) {
    debug(this.discarded ? 'transport discarded - closing right away' : 'closing')
    const { session, listened } = this[kState]
    this[kGiveUpPost]()
    clearTimeout(this[kState].closeTimer)
    const finish = () => {
      clearTimeout(this[kState].closeTimer)
      fn()
      this.onClose()
    }
    // a replaced `send` has to see the packet that ends the poll
    const isSent = this.writable && this.send !== send
    if (session !== null && session[kState].listed && !isSent) {
      this[kCloseNatively](session, finish)
    } else if (this.writable) {
      this.send([{ type: 'close' }])
      finish()
    } else if (this.discarded) {
      finish()
    } else {
      // the client gets the close packet with its next poll
      this.shouldClose = finish
      const isBound = this[kIsBound]()
      if (isBound && session.readyState === 'closing') bridge.getEngine().beginClose(session[kState].handle)
      // the next poll of an ended session is refused; this waits only for the sake of listeners of `close`
      if (session !== null && !isBound && !listened && this.closeTimeout === CLOSE_TIMEOUT) return
      this[kState].closeTimer = setTimeout(finish, this.closeTimeout)
      if (session !== null && !isBound) this[kState].closeTimer.unref()
    }
  }

  /** Closes the transport if a native listener serves the polls. */
  [kCloseNatively](session, finish) {
    const isPolled = this.writable
    this.writable = this[kState].polledNatively = false
    if (isPolled) this.emit('drain')
    const finishOnce = () => {
      this.shouldClose = null
      finish()
    }
    this.shouldClose = finishOnce
    if (this[kIsBound]()) {
      const patience = this.discarded ? undefined : Number(this.closeTimeout)
      session[kApply](bridge.getEngine().closeTransport(session[kState].handle, patience))
    }
    // the engine may have ended the session by itself, of which this thread is to hear
    if ((isPolled || this.discarded) && this.readyState !== 'closed') finishOnce()
  }

  // ---- without a session: a subclass of Server moves packets between transports itself -----------

  /** Returns a payload as it is written into a response. */
  [kWrap](payload) {
    return payload
  }
}

const { send } = Polling.prototype

/** The listener of a pending poll's `close` event. */
function onPollClose() {
  const transport = this[kTransport]
  // over HTTP/2 the request ends with its answer, and this comes before the response says whether that was written
  if (isHttp2(this) && transport.res?.writableEnded) return
  polls.delete(this[kPoll])
  transport[kOnPollClosed]()
}

function cleanupPoll() {
  const transport = this[kTransport]
  this.removeListener('close', onPollClose)
  polls.delete(this[kPoll])
  if (transport.req === this) transport.req = transport.res = null
}

function noop() {}

takeOver(Polling, posting)

OUR_ON_DATA.add(Polling.prototype.onData)

module.exports = { Polling }
