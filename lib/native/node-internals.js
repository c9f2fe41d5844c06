'use strict'

// The undocumented parts of Node.js that the engine uses. They were seen with Node.js 20.20, 22.23,
// 24.21 and 26.12, on which the tests pass. Without a field the engine does what the last column says.
//
// | field | used for | without it |
// | --- | --- | --- |
// | `net.Socket#_handle` and its `fd`, `readStop`, `onread`, `close`, `bytesRead`, `bytesWritten` | a WebSocket's descriptor is taken over | the connection is piped through JavaScript (`isPristine` is false) |
// | `tls.TLSSocket#_parent` | a TLS connection has the client's address that a proxy has told below it (`proxyProtocol`) | it would have the proxy's |
// | the names `onStreamRead`, `socketListenerWrap` and `writeAfterFIN` of functions of `net` and `http` | a function of Node's is told from an application's | the connection is piped |
// | `net.Socket#_server`, `net.Server#_connections`, `net.Server#_emitCloseIfDrained` | a server counts a connection until it is over, also where its socket was collected | `server.close()` would wait for a connection whose socket was collected |
// | `_readableState` (`ended`, `endEmitted`, `dataEmitted`, `decoder`, `pipes`, `reading`) and `_writableState` (`ending`, `ended`, `finished`) of a socket | a socket without listeners shows how its connection ended | it would show a connection that was cut off |
// | `http.OutgoingMessage#_header`, `_headerSent`, `_hasBody` | a poll's response leaves as one string | `res.end(text)` writes two pieces (`canJoin` is false) |
// | `EventEmitter#_events`, `_eventsCount`, `_maxListeners` | an event without a listener costs nothing; also in lib/base/emitter.js, and as `this._events?.name` where a message is on its way | `listenerCount()` would tell the same, slower |
// | hidden classes of `net.Socket`'s options in V8 up to Node.js 21 | `cheapenAcceptedSockets` | a connect costs a fifth more |
//
// `CarriedSocket` (carried-socket.js) overrides `_writeGeneric`, `_final`, `_destroy` and `_onTimeout` of `net.Socket`,
// and its `Carrier` has the members that `net` asks a handle for. __test__/behaviour/net-socket-*.test.js would fail
// with a Node.js that asks for others.

const { OutgoingMessage } = require('http')
const net = require('net')

// ---- sockets -----------------------------------------------------------------------------------

const { write, end, destroy, push, read, emit, pause, resume, unshift, setTimeout, on } = net.Socket.prototype
const { _write, _writev, _read, _final, _destroy, _writeGeneric } = net.Socket.prototype

/** Node's own reader of handles, once it has been seen. */
let onStreamRead

/**
 * Returns whether the engine can take a socket over: it is a plain one of Node's, none of the methods that its bytes
 * pass has been replaced, and the application does not read it. All other streams are piped through JavaScript.
 */
function isPristine(socket) {
  if (Object.getPrototypeOf(socket) !== net.Socket.prototype) return false
  const isReplaced =
    socket.write !== write ||
    socket.end !== end ||
    socket.destroy !== destroy ||
    socket.push !== push ||
    socket.read !== read ||
    socket.emit !== emit ||
    socket.pause !== pause ||
    socket.resume !== resume ||
    socket.unshift !== unshift ||
    socket.setTimeout !== setTimeout ||
    socket._write !== _write ||
    socket._writev !== _writev ||
    socket._read !== _read ||
    socket._final !== _final ||
    socket._destroy !== _destroy ||
    socket._writeGeneric !== _writeGeneric ||
    (socket.on !== on && socket.on.name !== 'socketListenerWrap')
  if (isReplaced) return false
  const { data, readable, resume: resumes, pause: pauses } = socket._events
  if (data !== undefined || readable !== undefined || resumes !== undefined || pauses !== undefined) return false
  const state = socket._readableState
  if (state.pipes.length > 0 || state.decoder || socket.readableFlowing === false) return false
  return socket.writable && socket.writableLength === 0 && socket.writableCorked === 0 && isPlainHandle(socket._handle)
}

function isPlainHandle(handle) {
  if (!handle || !(handle.fd >= 0) || typeof handle.readStop !== 'function') return false
  const { onread } = handle
  if (onread !== onStreamRead || onread === undefined) {
    if (typeof onread !== 'function' || onread.name !== 'onStreamRead') return false
    onStreamRead = onread
  }
  return (
    Object.getPrototypeOf(handle) === handle.constructor.prototype &&
    !Object.hasOwn(handle, 'writeBuffer') &&
    !Object.hasOwn(handle, 'readStart')
  )
}

/** Returns the handle by which libuv reads a socket. */
function handleOf(socket) {
  return socket._handle
}

/** Replaces the handle of libuv, and returns it. */
function putHandle(socket, carrier) {
  const handle = socket._handle
  socket._handle = carrier
  // libuv never answers the read that it was asked for
  socket._readableState.reading = false
  return handle
}

/**
 * Returns whether a socket of an HTTP server has listeners besides Node's own (of `end`) and `listener` (of `error`).
 */
function hasListenersBesides(socket, listener) {
  const known = socket._events.error === listener ? 2 : 1
  return socket._eventsCount > known || typeof socket._events.end !== 'function'
}

/** Returns the stream that carries a TLS connection. */
function streamBelow(secure) {
  return secure._parent
}

/** Returns the server that has accepted a socket and counts it. */
function serverOf(socket) {
  return socket._server
}

/** Has a server count a connection that another process has accepted. Only a `net.Socket` tells it when it ends. */
function joinServer(server, socket) {
  const isCounted = socket instanceof net.Socket && typeof server?._connections === 'number'
  // one that has come back after it was asked elsewhere, this server has accepted itself
  if (!isCounted || serverOf(socket) === server) return
  Object.assign(socket, { _server: server, server })
  server._connections++
}

/** Tells a server that a connection is over whose socket cannot tell it. */
function leaveServer(server) {
  server._connections--
  if (typeof server._emitCloseIfDrained === 'function') server._emitCloseIfDrained()
}

/** Returns whether the end of the peer's side has been read or is about to be. */
function hasEnded(socket) {
  return socket._readableState.ended
}

/** Returns whether a request that an HTTP server has read from a socket before is still to be answered on it. */
function isOwedAnAnswer(socket) {
  return Boolean(socket._httpMessage)
}

/** Marks both sides of a socket without listeners as ended. */
function markEnded(socket) {
  const { _readableState: readable, _writableState: writable } = socket
  readable.ended = readable.endEmitted = true
  writable.ending = writable.ended = writable.finished = true
}

/** Marks a socket as having been read from. */
function markRead(socket) {
  socket._readableState.dataEmitted = true
}

/** Options of more shapes than V8 keeps a fast path for at one place of a program. */
const SHAPES = [
  { readable: true },
  { writable: true },
  { allowHalfOpen: true },
  { highWaterMark: 16384 },
  { emitClose: true },
]

/** Number of calls after which V8 has begun to optimise a function. */
const ROUNDS = 10

let isDone = Number.parseInt(process.versions.node, 10) >= 22

/**
 * Makes the sockets that Node's servers accept cheaper, by a fifth of what a connection behind an HTTP server costs.
 * `net.Socket` copies its options and adds to the copy. Up to Node 21, V8 makes copies fast as long as it has seen few
 * shapes of options, but then each copy that is added to gets a hidden class of its own, and every look at it misses
 * all inline caches. When it has seen more shapes, copies share a hidden class. So it is shown some, on sockets that
 * have no connection and hold nothing.
 */
function cheapenAcceptedSockets() {
  if (isDone) return
  isDone = true
  for (let round = 0; round < ROUNDS; round++) {
    // a `handle` or `fd` that was added to Object.prototype is not a connection
    for (const shape of SHAPES) new net.Socket({ ...shape, handle: undefined, fd: undefined })
  }
}

// ---- responses ---------------------------------------------------------------------------------

const { end: endResponse, write: writeResponse } = OutgoingMessage.prototype

/**
 * Ends a response of Node's, whose header is about to be written, with a text of `length` bytes. Header and text
 * leave as one string: `res.end(text)` has Node gather two pieces with `writev`, which takes longer.
 */
function endWith(res, text, length) {
  if (!canJoin(res, text, length)) return res.end(text)
  res._header += text
  res.end()
}

/**
 * Returns whether header and text can be joined: the header is written as Latin-1, and replaced methods have to see the
 * writes.
 */
function canJoin(res, text, length) {
  return (
    typeof text === 'string' &&
    text.length === length &&
    typeof res._header === 'string' &&
    res._headerSent === false &&
    res._hasBody === true &&
    res.chunkedEncoding === false &&
    !res.strictContentLength &&
    res.end === endResponse &&
    res.write === writeResponse
  )
}

module.exports = {
  cheapenAcceptedSockets,
  endWith,
  handleOf,
  hasEnded,
  hasListenersBesides,
  isOwedAnAnswer,
  isPristine,
  joinServer,
  leaveServer,
  markEnded,
  markRead,
  putHandle,
  serverOf,
  streamBelow,
}
