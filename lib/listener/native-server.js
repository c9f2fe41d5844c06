'use strict'

const { serialize } = require('cookie')
const debug = require('debug')('engine')
const bridge = require('../native/bridge')
const { Opening } = require('../session/lazy-request')
const { openPacket } = require('../session/open-packet')
const { ownOf, transportOptions } = require('../base/options')
const { compressionOf, deflateOptions } = require('../native/compression')
const { ID_LENGTH, REFUSALS } = require('../native/contract')
const { content } = require('../native/packets')
const { Server } = require('../server/server')
const { proxiesOf } = require('../base/trust-proxy')
const { Socket } = require('../session/socket')
const transports = require('../transports')
const { Polling } = require('../transports/polling')
const { NativeWebSocket } = require('../native/connection')
const { NativeWebSocketServer, chunksOf } = require('../native/upgrade-server')
const {
  kAvailableUpgrades,
  kHearsFlushes,
  kMadeTransport,
  kOnOpened,
  kOnRefused,
  kOpenWebSocket,
  kPollingTransport,
  kRefusals,
  kRefuseHandshakes,
  kRegister,
  kSetTakesUpgrades,
  kSettings,
  kState,
  kTellError,
  kTellOpening,
  kTellRefusals,
  kTiming,
} = require('../base/symbols')

/** Tests for options that need requests in JavaScript. */
const REFUSED_OPTIONS = {
  allowRequest: (value) => value,
  cors: (value) => value,
  limits: (value) => value,
  cluster: (value) => value,
  cookie: (value) => value && value.encode !== undefined,
  wsEngine: (value) => value !== undefined && value !== NativeWebSocketServer,
  backpressurePolicy: (value) => value === 'wait',
}

/** Methods of a server that see requests. Requests of a native listener do not reach them. */
const METHODS = ['prepare', 'verify', '_applyMiddlewares', 'handleRequest', 'handleUpgrade', 'onWebSocket', 'handshake']
METHODS.push('generateId', 'createTransport', 'upgrades', 'attach')

/** Methods of a session that are not called when the engine opens it. */
const SOCKET_METHODS = ['onOpen', 'getAvailableUpgrades']

/** Methods of a polling transport that see requests. */
const POLLING_METHODS = ['onRequest', 'onPollRequest', 'onDataRequest', 'onData', 'headers', 'write', 'doWrite']

const originalsOf = ({ prototype }, names) => Object.fromEntries(names.map((name) => [name, prototype[name]]))
const OURS = originalsOf(Server, METHODS)
const OUR_SOCKETS = originalsOf(Socket, SOCKET_METHODS)
const { sendPacket } = Socket.prototype

/** A placeholder for an id, which needs no encoding. */
const ID = '_'.repeat(ID_LENGTH)

/** What is to be told of options in place of their name. */
const TOLD_OPTIONS = { cookie: 'cookie.encode', backpressurePolicy: "backpressurePolicy: 'wait'" }

/** Why options are refused, if not for the usual reason. */
const REASONS = {
  cluster: 'the processes pass requests on in JavaScript, and its requests do not come there',
  backpressurePolicy: 'its core reads POSTs, and does not hold them until the client has read',
}

/** Why a change of an option is refused. */
const READ_ONCE = 'its core has read the options'

/** Makes the error for something that a native listener lacks. */
function refusal(what, reason = 'its requests do not come to JavaScript') {
  const message = `A native listener does not support ${what}: ${reason}. Leave out the option listener, or see docs/NATIVE-LISTENER.md.`
  return Object.assign(new Error(message), { code: 'ERR_NATIVE_LISTENER' })
}

/** The engine of a native listener. The Rust core decides about all requests. */
class NativeServer extends Server {
  constructor(given) {
    const options = ownOf(given)
    for (const name of Object.keys(REFUSED_OPTIONS)) {
      if (REFUSED_OPTIONS[name](options[name])) throw refusal(`the option ${TOLD_OPTIONS[name] ?? name}`, REASONS[name])
    }
    for (const name of METHODS)
      if (Server.prototype[name] !== OURS[name]) throw refusal(`a replaced Server.prototype.${name}`)
    for (const name of SOCKET_METHODS) {
      if (Socket.prototype[name] !== OUR_SOCKETS[name]) throw refusal(`a replaced Socket.prototype.${name}`)
    }
    super(options)
    this[kState].proxies = proxiesOf(options.proxyProtocol)
    this[kState].options = fixed(this[kState].options)
    this[kState].isComplete = true
    Object.freeze(this.middlewares)
    for (const name of METHODS) {
      const method = NativeServer.prototype[name]
      Object.defineProperty(this, name, { __proto__: null, get: () => method, set: refuseToSet(name) })
    }
    this[kState].path = this._computePath(options)
  }

  /** The options, which cannot be changed. */
  get opts() {
    return this[kState].options
  }

  set opts(options) {
    if (this[kState].isComplete) throw refusal('a change of opts', READ_ONCE)
    this[kState].options = options
  }

  /** Does nothing: there is no WebSocket server in JavaScript. */
  init() {
    if (this.httpServer) this.httpServer[kSetTakesUpgrades](true)
  }

  cleanup() {
    this.httpServer[kSetTakesUpgrades](false)
  }

  /** @throws always: middlewares see requests */
  use() {
    throw refusal('middlewares')
  }

  attach() {
    throw refusal('attach()')
  }

  /** @returns {never} */
  handleRequest() {
    throw refusal('handleRequest()')
  }

  /** @returns {never} */
  handleUpgrade() {
    throw refusal('handleUpgrade()')
  }

  on(event, listener) {
    refuseEvent(event)
    super.on(event, listener)
    if (event === 'connection_error') this.httpServer[kTellRefusals]()
    return this
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  prependListener(event, listener) {
    refuseEvent(event)
    super.prependListener(event, listener)
    if (event === 'connection_error') this.httpServer[kTellRefusals]()
    return this
  }

  [kRefuseHandshakes]() {
    const { drain } = this[kState]
    if (drain !== undefined) this.httpServer[kRefuseHandshakes](drain.left)
  }

  /** Returns the settings of the listener. They do not change. */
  [kSettings]() {
    const { transports, cookie, perMessageDeflate, httpCompression, maxHttpBufferSize, allowEIO3 } = this.opts
    const { maxBufferedChunks, httpRequestBodyTimeout, initialPacket } = this.opts
    const open = (name) => {
      if (transports.indexOf(name) === -1) return undefined
      return openPacket('', this[kAvailableUpgrades](name), this.opts).slice('{"sid":"'.length)
    }
    this[kState].sendsInitial = Socket.prototype.sendPacket === sendPacket
    return {
      __proto__: null,
      path: this[kState].path,
      timing: this[kTiming](),
      polling: open('polling'),
      websocket: open('websocket'),
      initial: this[kState].sendsInitial && initialPacket ? content(initialPacket) : undefined,
      allowsV3: Boolean(allowEIO3),
      maxHttpBufferSize: Number(maxHttpBufferSize),
      maxBufferedChunks: Number(maxBufferedChunks),
      maxChunks: chunksOf(maxBufferedChunks),
      httpRequestBodyTimeout: Number(httpRequestBodyTimeout),
      compression: httpCompression ? ownOf(compressionOf(httpCompression)) : undefined,
      cookie: cookie ? cookieParts(cookie) : undefined,
      deflate: perMessageDeflate ? ownOf(deflateOptions(perMessageDeflate)) : undefined,
      proxies: this[kState].proxies,
    }
  }

  /** Called when the listener has refused a request. */
  [kOnRefused](why, head) {
    if (this.listenerCount('connection_error') === 0) return
    const req = new Opening(head).request
    const [code, name] = REFUSALS[why]
    this[kTellError](req, code, name === 'DRAINING' ? this[kState].drain.refusal() : contextOf(name, req))
  }

  [kRefusals]() {
    return this.httpServer[kRefusals]()
  }

  /** Called when the listener has opened a session and answered its client. */
  [kOnOpened](handle, head) {
    const opening = new Opening(head)
    const id = opening.sid
    debug('handshaking client "%s"', id)
    const { connection, query } = opening
    const transport = connection === undefined ? undefined : this[kOpenWebSocket](opening, connection, query)
    let socket
    try {
      socket = new Socket(id, this, transport, opening, query.EIO === '4' ? 4 : 3, handle)
    } catch (error) {
      // without a Socket the session would never be ended
      bridge.refuseSession(handle)
      if (transport !== undefined) transport.socket.terminate()
      Promise.reject(error)
      return
    }
    // the engine was closed meanwhile, and no longer takes connections
    if (transport !== undefined && !this.httpServer[kState].takesUpgrades) return socket.close(true)
    if (transport !== undefined) {
      // packets wait for the open packet; the transport becomes writable at the end of the turn
      transport.writable = false
      bridge.markWritten(transport)
    }
    const initial = this[kState].sendsInitial && transport === undefined ? undefined : this.opts.initialPacket
    try {
      if (this[kHearsFlushes]()) this[kTellOpening](socket, initial)
      if (initial) socket.sendPacket('message', initial)
    } catch (error) {
      // the exception of a listener; no `connection` event is emitted for this session
      socket.close(true)
      Promise.reject(error)
      return
    }
    try {
      this[kRegister](socket)
    } catch (error) {
      // an exception is a rejection, as it is behind `attach()`, where handshakes are async
      Promise.reject(error)
    }
    bridge.holdBack(socket)
  }

  /** Emits `flush` and `drain` for the open packet and, by polling, the initial packet, which the listener has sent. */
  [kTellOpening](socket, initial) {
    const { opts } = this
    const isPolling = socket[kMadeTransport]() === undefined
    const name = isPolling ? 'polling' : 'websocket'
    const packets = [
      {
        type: 'open',
        options: { compress: true },
        data: openPacket(socket.id, this[kAvailableUpgrades](name), opts),
      },
    ]
    if (opts.initialPacket && !initial)
      packets.push({ type: 'message', options: { compress: true }, data: opts.initialPacket })
    this.emit('flush', socket, packets)
    this.emit('drain', socket)
  }

  /** Makes the transport of a connection that the listener has opened. */
  [kOpenWebSocket](opening, connection, query) {
    const websocket = new NativeWebSocket(connection, opening)
    opening.websocket = websocket
    return new transports.websocket({ _query: query, websocket }, transportOptions(this.opts))
  }

  /** Makes the transport of a session that polls, at its first use. */
  [kPollingTransport](opening) {
    return new NativePolling({ _query: opening.query }, transportOptions(this.opts))
  }
}

/** HTTP long-polling that the native listener serves. Methods that would see requests cannot be replaced. */
class NativePolling extends Polling {
  on(event, listener) {
    refuseEvent(event)
    return super.on(event, listener)
  }

  prependListener(event, listener) {
    refuseEvent(event)
    return super.prependListener(event, listener)
  }
}

for (const name of POLLING_METHODS) {
  Object.defineProperty(NativePolling.prototype, name, {
    __proto__: null,
    get: () => Polling.prototype[name],
    set: refuseToSet(name),
  })
}

/** Returns the context of the `connection_error` for a refusal. */
function contextOf(name, { _query, method }) {
  const { transport, sid } = _query
  const protocol = _query.EIO === '4' ? 4 : 3
  switch (name) {
    case 'UNKNOWN_TRANSPORT':
      return { transport }
    case 'UNKNOWN_SID':
      return { sid }
    case 'BAD_HANDSHAKE_METHOD':
      return { method }
    case 'UNSUPPORTED_PROTOCOL_VERSION':
      return { protocol }
    case 'TRANSPORT_MISMATCH':
      return { name, transport, previousTransport: transport === 'polling' ? 'websocket' : 'polling' }
    case 'PROTOCOL_MISMATCH':
      return { name, protocol, previousProtocol: protocol === 4 ? 3 : 4 }
    default:
      return { name }
  }
}

function refuseEvent(event) {
  if (event === 'headers' || event === 'initial_headers') throw refusal(`listeners of ${event}`)
}

function refuseToSet(name, reason) {
  return () => {
    throw refusal(`a change of ${name}`, reason)
  }
}

/** Returns the options as an object that cannot be changed. */
function fixed(options) {
  const properties = { __proto__: null }
  for (const name of Object.keys({ ...REFUSED_OPTIONS, ...options })) {
    const value = Object.hasOwn(options, name) ? options[name] : undefined
    properties[name] = {
      __proto__: null,
      enumerable: Object.hasOwn(options, name),
      get: () => value,
      set: refuseToSet(`opts.${name}`, READ_ONCE),
    }
  }
  return Object.freeze(Object.defineProperties({}, properties))
}

/** Returns the parts of a cookie before and after the id of the session. */
function cookieParts(options) {
  const before = `${options.name}=`
  return [before, serialize(options.name, ID, options).slice(before.length + ID.length)]
}

module.exports = { NativeServer, refusal }
