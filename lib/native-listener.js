'use strict'

const { EventEmitter } = require('events')
const bridge = require('./bridge')
const { ListenerRequest, ListenerSocket } = require('./listener-request')
const { ListenerResponse } = require('./listener-response')
const { compressionOf } = require('./options')
const { Server } = require('./server')
const { Socket } = require('./socket')
const { NativeWebSocketServer } = require('./websocket-server')

const EMPTY = Buffer.alloc(0)

/** What shows requests to JavaScript when it is replaced. */
const HOOKS = ['prepare', 'verify', '_applyMiddlewares', 'handleRequest']

/** The same for handshakes alone. */
const HANDSHAKE_HOOKS = ['generateId', 'handshake', 'createTransport', 'upgrades', 'handleUpgrade', 'onWebSocket']
const SOCKET_HOOKS = ['onOpen', 'sendPacket', 'flush', 'setTransport', 'getAvailableUpgrades']

/** Whoever hears one of these sees handshakes. */
const HANDSHAKE_EVENTS = new Set(['initial_headers', 'headers', 'flush', 'drain'])

/** Options that are looked at when they are set: the engine goes by them without asking. */
const OPTIONS = ['pingTimeout', 'pingInterval', 'upgradeTimeout', 'maxHttpBufferSize', 'transports', 'allowUpgrades']
OPTIONS.push('allowRequest', 'httpCompression', 'perMessageDeflate', 'cookie', 'initialPacket', 'wsEngine')

const originals = ({ prototype }, names) => Object.fromEntries(names.map((name) => [name, prototype[name]]))
const OURS = originals(Server, HOOKS.concat(HANDSHAKE_HOOKS))
const OUR_SOCKETS = originals(Socket, SOCKET_HOOKS)
const { emit } = EventEmitter.prototype
const { handleUpgrade } = NativeWebSocketServer.prototype

/** Has the Rust core accept and parse, for an engine of its own. */
function listenNatively(port, options, callback) {
  const engine = new Server(options)
  engine.httpServer = new EngineHttpServer(engine, engine._computePath(options))
  engine.httpServer.listen(port, callback)
  return engine
}

/**
 * The part of an `http.Server` that the engine's own listener has.
 *
 * Events: `listening`, `close` (when all connections are gone, too), `error`.
 */
class EngineHttpServer extends EventEmitter {
  constructor(engine, path) {
    super()
    this._engine = engine
    this._path = path
    this._number = 0
    this._address = null
    this._configured = undefined
    /** A transport wants to see its requests. */
    this._showing = false
    /** Handshakes come here, whatever else is the case: the application is not ready yet. */
    this._waiting = true
    /** Whether the server accepts connections. */
    this.listening = false
    const configure = () => this._configure()
    engine._configureListener = configure
    watchHooks(engine, configure)
    engine.opts = watchedOptions(engine.opts, configure)
    engine.on('newListener', (event) => {
      if (HANDSHAKE_EVENTS.has(event)) this._holdHandshakes()
    })
    engine.on('removeListener', configure)
    this.on('close', engine.close.bind(engine))
    this.on('listening', engine.init.bind(engine))
  }

  /** Binds all addresses of both families, as Node does without a host. */
  listen(port, listener) {
    if (typeof port === 'object' && port !== null) port = port.port
    if (typeof listener === 'function') this.once('listening', listener)
    let bound
    try {
      bound = bridge.getEngine().listen(checkedPort(port), this._path)
    } catch (error) {
      if (error.code === 'ERR_SOCKET_BAD_PORT') throw error
      process.nextTick(() => this.emit('error', listenError(error.message, port)))
      return this
    }
    this._number = bound.listener
    this._address = { address: bound.address, family: bound.family, port: bound.port }
    this._configured = undefined
    this.listening = true
    bridge.listeners[this._number & bridge.INDEX] = this
    bridge.hold()
    this._configure()
    process.nextTick(() => {
      if (!this.listening) return
      try {
        this.emit('listening')
      } finally {
        // from now on, whoever has something to say about handshakes has said it
        this._waiting = false
        this._configure()
      }
    })
    return this
  }

  /** Until the next tick handshakes come here. */
  _holdHandshakes() {
    if (!this._waiting) {
      this._waiting = true
      process.nextTick(() => {
        this._waiting = false
        this._configure()
      })
    }
    this._configure()
  }

  /** `{ address, family, port }`, or null while it does not listen. */
  address() {
    return this._address
  }

  /** Stops accepting. Calls back when all connections are gone, too. */
  close(callback) {
    if (!this.listening) {
      const error = new Error('Server is not running.')
      error.code = 'ERR_SERVER_NOT_RUNNING'
      if (callback) process.nextTick(callback, error)
      return this
    }
    if (callback) this.once('close', callback)
    this.listening = false
    this._address = null
    bridge.getEngine().closeListener(this._number)
    return this
  }

  _onClosed() {
    const { _number: number } = this
    this._number = 0
    bridge.listeners[number & bridge.INDEX] = undefined
    bridge.getEngine().dropListener(number)
    bridge.release()
    this.emit('close')
  }

  /** A transport's own methods want to see its requests: from now on all come to JavaScript. */
  _showRequests() {
    this._showing = true
    this._configure()
  }

  /** Polls and POSTs of open sessions come to JavaScript only while something there wants to see them. */
  _configure() {
    if (this._number === 0) return
    const engine = this._engine
    const direct =
      engine.middlewares.length === 0 &&
      engine.listenerCount('headers') === 0 &&
      engine.opts.backpressurePolicy !== 'wait' &&
      !(engine._limits !== undefined && engine._limits.seesPayloads) &&
      !this._showing &&
      HOOKS.every((name) => engine[name] === OURS[name])
    const limit = engine.opts.maxHttpBufferSize
    const compression = compressionOf(engine.opts.httpCompression)
    const handshakes = direct && !this._waiting ? handshakesOf(engine) : undefined
    const configured = JSON.stringify([direct, String(limit), compression, handshakes])
    if (configured === this._configured) return
    this._configured = configured
    bridge.getEngine().configureListener(this._number, Number(limit), direct, compression, handshakes)
  }

  /** The engine has opened a session by itself. */
  _onOpened(session, head) {
    this._engine._onOpened(session, head)
  }

  _onRequest(number, head, isUpgrade) {
    this._configure()
    const req = new ListenerRequest(number, this._number, head)
    const { _engine: engine } = this
    if (isUpgrade && engine.opts.transports.indexOf('websocket') !== -1) {
      const socket = new ListenerSocket(number, req)
      bridge.requests.set(number, socket)
      engine.handleUpgrade(req, socket, EMPTY)
    } else {
      const res = new ListenerResponse(number, req)
      bridge.requests.set(number, res)
      engine.handleRequest(req, res)
    }
  }
}

/** Which handshakes the engine may do by itself, and how; undefined: none. */
function handshakesOf(engine) {
  const { opts } = engine
  const isPlain =
    !(opts.allowRequest || opts.cookie || opts.initialPacket) &&
    Array.isArray(opts.transports) &&
    engine._limits === undefined &&
    engine.emit === emit &&
    !engine._hearsFlushes() &&
    engine.listenerCount('initial_headers') === 0 &&
    HANDSHAKE_HOOKS.every((name) => engine[name] === OURS[name]) &&
    SOCKET_HOOKS.every((name) => Socket.prototype[name] === OUR_SOCKETS[name])
  if (!isPlain) return undefined
  watchEach(opts, engine._configureListener)
  return {
    timing: engine._timing(),
    polling: restOfOpenPacket(engine, 'polling'),
    websocket: acceptsWebSockets(engine) ? restOfOpenPacket(engine, 'websocket') : undefined,
    maxPayload: Number(opts.maxHttpBufferSize),
  }
}

/** What an open packet says after the id; undefined: there is no such transport. */
function restOfOpenPacket(engine, transport) {
  if (engine.opts.transports.indexOf(transport) === -1) return undefined
  return engine._openPacket.text('', engine._availableUpgrades(transport), engine.opts).slice('{"sid":"'.length)
}

function acceptsWebSockets({ ws, opts }) {
  return (
    ws instanceof NativeWebSocketServer &&
    !ws.closed &&
    !opts.perMessageDeflate &&
    ws.handleUpgrade === handleUpgrade &&
    ws.listenerCount('headers') === 1
  )
}

/** The same options, watched from the start: an object whose properties become accessors later is slow for good. */
function watchedOptions(options, changed) {
  const watched = {}
  for (const name in options) {
    if (OPTIONS.includes(name)) watchOption(watched, name, Object.getOwnPropertyDescriptor(options, name), changed)
    else watched[name] = options[name]
  }
  watchEach(watched, changed)
  return watched
}

/** Watches those of the options that are not watched: all of them, or what was deleted or defined anew. */
function watchEach(options, changed) {
  for (const name of OPTIONS) {
    const property = Object.getOwnPropertyDescriptor(options, name)
    if (property === undefined || property.get === undefined) watchOption(options, name, property, changed)
  }
}

function watchOption(options, name, property, changed) {
  let value = property && property.value
  Object.defineProperty(options, name, {
    configurable: true,
    enumerable: property !== undefined && property.enumerable,
    get: () => value,
    set(changedValue) {
      value = changedValue
      Object.defineProperty(options, name, { enumerable: true })
      changed()
    },
  })
}

/** Calls back when a hook of this very server is replaced. */
function watchHooks(engine, changed) {
  for (const name of HOOKS.concat(HANDSHAKE_HOOKS)) {
    let own
    Object.defineProperty(engine, name, {
      configurable: true,
      get: () => own || Server.prototype[name],
      set(hook) {
        own = hook
        changed()
      },
    })
  }
}

function checkedPort(port) {
  const number = port === undefined || port === null || port === '' ? 0 : Number(port)
  if (Number.isInteger(number) && number >= 0 && number < 65536) return number
  const error = new RangeError(`options.port should be >= 0 and < 65536. Received ${String(port)}.`)
  error.code = 'ERR_SOCKET_BAD_PORT'
  throw error
}

function listenError(code, port) {
  const error = new Error(`listen ${code}: port ${port}`)
  return Object.assign(error, { code, syscall: 'listen', port: Number(port) })
}

module.exports = { listenNatively }
