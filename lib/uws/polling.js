'use strict'

const bridge = require('../native/bridge')
const { POST_ANSWER, POST_ANSWER_TYPE } = require('../native/contract')
const { failRequest } = require('../transports/errors')
const { Polling: NodePolling } = require('../transports/polling')
const { compressionOf } = require('../native/compression')
const {
  kBeginPost,
  kCompressFirst,
  kConfirmPost,
  kEndPost,
  kGiveUpPost,
  kIsBound,
  kIsOpen,
  kIsPromised,
  kOnPollClosed,
  kSetsNoLength,
  kState,
  kWriteHead,
} = require('../base/symbols')

/**
 * HTTP long-polling over uWebSockets.js, which writes the lengths of bodies by itself. The other differences from
 * polling over Node's server are those of the original: the headers of a POST's answer are made when the POST begins,
 * those of a compressed answer when it has been compressed, a POST goes on when its session ends, and there is no
 * polling by script tags.
 */
class Polling extends NodePolling {
  get [kSetsNoLength]() {
    return true
  }

  [kBeginPost](req, res) {
    super[kBeginPost](req, res)
    try {
      req[kState].postHeaders = this.headers(req, { 'Content-Type': POST_ANSWER_TYPE })
    } catch (error) {
      // a listener threw, but the client must not wait for ever
      if (this[kIsBound]()) bridge.fast.postFinished(this[kState].session[kState].handle, undefined, false)
      this[kEndPost]()
      failRequest(res)
      throw error
    }
  }

  [kConfirmPost](req, res) {
    try {
      res.writeHead(200, req[kState].postHeaders)
    } catch (error) {
      // a listener added an invalid header
      failRequest(res)
      throw error
    }
    res.end(POST_ANSWER)
  }

  /** Writes a compressed response. Its headers are made after the compression. */
  [kCompressFirst](data, encoding, headers, callback) {
    const { req, res } = this
    res[kIsPromised] = true
    bridge.compress(data, encoding, compressionOf(this.opts.httpCompression), (bytes) => {
      // the client has gone, or the poll was refused
      if (!res[kIsOpen]()) return
      if (bytes === undefined) {
        res.writeHead(500).end()
        return callback()
      }
      headers['Content-Encoding'] = encoding
      this[kWriteHead](req, res, headers)
      res.end(bytes)
      callback()
    })
  }

  [kGiveUpPost]() {}

  [kOnPollClosed]() {
    this.writable = false
    super[kOnPollClosed]()
  }
}

module.exports = { Polling }
