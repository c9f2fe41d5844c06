'use strict'

const bridge = require('../bridge')
const { Polling } = require('./polling')

/** Polling by script tags and form posts; what is special about it is in src/protocol/jsonp.rs. */
class JSONP extends Polling {
  constructor(req) {
    super(req)
    /** The index of the client's callback: digits only, it ends up in a script. */
    this._index = (req._query.j || '').replace(/[^0-9]/g, '')
  }

  _wrap(payload) {
    return bridge.getEngine().wrapJsonp(this._index, payload)
  }

  _unwrap(body) {
    return bridge.getEngine().unwrapForm(body) ?? undefined
  }
}

module.exports = { JSONP }
