'use strict'

// The POSTs of a polling transport: reading them, handing their packets over, answering them.

const { whenHeard } = require('../base/backpressure')
const bridge = require('../native/bridge')
const { BINARY_PAYLOAD_TYPE, ErrorCode, FaultText, Kind, POST_ANSWER, POST_ANSWER_TYPE } = require('../native/contract')
const { posts } = require('../native/duties')
const { abortRequest, failRequest, refuseAfter } = require('./errors')
const { endWith } = require('../native/node-internals')
const { readBody } = require('./read-body')
const { Transport } = require('./transport')
const {
  kApply,
  kBeginPost,
  kConfirmPost,
  kEmitError,
  kEndPost,
  kFail,
  kGiveUpPost,
  kHandOver,
  kIsBound,
  kNotice,
  kOnPostUnbound,
  kOverlapStatus,
  kPutOff,
  kReadBody,
  kReadPost,
  kRefusesPayload,
  kState,
  kTakeClose,
} = require('../base/symbols')

const { onPacket } = Transport.prototype

/**
 * Versions of `onData` of which the engine does the work, unless they are replaced. Each class of polling transports adds
 * its own.
 */
const OUR_ON_DATA = new Set()

/**
 * The POSTs of a polling transport, which takes these members over.
 *
 * @satisfies {ThisType<import('./polling').Polling>}
 */
const posting = {
  /** Takes a POST. */
  onDataRequest(req, res) {
    if (this.dataReq) return refuseAfter(res, () => this.onError(FaultText.DATA_OVERLAP), res[kOverlapStatus])
    const isBinary = req.headers['content-type'] === BINARY_PAYLOAD_TYPE
    if (isBinary && this.protocol === 4) return refuseAfter(res, () => this.onError(FaultText.INVALID_CONTENT))
    const session = this[kState].session
    if (session === null) return this[kOnPostUnbound](req, res)
    // the session may have ended after the request was checked
    const mayStart = this[kIsBound]() && bridge.fast.postStarted(session[kState].handle) === null
    if (!mayStart) {
      if (this[kIsBound]() && bridge.outcome[0] === Kind.DUE) this[kPutOff](session, req, res)
      else res.writeHead(400).end()
      return
    }
    if (session[kState].idle) session.server[kState].limits.heard(session)
    this[kBeginPost](req, res)
    whenHeard(session, req, () => this[kReadPost](session, req, res, isBinary))
  },

  [kBeginPost](req, res) {
    this.dataReq = req
    this.dataRes = res
    this[kState].post = posts.add(this)
  },

  /** Ends the POST in progress, which was read or given up. It is answered next, or its connection has ended. */
  [kEndPost]() {
    this.dataReq = this.dataRes = null
    posts.delete(this[kState].post)
  },

  [kReadPost](session, req, res, isBinary) {
    this[kReadBody](req, res, {
      onEnd: (body) => {
        try {
          if (this[kRefusesPayload](session, req, res, body, isBinary)) return
          try {
            // packets that listeners or replaced methods have to see are decoded here
            const isPlain = OUR_ON_DATA.has(this.onData) && this.onPacket === onPacket && !this[kState].showsPackets
            // what was replaced on the session, or listens to it, may have come without its methods
            if (session.readyState === 'open') session[kNotice]()
            if (this[kIsBound]())
              session[kApply](bridge.fast.postFinished(session[kState].handle, isPlain ? body : undefined, isBinary))
            if (!isPlain) this[kHandOver](body, isBinary)
            // a packet may have ended the session; one that closes the transport may be behind it
            else if (this.readyState === 'closing') this[kTakeClose](body, isBinary)
          } finally {
            this[kConfirmPost](req, res)
          }
        } finally {
          this[kEndPost]()
        }
      },
      onAborted: () => {
        this[kEndPost]()
        if (this[kIsBound]()) session[kApply](bridge.fast.postFinished(session[kState].handle, undefined, false))
        this.onError(FaultText.DATA_ABORTED)
      },
    })
  },

  [kConfirmPost](req, res) {
    // text/html keeps old mobile browsers from offering a download of form posts
    const headers = { 'Content-Type': POST_ANSWER_TYPE, 'Content-Length': String(POST_ANSWER.length) }
    try {
      res.writeHead(200, this.headers(req, headers))
    } catch (error) {
      // a listener threw, or added what no header can be
      failRequest(res)
      throw error
    }
    endWith(res, POST_ANSWER, POST_ANSWER.length)
  },

  /** Refuses a POST with more packets than `limits` allow. */
  [kRefusesPayload](session, req, res, body, isBinary) {
    const { server } = session
    if (server[kState].limits === undefined) return false
    const engine = bridge.getEngine()
    const objection = server[kState].limits.checkPayload((limit) =>
      engine.hasMorePackets(session[kState].handle, body, isBinary, limit),
    )
    if (objection === undefined) return false
    session[kApply](bridge.fast.postFinished(session[kState].handle, undefined, false))
    try {
      server[kEmitError](req, ErrorCode.BAD_REQUEST, objection)
    } finally {
      abortRequest(res, ErrorCode.BAD_REQUEST, [], objection)
      session[kFail]('too many packets')
    }
    return true
  },

  /** Takes a close packet of a payload whose other packets have been taken. */
  [kTakeClose](body, isBinary) {
    this[kState].awaitsClose = true
    try {
      this[kHandOver](body, isBinary)
    } finally {
      this[kState].awaitsClose = false
    }
  },

  [kHandOver](body, isBinary) {
    this.onData(isBinary ? body : body.toString())
  },

  /** Reads the body of a POST. One that is not allowed is refused, and its connection ended. */
  [kReadBody](req, res, { onEnd, onAborted }) {
    const onRefused = (status, message) => {
      try {
        res.writeHead(status).end()
        this.onError(message)
      } finally {
        this[kEndPost]()
        req.destroy()
      }
    }
    readBody(req, this.opts, { onEnd, onAborted, onRefused })
  },

  /** Gives up the POST that is being read, because the transport closes. */
  [kGiveUpPost]() {
    if (this.dataReq) this.dataReq.destroy()
  },

  [kOnPostUnbound](req, res) {
    this[kBeginPost](req, res)
    this[kReadBody](req, res, {
      onEnd: (body) => {
        try {
          this[kHandOver](body, false)
        } finally {
          try {
            this[kConfirmPost](req, res)
          } finally {
            this[kEndPost]()
          }
        }
      },
      onAborted: () => {
        this[kEndPost]()
        this.onError(FaultText.DATA_ABORTED)
      },
    })
  },
}

module.exports = { OUR_ON_DATA, posting }
