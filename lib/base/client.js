'use strict'

// Whether the client of a request is still there, and has the response. A client may send a request behind one that waits.
// Node queues the response to it, which gets the connection when it is its turn, and hears nothing of the connection's
// end before: there is no `close`, and `destroyed` stays false. The request has the connection from the start. Its own
// `close` does not help, because that comes once its body has been read.

/** What waits for the end of a response. */
const kWaits = Symbol('waits')

/** The connection of a queued response, if something waits for the end of that. */
const kQueuedAt = Symbol('queuedAt')

/** What waits for the ends of queued responses, by their connections, which have one listener each. */
const queued = new WeakMap()

/** Returns the connection of a response, or that which it will get. */
function connectionOf(req, res) {
  return res.socket ?? req.socket
}

/** Returns whether the client of a request has gone. A response over HTTP/2 has no socket either then. */
function hasGone(req, res) {
  return res.destroyed || (!res.socket && Boolean(req.socket?.destroyed))
}

/** Returns whether a request needs no answer any more. */
function isOver(req, res) {
  return res.headersSent || hasGone(req, res)
}

/**
 * Returns whether a response that has been ended waits to be written. Over HTTP/2 it waits in a stream of its own, also if
 * the connection takes more, and a queued response waits in itself.
 */
function isWaiting(req, res) {
  const { socket } = res
  return (socket && !isHttp2(req) ? socket : res).writableLength > 0
}

/** Returns whether a response has been written that emits `finish`. This comes even if the connection broke under it. */
function isWritten(req, res, connection) {
  // over HTTP/2 the stream is over by then in any case
  return isHttp2(req) ? res.writableFinished : !connection?.destroyed
}

/** Returns whether a request has come over HTTP/2, where its connection is a stream that ends with the response. */
function isHttp2(req) {
  return req.httpVersionMajor === 2
}

/**
 * Calls `onClose` of this object when its response has been written, or its client has gone, until `unwatch`.
 *
 * @param {{req: any, res: any, onClose: () => void}} one
 */
function watch(one) {
  const { req, res } = one
  res[kWaits] = one
  res.on('close', onResponseClose)
  if (!res.socket && req.socket) watchConnection(req.socket, one)
}

function unwatch(one) {
  const { res } = one
  res.removeListener('close', onResponseClose)
  if (res[kQueuedAt] !== undefined) unwatchConnection(res[kQueuedAt], one)
}

function onResponseClose() {
  this[kWaits].onClose()
}

function watchConnection(connection, one) {
  let all = queued.get(connection)
  if (all === undefined) {
    queued.set(connection, (all = new Set()))
    connection.on('close', onConnectionClose)
  }
  all.add(one)
  one.res[kQueuedAt] = connection
}

function unwatchConnection(connection, one) {
  one.res[kQueuedAt] = undefined
  const all = queued.get(connection)
  all.delete(one)
  if (all.size > 0) return
  queued.delete(connection)
  connection.removeListener('close', onConnectionClose)
}

function onConnectionClose() {
  // the last one may have left in this very event, because its response has got the connection
  for (const one of [...(queued.get(this) ?? [])]) one.onClose()
}

module.exports = { connectionOf, hasGone, isHttp2, isOver, isWaiting, isWritten, unwatch, watch }
