'use strict'

const zlib = require('zlib')
const cookie = require('cookie')

/**
 * Finds the mistakes in options that would otherwise show when the first client comes.
 *
 * @throws {TypeError | RangeError} those of `cookie` and of `zlib`
 */
function validate(opts) {
  if (opts.cookie) cookie.serialize(opts.cookie.name, 'id', opts.cookie)
  if (opts.httpCompression && typeof opts.httpCompression === 'object') {
    zlib.createGzip(opts.httpCompression).close()
  }
  const deflate = opts.perMessageDeflate
  if (!deflate || typeof deflate !== 'object') return
  if (deflate.zlibDeflateOptions) zlib.createDeflateRaw(deflate.zlibDeflateOptions).close()
  for (const name of ['serverMaxWindowBits', 'clientMaxWindowBits']) {
    const bits = deflate[name]
    if (typeof bits === 'number' && !(Number.isInteger(bits) && bits >= 8 && bits <= 15)) {
      throw new RangeError(`perMessageDeflate.${name} must be an integer from 8 to 15, or a boolean, got ${bits}`)
    }
  }
}

/**
 * What the engine takes of the option `httpCompression`: zlib's `memLevel`, `strategy` and `chunkSize`
 * have no counterpart there.
 *
 * @returns {{threshold: number, level: number, windowBits: number} | undefined} undefined: it is off
 */
function compressionOf(option) {
  if (!option) return undefined
  const { threshold, level, windowBits } = option
  return {
    threshold: threshold === undefined ? NaN : Number(threshold),
    level: level >= 0 ? level : 6,
    windowBits: windowBits > 0 ? windowBits : 15,
  }
}

module.exports = { validate, compressionOf }
