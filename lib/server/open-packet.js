'use strict'

/** Whether a value is equal to itself and nothing else, and cannot change inside. */
const isFixed = (value) => Number.isFinite(value) || typeof value === 'string'

/**
 * What the first packets of a server's sessions say. They differ in the id, mostly: the rest is written as JSON once,
 * which takes 1 us.
 */
class OpenPacket {
  constructor() {
    /** What was told last besides the id, and how JSON has it. */
    this._told = { count: -1, upgrade: undefined, pingInterval: 0, pingTimeout: 0, maxPayload: 0, rest: '' }
  }

  /** @param {object} options of the server, whose values are whatever the application set */
  text(sid, upgrades, { pingInterval, pingTimeout, maxHttpBufferSize: maxPayload }) {
    const isUsual = typeof sid === 'string' && Array.isArray(upgrades) && upgrades.length < 2
    if (!isUsual) return JSON.stringify({ sid, upgrades, pingInterval, pingTimeout, maxPayload })
    return `{"sid":${JSON.stringify(sid)},${this._rest(upgrades, pingInterval, pingTimeout, maxPayload)}`
  }

  _rest(upgrades, pingInterval, pingTimeout, maxPayload) {
    const [upgrade = ''] = upgrades
    const told = this._told
    const isSame =
      upgrades.length === told.count &&
      upgrade === told.upgrade &&
      pingInterval === told.pingInterval &&
      pingTimeout === told.pingTimeout &&
      maxPayload === told.maxPayload
    if (isSame) return told.rest
    const rest = JSON.stringify({ upgrades, pingInterval, pingTimeout, maxPayload }).slice(1)
    if ([upgrade, pingInterval, pingTimeout, maxPayload].every(isFixed)) {
      this._told = { count: upgrades.length, upgrade, pingInterval, pingTimeout, maxPayload, rest }
    }
    return rest
  }
}

module.exports = { OpenPacket }
