'use strict'

/** Number of slots at first. */
const SLOTS = 64

/**
 * Values by numbers that count up, of which most are there for a short time. A Map would rebuild its table again and
 * again, and V8 keeps what lies in the tables that it has left until its next full collection: that took a fifth of the
 * CPU of a poll that was passed on.
 */
class Numbered {
  constructor() {
    this.size = 0
    /** The first entry of each slot. Those whose numbers have the same lower bits follow it. */
    this._slots = new Array(SLOTS).fill(undefined)
  }

  get(number) {
    let entry = this._slots[this._slotOf(number)]
    while (entry !== undefined && entry.number !== number) entry = entry.next
    return entry?.value
  }

  has(number) {
    return this.get(number) !== undefined
  }

  /** Adds a value by a number by which there is none. */
  add(number, value) {
    if (this.size >= this._slots.length) this._grow()
    this._put({ number, value, next: undefined })
    this.size++
  }

  delete(number) {
    const slot = this._slotOf(number)
    let before
    let entry = this._slots[slot]
    while (entry !== undefined && entry.number !== number) {
      before = entry
      entry = entry.next
    }
    if (entry === undefined) return
    if (before === undefined) this._slots[slot] = entry.next
    else before.next = entry.next
    // an entry that V8 has moved to its old generation must not keep others there
    entry.value = entry.next = undefined
    this.size--
  }

  /** Returns all values. */
  values() {
    return this._entries().map(({ value }) => value)
  }

  clear() {
    this.size = 0
    this._slots = new Array(SLOTS).fill(undefined)
  }

  _slotOf(number) {
    return number & (this._slots.length - 1)
  }

  _put(entry) {
    const slot = this._slotOf(entry.number)
    entry.next = this._slots[slot]
    this._slots[slot] = entry
  }

  _entries() {
    const entries = []
    for (const first of this._slots)
      for (let entry = first; entry !== undefined; entry = entry.next) entries.push(entry)
    return entries
  }

  _grow() {
    const entries = this._entries()
    this._slots = new Array(2 * this._slots.length).fill(undefined)
    for (const entry of entries) this._put(entry)
  }
}

module.exports = { Numbered }
