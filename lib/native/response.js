'use strict'

const { OutgoingMessage } = require('http')

const { end, write } = OutgoingMessage.prototype

/**
 * Ends a response of Node's, whose header is about to be written, with a text of so many bytes. Header and text
 * leave as one string: `res.end(text)` has Node gather two pieces with `writev`, which takes longer.
 */
function endWith(res, text, length) {
  if (!canJoin(res, text, length)) return res.end(text)
  res._header += text
  res.end()
}

/** A header is written as Latin-1, and whoever has replaced a method wants to see what is written. */
function canJoin(res, text, length) {
  return (
    typeof text === 'string' &&
    text.length === length &&
    typeof res._header === 'string' &&
    res._headerSent === false &&
    res.chunkedEncoding === false &&
    !res.strictContentLength &&
    res.end === end &&
    res.write === write
  )
}

module.exports = { endWith }
