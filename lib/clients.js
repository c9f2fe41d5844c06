'use strict'

const bridge = require('./bridge')

/**
 * The open sessions of a server by their ids. A table takes a fifth of what a handshake behind `listen()` takes of this
 * thread, so the engine is asked for sessions that it finds by their ids itself, and the public table is made when
 * somebody looks at it. From then on that is the table, because others may write to it.
 */
class Clients {
  constructor(server) {
    this._server = server
    /** Whether the engine finds some. */
    this._inEngine = false
    /** Those that it does not find; none once there is the public table. */
    this._others = new Map()
    this._object = undefined
  }

  /** What `server.clients` is. */
  get object() {
    if (this._object === undefined) this.object = Object.fromEntries(this.all().map((client) => [client.id, client]))
    return this._object
  }

  set object(object) {
    this._object = object
    this._others = undefined
  }

  get(id) {
    if (this._object !== undefined) return Object.hasOwn(this._object, id) ? this._object[id] : undefined
    const other = this._others.get(String(id))
    if (other !== undefined || !this._inEngine) return other
    const session = bridge.sessionOf(bridge.getEngine().findSession(String(id)))
    return this._isOpen(session) ? session : undefined
  }

  add(client) {
    if (this._object !== undefined) this._object[client.id] = client
    else if (client._listed) this._inEngine = true
    else this._others.set(String(client.id), client)
  }

  remove(client) {
    if (this._object === undefined) {
      if (!client._listed && this._others.get(String(client.id)) === client) this._others.delete(String(client.id))
    } else if (this._object[client.id] === client) {
      delete this._object[client.id]
    }
  }

  /** Those that are there now. */
  all() {
    if (this._object !== undefined) return Object.values(this._object)
    const others = [...this._others.values()]
    if (!this._inEngine) return others
    return others.concat(bridge.sessions.filter((session) => this._isOpen(session) && session._listed))
  }

  _isOpen(session) {
    return session !== undefined && session.server === this._server && session._registered
  }
}

module.exports = { Clients }
