'use strict'

const bridge = require('./bridge')
const { kFind, kState } = require('./symbols')

/**
 * The open sessions of a server by their ids: `server.clients` is the table, because others may write to it. A table takes a
 * fifth of what a handshake behind a native listener takes of this thread. So its sessions are asked for there, by their ids,
 * and the table is made when somebody looks at it.
 */
class Clients {
  constructor(server) {
    this._server = server
    /** Whether the engine finds some. */
    this._inEngine = false
    /** Those that it does not find, as long as there is no table. */
    this._others = undefined
    this._displaced = undefined
    /** The last id that was made for a session to come. */
    this._made = undefined
  }

  /** Has the table made when somebody looks at it. */
  defer() {
    this._others = new Map()
    Object.defineProperty(this._server, 'clients', {
      __proto__: null,
      configurable: true,
      enumerable: true,
      get: () => {
        this._set(Object.fromEntries(this.all().map((client) => [client[kState].key, client])))
        return this._server.clients
      },
      set: (table) => this._set(table),
    })
  }

  _set(value) {
    this._others = undefined
    Object.defineProperty(this._server, 'clients', { __proto__: null, value, writable: true, configurable: true, enumerable: true })
  }

  /** The table, if there is one. */
  get _object() {
    return this._others === undefined ? this._server.clients : undefined
  }

  get(id) {
    if (this._others !== undefined) return this._find(String(id))
    const { clients } = this._server
    const client = clients[id]
    if (client === undefined) return undefined
    // else it may be a property of Object.prototype's
    return client?.[kState]?.key === id || Object.hasOwn(clients, id) ? client : undefined
  }

  _find(id) {
    const other = this._others.get(id)
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
    else this._others.set(client[kState].key, client)
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
    const displaced = this._displaced || []
    if (this._object !== undefined) return [...displaced, ...Object.values(this._object)]
    const others = [...displaced, ...this._others.values()]
    if (!this._inEngine) return others
    return others.concat(bridge.sessions.filter((session) => this._isOpen(session) && session[kState].listed))
  }

  _isOpen(session) {
    return session !== undefined && session.server === this._server && session[kState].key !== undefined
  }
}

module.exports = { Clients }
