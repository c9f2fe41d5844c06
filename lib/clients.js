'use strict'

const bridge = require('./bridge')

/**
 * The open sessions of a server by their ids. A table takes a fifth of what a handshake behind a native listener takes
 * of this thread, so the listener is asked for sessions that it finds by their ids itself, and the public table is made when
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
    /** Open sessions whose ids younger ones have got, too; made with the first. */
    this._displaced = undefined
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
    const session = this._server.httpServer._find(String(id))
    return this._isOpen(session) ? session : undefined
  }

  /** The younger of two sessions with one id is found by it. */
  add(client) {
    // the engine makes the ids of those that it finds by itself
    const older = client._listed ? undefined : this.get(client.id)
    if (older !== undefined) (this._displaced ||= new Set()).add(older)
    if (this._object !== undefined) this._object[client.id] = client
    else if (client._listed) this._inEngine = true
    else this._others.set(String(client.id), client)
  }

  remove(client) {
    if (this._displaced !== undefined && this._displaced.delete(client)) return
    if (this._object === undefined) {
      if (!client._listed && this._others.get(String(client.id)) === client) this._others.delete(String(client.id))
    } else if (this._object[client.id] === client) {
      delete this._object[client.id]
    }
    if (this._displaced !== undefined) this._replace(client)
  }

  /** An older session with the id of one that has ended is found by it again. */
  _replace(client) {
    let older
    for (const other of this._displaced) if (String(other.id) === String(client.id)) older = other
    if (older === undefined) return
    this._displaced.delete(older)
    this.add(older)
  }

  /** Those that are there now. */
  all() {
    const displaced = this._displaced || []
    if (this._object !== undefined) return [...displaced, ...Object.values(this._object)]
    const others = [...displaced, ...this._others.values()]
    if (!this._inEngine) return others
    return others.concat(bridge.sessions.filter((session) => this._isOpen(session) && session._listed))
  }

  _isOpen(session) {
    return session !== undefined && session.server === this._server && session._registered
  }
}

module.exports = { Clients }
