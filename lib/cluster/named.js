'use strict'

/**
 * Values by names, of which most are there for a short time. A Map rebuilds its table again and again then, and V8 keeps
 * what lies in the tables that it has left until its next full collection. So a value lies in a cell, which is emptied.
 */
class Named {
  constructor() {
    this._cells = new Map()
  }

  get size() {
    return this._cells.size
  }

  get(name) {
    return this._cells.get(name)?.value
  }

  set(name, value) {
    this.delete(name)
    this._cells.set(name, { value })
  }

  delete(name) {
    const cell = this._cells.get(name)
    if (cell === undefined) return
    cell.value = undefined
    this._cells.delete(name)
  }

  /** Returns all values. */
  values() {
    return Array.from(this._cells.values(), ({ value }) => value)
  }
}

module.exports = { Named }
