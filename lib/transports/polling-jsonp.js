'use strict'

const bridge = require('../native/bridge')
const { Polling } = require('./polling')
const { OUR_ON_DATA } = require('./polling-posts')
const { kState, kWrap } = require('../base/symbols')

/** Polling by script tags and form posts. Its encoding is in src/protocol/jsonp.rs. */
class JSONP extends Polling {
  constructor(req, opts) {
    super(req, opts)
    /** The index of the client's callback. Only digits are kept, because it becomes part of a script. */
    this[kState].index = (req._query.j || '').replace(/[^0-9]/g, '')
  }

  [kWrap](payload) {
    const { index } = this[kState]
    return typeof payload === 'string'
      ? bridge.getEngine().wrapJsonp(index, payload)
      : `___eio[${index}](${JSON.stringify(payload)});`
  }

  onData(data) {
    const payload = typeof data === 'string' ? bridge.getEngine().unwrapForm(data) : null
    if (payload !== null && payload !== undefined) super.onData(payload)
  }
}

OUR_ON_DATA.add(JSONP.prototype.onData)

module.exports = { JSONP }
