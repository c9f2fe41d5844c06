'use strict'

const { inspect } = require('util')
const bridge = require('../native/bridge')
const { kFind, kState } = require('../base/symbols')

/** A table that is filled when somebody looks at it, see below. */
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
    // `util.inspect` looks past proxies
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
 * The open sessions of a server by their ids: `server.clients` is the table, because others may write to it. To become a key of an
 * object a string is copied to where only full collections free it, and a session takes 2 us of this thread by that, its share of
 * these collections included. So nothing is entered before somebody looks at the table: until then it is a proxy of an empty one,
 * and ids are in a Map. Behind a native listener the engine is asked for sessions that poll.
 */
class Clients {
  constructor(server) {
    this._server = server
    /** Whether the engine finds some. */
    this._inEngine = false
    /**
     * Those that it does not find, until somebody looks at the table: their handles, or themselves where they have none any more.
     * What a Map has left behind as it grew is kept alive for long, and they with it.
     */
    this._others = new Map()
    const lazy = new LazyTable((table) => this._fill(table))
    this._table = lazy.table
    /** What `server.clients` is to begin with. */
    this.public = lazy.proxy
    this._displaced = undefined
    /** The last id that was made for a session to come. */
    this._made = undefined
  }

  /** Somebody looks at the table: from now on it is the place where sessions are found. */
  _fill(table) {
    const all = this._entries()
    this._others = undefined
    for (const client of all) table[client[kState].key] = client
  }

  /** The table, if there is one. */
  get _object() {
    const { clients } = this._server
    if (clients === this.public) return this._others === undefined ? this._table : undefined
    // somebody has put another in its place, and may hold this one
    if (this._others !== undefined) Reflect.ownKeys(this.public)
    return clients
  }

  get(id) {
    const table = this._object
    if (table === undefined) return this._find(String(id))
    const client = table[id]
    if (client === undefined) return undefined
    // else it may be a property of Object.prototype's
    return client?.[kState]?.key === id || Object.hasOwn(table, id) ? client : undefined
  }

  _find(id) {
    const other = sessionOf(this._others.get(id))
    if (other !== undefined || !this._inEngine) return other
    const session = this._server.httpServer[kFind](id)
    return this._isOpen(session) ? session : undefined
  }

  /** An id of the engine's has been made, of 120 random bits: nobody else has it, so that it need not be looked for. */
  expect(id) {
    this._made = id
  }

  /** The younger of two sessions with one id is found by it. */
  add(client) {
    const key = String(client.id)
    const isNew = key === this._made || client[kState].opening !== undefined
    this._made = undefined
    const older = isNew ? undefined : this.get(key)
    if (older !== undefined) (this._displaced ||= new Set()).add(older)
    // the id may change, or be deleted
    client[kState].key = key
    this._enter(client)
  }

  _enter(client) {
    const table = this._object
    if (table !== undefined) table[client[kState].key] = client
    else if (client[kState].listed) this._inEngine = true
    else this._others.set(client[kState].key, client[kState].handle || client)
  }

  /** A session is about to give its handle back; it is still there. */
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

  /** An older session with the id of one that has ended is found by it again. */
  _replace(client) {
    let older
    for (const other of this._displaced) if (other[kState].key === client[kState].key) older = other
    if (older === undefined) return
    this._displaced.delete(older)
    this._enter(older)
  }

  /** Those that are there now. */
  all() {
    return this._object === undefined ? this._entries() : [...(this._displaced || []), ...Object.values(this._object)]
  }

  /** The same as long as there is no table. */
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

/** A session, by itself or by its handle. */
function sessionOf(entry) {
  return typeof entry === 'number' ? bridge.sessionOf(entry) : entry
}

module.exports = { Clients }
