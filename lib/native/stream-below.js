'use strict'

/**
 * What a connection has below it. The connection tells it what happens, and does not ask what kind of stream it is:
 *
 * - a `Carrier` (lib/native/carrier.js): the handle of a net.Socket whose bytes an I/O thread carries,
 * - a `Pump` (lib/native/stream-carrier.js): a stream whose bytes JavaScript carries,
 * - an `Opening` (lib/session/lazy-request.js): the request of a client of the native listener, which has no socket here.
 *
 * What stands here is for those of which the connection's events ask nothing.
 */
class StreamBelow {
  /** Returns what applications see as the stream: `_socket` of the WebSocket. */
  below() {
    return undefined
  }

  /** Returns the net.Socket that the engine carries, as long as it exists. */
  alive() {
    return undefined
  }

  /** Returns the net.Socket if the application has ended or destroyed it, past the WebSocket. */
  endedSocket() {
    return undefined
  }

  /** Returns whether the ends of session and WebSocket wait for the stream's `close`, which is still to come. */
  awaitsClose() {
    return false
  }

  /** Returns whether the stream has closed without being heard. Called while its `close` is awaited. */
  hasClosedUnheard() {
    return false
  }

  /** Returns whether everything that the peer has sent has come before an end of this kind. */
  isOrderly() {
    return true
  }

  /** Stops waiting for the `close` of a stream that has not closed for a long time. */
  giveUp() {}

  /** Called when there are bytes or an end for the stream. */
  onPipeReady() {}

  /** Called with a copy of bytes that came in. */
  onBytes() {}

  /** Called when everything that was handed over is written. */
  onDrained() {}

  /** Called when the connection is over, before its handle is given back. */
  onEnded() {}

  /** Called when the handle has been given back. */
  onReleased() {}

  /** Called when the connection has ended and the stream's `close` is awaited: the stream has to end in the same way. */
  endAs() {}

  /** Called when the connection has ended and nothing is awaited. */
  onClosed() {}
}

/** Whether the application has ended our side of the stream, past the WebSocket. */
StreamBelow.prototype.hasEnded = false

module.exports = { StreamBelow }
