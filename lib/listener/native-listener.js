'use strict'

const dns = require('dns')
const { EventEmitter } = require('events')
const { setImmediate } = require('timers')
const { getSystemErrorMap } = require('util')
const bridge = require('../native/bridge')
const { INDEX_MASK, NO_HANDLE } = require('../native/contract')
const { NativeServer, refusal } = require('./native-server')
const { ownOf } = require('../base/options')
const {
  kBind,
  kBindLater,
  kDrop,
  kFind,
  kOnClosed,
  kOnOpened,
  kOnRefused,
  kOpen,
  kRefusals,
  kRefuseHandshakes,
  kSetTakesUpgrades,
  kSettings,
  kState,
  kTellRefusals,
} = require('../base/symbols')
const { keep, State } = require('../base/state')

/** Arguments of `net.Server.listen` that a native listener does not support. */
const REFUSED = ['fd', 'handle', '_handle', 'readableAll', 'writableAll']

const BACKLOG = 511

/** Makes an engine for which the Rust core accepts and parses, see docs/NATIVE-LISTENER.md. */
function listenNatively(target, options, callback) {
  const engine = new NativeServer(options)
  engine.httpServer = new NativeListener(engine)
  const { host, backlog, ipv6Only, reusePort } = ownOf(options)
  engine.httpServer.listen(
    { ...defined({ host, backlog, ipv6Only, reusePort }), ...defined(targetOf([target])) },
    callback,
  )
  return engine
}

/**
 * The `httpServer` of an engine with a native listener. It lacks most members of an `http.Server`.
 *
 * Events: `listening`, `close` (when all connections are gone, too), `error`.
 */
class NativeListener extends EventEmitter {
  constructor(engine) {
    super()
    keep(this, new State())
    this[kState].engine = engine
    /** The handle of the engine's listener; 0 if there is none. */
    this[kState].handle = NO_HANDLE
    this[kState].address = null
    this[kState].takesUpgrades = true
    this[kState].hearsRefusals = false
    /** Whether the listener keeps the process alive. */
    this[kState].isReferenced = true
    /**
     * Counts calls of `listen()` and `close()`, so that an address that was looked up for an earlier call is ignored.
     */
    this[kState].attempt = 0
    this[kState].isBinding = false
    /** Whether it accepts connections. */
    this.listening = false
    this.on('close', engine.close.bind(engine))
    this.on('listening', engine.init.bind(engine))
  }

  /**
   * Listens as `net.Server.listen` does: at a port, at a path, or as an object of options says.
   *
   * @throws {Error} `ERR_SERVER_ALREADY_LISTEN`, `ERR_SOCKET_BAD_PORT`, `ERR_NATIVE_LISTENER`; errors of the
   *   system are events `error`
   */
  listen(...args) {
    const callback = args.length > 0 && typeof args[args.length - 1] === 'function' ? args.pop() : undefined
    const target = targetOf(args)
    if (this.listening || this[kState].isBinding) {
      const error = new Error('Listen method has been called more than once without closing.')
      throw Object.assign(error, { code: 'ERR_SERVER_ALREADY_LISTEN' })
    }
    if (callback !== undefined) this.once('listening', callback)
    const { signal } = target
    if (signal !== undefined) {
      if (signal.aborted) {
        process.nextTick(() => this.close())
      } else {
        const onAbort = () => this.close()
        signal.addEventListener('abort', onAbort)
        this.once('close', () => signal.removeEventListener('abort', onAbort))
      }
    }
    const attempt = ++this[kState].attempt
    if (target.host === undefined) {
      this[kBind](target)
      return this
    }
    this[kState].isBinding = true
    dns.lookup(target.host, (error, address) => {
      if (attempt !== this[kState].attempt) return
      this[kState].isBinding = false
      if (error) this.emit('error', error)
      else this[kBind]({ ...target, host: address })
    })
    return this
  }

  [kBind](target) {
    const { path, port, host, backlog, ipv6Only, reusePort } = target
    const engine = bridge.getEngine()
    const isNew = this[kState].handle === NO_HANDLE
    if (isNew) this[kOpen](engine)
    // the port may still belong to this listener, if that was closed just before
    const isClosing = engine.isAccepting(this[kState].handle)
    try {
      const options = {
        __proto__: null,
        path,
        port,
        host,
        backlog: backlogOf(backlog),
        ipv6Only: Boolean(ipv6Only),
        reusePort: Boolean(reusePort),
      }
      this[kState].address = engine.bindListener(this[kState].handle, options) || path
    } catch (error) {
      if (isClosing) return this[kBindLater](target)
      if (isNew) this[kDrop]()
      process.nextTick(() => this.emit('error', listenError(error.message, { path, port, host })))
      return
    }
    this.listening = true
    process.nextTick(() => {
      if (this.listening) this.emit('listening')
    })
  }

  [kBindLater](target) {
    const attempt = this[kState].attempt
    this[kState].isBinding = true
    setImmediate(() => {
      if (attempt !== this[kState].attempt) return
      this[kState].isBinding = false
      this[kBind](target)
    })
  }

  [kOpen](engine) {
    this[kState].handle = engine.openListener(this[kState].engine[kSettings]())
    bridge.listeners[this[kState].handle & INDEX_MASK] = this
    if (this[kState].isReferenced) bridge.hold()
    if (this[kState].hearsRefusals) engine.tellRefusals(this[kState].handle)
    this[kState].engine[kRefuseHandshakes]()
  }

  [kDrop]() {
    const handle = this[kState].handle
    this[kState].engine[kState].counts.refusedNatively(this[kRefusals]())
    this[kState].handle = NO_HANDLE
    bridge.listeners[handle & INDEX_MASK] = undefined
    bridge.getEngine().dropListener(handle)
    if (this[kState].isReferenced) bridge.release()
  }

  /** `{ address, family, port }` or a path; null while it does not listen. */
  address() {
    return this[kState].address
  }

  /** Stops accepting. Calls back when all connections have ended. */
  close(callback) {
    this[kState].attempt++
    this[kState].isBinding = false
    if (!this.listening) {
      const error = Object.assign(new Error('Server is not running.'), { code: 'ERR_SERVER_NOT_RUNNING' })
      if (callback) process.nextTick(callback, error)
      return this
    }
    if (callback) this.once('close', callback)
    this.listening = false
    this[kState].address = null
    bridge.getEngine().closeListener(this[kState].handle)
    return this
  }

  /** Calls back with the number of open connections. */
  getConnections(callback) {
    const open =
      this[kState].handle === NO_HANDLE
        ? 0
        : bridge.getEngine().openConnections(this[kState].handle) - Number(this.listening)
    process.nextTick(callback, null, open)
    return this
  }

  /** Keeps the process alive, which it does unless told otherwise. */
  ref() {
    if (!this[kState].isReferenced && this[kState].handle !== NO_HANDLE) bridge.hold()
    this[kState].isReferenced = true
    return this
  }

  unref() {
    if (this[kState].isReferenced && this[kState].handle !== NO_HANDLE) bridge.release()
    this[kState].isReferenced = false
    return this
  }

  /** Starts or stops accepting WebSockets. */
  [kSetTakesUpgrades](takes) {
    this[kState].takesUpgrades = takes
    if (this[kState].handle !== NO_HANDLE) bridge.getEngine().setTakesUpgrades(this[kState].handle, takes)
  }

  /** Refuses new sessions from now on, whose clients may try again in `patience` ms. */
  [kRefuseHandshakes](patience) {
    if (this[kState].handle !== NO_HANDLE) bridge.getEngine().drainListener(this[kState].handle, Math.max(0, patience))
  }

  /** Has refusals reported, because `connection_error` has a listener. */
  [kTellRefusals]() {
    this[kState].hearsRefusals = true
    if (this[kState].handle !== NO_HANDLE) bridge.getEngine().tellRefusals(this[kState].handle)
  }

  /** Returns how often it has refused a request, by the numbers of the reasons. */
  [kRefusals]() {
    return this[kState].handle === NO_HANDLE ? [] : bridge.getEngine().refusals(this[kState].handle)
  }

  /** Finds a session that polls. */
  [kFind](sid) {
    return this[kState].handle === NO_HANDLE
      ? undefined
      : bridge.sessionOf(bridge.getEngine().findSession(this[kState].handle, sid))
  }

  [kOnOpened](session, head) {
    this[kState].engine[kOnOpened](session, head)
  }

  [kOnRefused](why, head) {
    this[kState].engine[kOnRefused](why, head)
  }

  /** Called when the listener has closed and all its connections have ended. */
  [kOnClosed]() {
    if (this.listening) return
    this[kDrop]()
    this.emit('close')
  }
}

/** Returns the arguments of `net.Server.listen`, without the callback, as one object. */
function targetOf(args) {
  const [first, ...rest] = args
  if (typeof first === 'object' && first !== null) return checked(ownOf(first))
  const backlog = rest.find((arg) => typeof arg === 'number')
  if (typeof first === 'string' && !(Number(first) >= 0)) return checked(defined({ path: first, backlog }))
  return checked(
    defined({ port: first === undefined ? null : first, host: rest.find((arg) => typeof arg === 'string'), backlog }),
  )
}

function checked(given) {
  const target = ownOf(given)
  for (const name of REFUSED)
    if (target[name] !== undefined) throw refusal(`listening on { ${name} }`, 'its core makes the socket')
  const hasPort = typeof target.port === 'number' || typeof target.port === 'string'
  if (!hasPort && typeof target.path === 'string' && target.path !== '') {
    return { ...target, __proto__: null, port: undefined, host: undefined }
  }
  const isAny = 'port' in target && (target.port === undefined || target.port === null)
  if (!hasPort && !isAny) {
    const error = new TypeError('The argument \'options\' must have the property "port" or "path".')
    throw Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' })
  }
  const { port } = target
  const number = isAny ? 0 : Number(port)
  if (!Number.isInteger(number) || number < 0 || number > 65535 || (typeof port === 'string' && port.trim() === '')) {
    const error = new RangeError(`options.port should be >= 0 and < 65536. Received ${String(port)}.`)
    throw Object.assign(error, { code: 'ERR_SOCKET_BAD_PORT' })
  }
  return { ...target, __proto__: null, path: undefined, port: number, host: target.host || undefined }
}

function backlogOf(backlog) {
  return backlog > 0 ? Math.min(Math.floor(backlog), 0x7fffffff) : BACKLOG
}

function defined(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

/** Returns Node's error for the result of a system call: by its number, or by its text if it has no number. */
function listenError(reason, { path, port, host = '::' }) {
  const [code, text] = getSystemErrorMap().get(-Number(reason)) || [reason, reason]
  const where = path === undefined ? `${host}:${port}` : path
  const error = new Error(`listen ${code}: ${text} ${where}`)
  Object.assign(error, { code, errno: -Number(reason), syscall: 'listen', address: path === undefined ? host : path })
  return path === undefined ? Object.assign(error, { port }) : error
}

module.exports = { listenNatively }
