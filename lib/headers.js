'use strict'

// Looks at a request's headers. Those of the engine's own listener parse them when somebody reads `headers`, and keep
// them parsed from then on, which takes more memory than the text: so the engine itself only has a look.

/** One header. */
function header(req, name) {
  return (typeof req._peek === 'function' ? req._peek(name) : req.headers)[name]
}

/** All headers. */
function headersOf(req) {
  return typeof req._peek === 'function' ? req._peek() : req.headers
}

module.exports = { header, headersOf }
