'use strict'

// The options of zlib in the form in which the engine takes them.

const { COMPRESSION_LEVEL, MAX_WINDOW_BITS } = require('./contract')

/**
 * Selects the parts of the option `httpCompression` that the engine knows. zlib's `memLevel`, `strategy` and
 * `chunkSize` have no counterpart there.
 *
 * @returns {{threshold: number, level: number, windowBits: number} | undefined} undefined if compression is off
 */
function compressionOf(option) {
  if (!option) return undefined
  const { threshold, level, windowBits } = option
  return {
    threshold: threshold === undefined ? NaN : Number(threshold),
    level: level >= 0 ? level : COMPRESSION_LEVEL,
    windowBits: windowBits > 0 ? windowBits : MAX_WINDOW_BITS,
  }
}

/** Returns the options of `ws` for permessage-deflate, or undefined if it is off. */
function deflateOptions(options) {
  if (!options) return undefined
  const { zlibDeflateOptions: zlib = {} } = options
  const bits = (value) => (value === undefined || value === true || value === null ? undefined : Number(value))
  const flag = (value) => (value === undefined || value === null ? undefined : Boolean(value))
  return {
    serverNoContextTakeover: flag(options.serverNoContextTakeover),
    clientNoContextTakeover: flag(options.clientNoContextTakeover),
    serverMaxWindowBits: bits(options.serverMaxWindowBits),
    clientMaxWindowBits: bits(options.clientMaxWindowBits),
    threshold: bits(options.threshold),
    level: zlib.level >= 0 ? zlib.level : undefined,
  }
}

module.exports = { compressionOf, deflateOptions }
