'use strict'

const { parse } = require('querystring')
const { Polling } = require('./polling')

const ESCAPED_NEWLINE = /\\\\n/g
const NEWLINE = /(\\)?\\n/g

/** Polling by script tags and form posts. */
class JSONP extends Polling {
  constructor(req) {
    super(req)
    /** The index of the client's callback: digits only, it ends up in a script. */
    this.jsonpIndex = (req._query.j || '').replace(/[^0-9]/g, '')
  }

  /** The payload in a form: field `d`, with the newlines that browsers change in forms restored. */
  _unwrap(body) {
    const { d } = parse(body.toString())
    if (typeof d !== 'string') return undefined
    return d.replace(NEWLINE, (match, slash) => (slash ? match : '\n')).replace(ESCAPED_NEWLINE, '\\n')
  }
}

module.exports = { JSONP }
