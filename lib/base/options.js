'use strict'

const net = require('net')
const zlib = require('zlib')
const cookie = require('cookie')
const { validateBackpressure } = require('./backpressure')

/**
 * Finds the mistakes in options that would otherwise show when the first client comes.
 *
 * @throws {TypeError | RangeError} those of `cookie` and of `zlib`
 */
function validate(opts) {
  validateBackpressure(opts)
  if (opts.cookie) cookie.serialize(opts.cookie.name, 'id', opts.cookie)
  if (opts.httpCompression && typeof opts.httpCompression === 'object') {
    zlib.createGzip(ownOf(opts.httpCompression)).close()
  }
  const deflate = opts.perMessageDeflate
  if (!deflate || typeof deflate !== 'object') return
  if (deflate.zlibDeflateOptions) zlib.createDeflateRaw(ownOf(deflate.zlibDeflateOptions)).close()
  for (const name of ['serverMaxWindowBits', 'clientMaxWindowBits']) {
    const bits = deflate[name]
    if (typeof bits === 'number' && !(Number.isInteger(bits) && bits >= 8 && bits <= 15)) {
      throw new RangeError(`perMessageDeflate.${name} must be an integer from 8 to 15, or a boolean, got ${bits}`)
    }
  }
}

/** What an object has itself: what somebody has added to Object.prototype is no option. */
function ownOf(object) {
  return { __proto__: null, ...object }
}

/** What a transport is given of its server's options. */
function transportOptions({
  perMessageDeflate,
  maxHttpBufferSize,
  maxBufferedChunks,
  httpCompression,
  httpRequestBodyTimeout,
}) {
  return { perMessageDeflate, maxHttpBufferSize, maxBufferedChunks, httpCompression, httpRequestBodyTimeout }
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

/** Options of former majors, and what they have become. */
const OLD_OPTIONS = {
  cookiePath: 'cookie: { name, path }',
  cookieHttpOnly: 'cookie: { name, httpOnly }',
  handlePreflightRequest: 'cors: { origin, … }, or engine.use(middleware)',
  origins: 'cors: { origin }',
}

const warned = new Set()

/** Says once what to write instead of what has had no effect for several majors. */
function warnOfOldWays(opts) {
  if (opts instanceof net.Server) {
    return warn('new Server(httpServer)', 'attach(httpServer, options), or new Server(options).attach(httpServer)')
  }
  for (const name of Object.keys(OLD_OPTIONS)) {
    if (opts[name] !== undefined) warn(`the option ${name}`, OLD_OPTIONS[name])
  }
  if (typeof opts.cookie === 'string') warn('the option cookie as a string', 'cookie: { name }')
}

/**
 * The name of a package, as former majors took it, would do nothing but fail as what it is not.
 *
 * @throws {TypeError} that says what to write instead
 */
function checkWsEngine(wsEngine) {
  if (typeof wsEngine !== 'string') return
  throw new TypeError(`wsEngine is not a constructor: write require('${wsEngine}').Server, or leave it out`)
}

function warn(what, instead) {
  if (warned.has(what)) return
  warned.add(what)
  process.emitWarning(`${what} has no effect; write ${instead}`, { type: 'EngineIoWarning', code: 'ENGINE_IO_OLD_WAY' })
}

module.exports = { ownOf, validate, warnOfOldWays, checkWsEngine, compressionOf, transportOptions }
