'use strict'

const bridge = require('./bridge')

/**
 * The open sessions of a server by their ids. A table takes a fifth of what a handshake behind `listen()` takes of this
 * thread, so the engine is asked for sessions that it finds by their ids itself, and the public table is made when
 * somebody looks at it. From then on that is the table, because others may write to it.
 */
class Clients {
  constructor() {
    /** Those that the engine does not find. */
    this._others = new Map()
    /** Whether there may be others. */
    this._inEngine = false
    this._object = undefined
  }

  /** What `server.clients` is. */
  object(server) {
    if (this._object === undefined) this.replace(Object.fromEntries(this.all(server).map((client) => [client.id, client])))
    return this._object
  }

  replace(object) {
    this._object = object
    this._others = undefined
  }

  get(server, id) {
    if (this._object !== undefined) return Object.hasOwn(this._object, id) ? this._object[id] : undefined
    const other = this._others.get(String(id))
    if (other !== undefined || !this._inEngine) return other
    const session = bridge.sessions[bridge.getEngine().findSession(String(id))]
    return session !== undefined && session.server === server && session._registered ? session : undefined
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
  all(server) {
    if (this._object !== undefined) return Object.values(this._object)
    const all = [...this._others.values()]
    if (this._inEngine) {
      for (const session of bridge.sessions) {
        if (session !== undefined && session._listed && session.server === server && session._registered) all.push(session)
      }
    }
    return all
  }
}

module.exports = { Clients }
