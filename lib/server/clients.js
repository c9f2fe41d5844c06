'use strict'

const { inspect } = require('util')
const bridge = require('../native/bridge')
const { kFind, kState } = require('../base/symbols')

/** A table that is filled when it is first used, see `Clients`. */
class LazyTable {
  /** @param {(table: object) => void} fill */
  constructor(fill) {
    this.table = {}
    const traps = {}
    const look = () => {
      for (const name of Object.keys(traps)) delete traps[name]
      delete this.table[inspect.custom]
      fill(this.table)
    }
    for (const name of TRAPS) {
      traps[name] = (...args) => {
        look()
        return Reflect[name](...args)
      }
    }
    // `util.inspect` reads the target of a proxy
    const show = function () {
      look()
      return this
    }
    Object.defineProperty(this.table, inspect.custom, { __proto__: null, value: show, configurable: true })
    this.proxy = new Proxy(this.table, traps)
  }
}

const TRAPS = Reflect.ownKeys(Reflect).filter(
  (name) => typeof Reflect[name] === 'function' && name !== 'apply' && name !== 'construct',
)

/**
 * The open sessions of a server by their ids. Once `server.clients` has been used, that object is the table, because
 * applications may write to it. A string that becomes a key of an object is copied to V8's old space, which only full
 * collections free; that costs 2 us per session. So `server.clients` is a proxy of an empty table until it is first
 * used, and ids are in a Map until then. With a native listener the engine finds the sessions that poll.
 */
class Clients {
  constructor(server) {
    this._server = server
    /** Whether the engine finds some of the sessions. */
    this._inEngine = false
    /**
     * The other sessions, until the table is first used: their handles, or the sessions themselves if they have no
     * handle any more. A Map that has grown keeps its old tables alive for long, and handles keep sessions out of them.
     */
    this._others = new Map()
    const lazy = new LazyTable((table) => this._fill(table))
    this._table = lazy.table
    /** The first value of `server.clients`. */
    this.public = lazy.proxy
    this._displaced = undefined
    /** The last id that was made for a future session. */
    this._made = undefined
  }

  /** Fills the table on its first use. Sessions are found there from now on. */
  _fill(table) {
    const all = this._entries()
    this._others = undefined
    for (const client of all) table[client[kState].key] = client
    // the application may find any of them now
    this._server[kState].cluster?.hearAll()
  }

  /** Whether the application has used the table. */
  get isUsed() {
    return this._object !== undefined
  }

  /** The table, or undefined if it has not been used yet. */
  get _object() {
    const { clients } = this._server
    if (clients === this.public) return this._others === undefined ? this._table : undefined
    // the application has replaced the table, and may hold this one
    if (this._others !== undefined) Reflect.ownKeys(this.public)
    return clients
  }

  get(id) {
    const table = this._object
    if (table === undefined) return this._find(String(id))
    const client = table[id]
    if (client === undefined) return undefined
    // otherwise it may be a property of Object.prototype
    return client?.[kState]?.key === id || Object.hasOwn(table, id) ? client : undefined
  }

  _find(id) {
    const other = sessionOf(this._others.get(id))
    if (other !== undefined || !this._inEngine) return other
    const session = this._server.httpServer[kFind](id)
    return this._isOpen(session) ? session : undefined
  }

  /**
   * Remembers an id of the engine's generator. No session has it, as it is 120 random bits, so that it need not be
   * looked up.
   */
  expect(id) {
    this._made = id
  }

  /** Adds a session. Of two sessions with one id, the younger is found. */
  add(client) {
    const key = String(client.id)
    const isNew = key === this._made || client[kState].opening !== undefined
    this._made = undefined
    const older = isNew ? undefined : this.get(key)
    if (older !== undefined) (this._displaced ||= new Set()).add(older)
    // the application may change or delete the id
    client[kState].key = key
    this._enter(client)
  }

  _enter(client) {
    const table = this._object
    if (table !== undefined) table[client[kState].key] = client
    else if (client[kState].listed) this._inEngine = true
    else this._others.set(client[kState].key, client[kState].handle || client)
  }

  /** Keeps a session by itself before it gives its handle back. */
  detach(client) {
    const { key, listed } = client[kState]
    if (this._object !== undefined || key === undefined || listed) return
    if (sessionOf(this._others.get(key)) === client) this._others.set(key, client)
  }

  remove(client) {
    this._leave(client)
    client[kState].key = undefined
  }

  _leave(client) {
    if (this._displaced !== undefined && this._displaced.delete(client)) return
    const { key } = client[kState]
    const table = this._object
    if (table === undefined) {
      if (!client[kState].listed && this._others.get(key) === client) this._others.delete(key)
    } else if (table[key] === client) {
      delete table[key]
    }
    if (this._displaced !== undefined) this._replace(client)
  }

  /** Makes an older session with the same id be found again after the end of the younger. */
  _replace(client) {
    let older
    for (const other of this._displaced) if (other[kState].key === client[kState].key) older = other
    if (older === undefined) return
    this._displaced.delete(older)
    this._enter(older)
  }

  /** Returns all open sessions. */
  all() {
    return this._object === undefined ? this._entries() : [...(this._displaced || []), ...Object.values(this._object)]
  }

  /** Returns the entries of all open sessions before the table is used. */
  _entries() {
    const displaced = this._displaced || []
    const others = [...displaced, ...Array.from(this._others.values(), sessionOf)]
    if (!this._inEngine) return others
    return others.concat(bridge.sessions.filter((session) => this._isOpen(session) && session[kState].listed))
  }

  _isOpen(session) {
    return session !== undefined && session.server === this._server && session[kState].key !== undefined
  }
}

/** Returns the session of an entry, which is the session itself or its handle. */
function sessionOf(entry) {
  return typeof entry === 'number' ? bridge.sessionOf(entry) : entry
}

module.exports = { Clients }
