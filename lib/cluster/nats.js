'use strict'

const { kindOf } = require('../base/shown')

/** Bytes that may be on their way to the server. The connection keeps what it cannot send, without a bound. */
const MAX_UNSENT = 8 << 20

/** Bytes after which the server is asked whether it has them. */
const FLUSHED = 256 << 10

/** By default a connection is closed after some 20 s without its server. */
const CLOSED = 'the connection to NATS is closed for good: give connect() the option maxReconnectAttempts: -1'

/** Publish and subscribe of NATS, over a connection of `nats` or of `@nats-io/transport-node`. */
class NatsBus {
  constructor(connection) {
    this._connection = connection
    this._subscriptions = new Map()
    this._unsent = 0
    this._isFlushing = false
  }

  publish(channel, message) {
    if (this._connection.isClosed?.()) throw new Error(CLOSED)
    if (this._unsent > MAX_UNSENT) throw new Error('the connection to NATS does not send')
    this._connection.publish(channel, message)
    this._unsent += message.length
    if (this._unsent > FLUSHED && !this._isFlushing) this._flush()
  }

  _flush() {
    const sent = this._unsent
    this._isFlushing = true
    // a connection that breaks drops what it has kept
    const onSent = () => {
      this._unsent -= sent
      this._isFlushing = false
    }
    this._connection.flush().then(onSent, onSent)
  }

  async subscribe(channel, onMessage) {
    let refusal
    const callback = (error, message) => {
      if (error) refusal = error
      else onMessage(message.data)
    }
    const subscription = this._connection.subscribe(channel, { callback })
    this._subscriptions.set(onMessage, subscription)
    try {
      // a server that refuses the channel says so before it answers this
      await this._connection.flush()
      if (refusal !== undefined) throw refusal
    } catch (error) {
      // it is tried again, and must not get messages twice then
      subscription.unsubscribe()
      throw error
    }
  }

  unsubscribe(channel, onMessage) {
    this._subscriptions.get(onMessage)?.unsubscribe()
    this._subscriptions.delete(onMessage)
  }
}

/**
 * Makes a bus of a connection of `nats` or of `@nats-io/transport-node`.
 *
 * @param {any} connection
 */
function nats(connection) {
  if (typeof connection?.publish !== 'function' || typeof connection.flush !== 'function') {
    throw new TypeError(
      `nats() takes a connection of the package nats or @nats-io/transport-node, got ${kindOf(connection)}`,
    )
  }
  return new NatsBus(connection)
}

module.exports = { nats }
