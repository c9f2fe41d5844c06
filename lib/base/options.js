'use strict'

const net = require('net')
const zlib = require('zlib')
const cookie = require('cookie')
const { validateBackpressure } = require('./backpressure')
const { shown } = require('./shown')
const { proxiesOf } = require('./trust-proxy')

/**
 * Finds mistakes in options that would otherwise show when the first client comes.
 *
 * @throws {TypeError | RangeError} those of `cookie` and of `zlib`
 */
function validate(opts) {
  validateBackpressure(opts)
  proxiesOf(ownOf(opts).proxyProtocol)
  if (opts.closeDetails !== undefined && typeof opts.closeDetails !== 'boolean') {
    throw new TypeError(`closeDetails must be a boolean, got ${shown(opts.closeDetails)}`)
  }
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

/** Copies an object's own properties. Properties that were added to Object.prototype are not options. */
function ownOf(object) {
  return { __proto__: null, ...object }
}

/** Selects the server options that a transport gets. */
function transportOptions({
  perMessageDeflate,
  maxHttpBufferSize,
  maxBufferedChunks,
  httpCompression,
  httpRequestBodyTimeout,
}) {
  return { perMessageDeflate, maxHttpBufferSize, maxBufferedChunks, httpCompression, httpRequestBodyTimeout }
}

/** Options of earlier major versions, and what to write today. */
const OLD_OPTIONS = {
  cookiePath: 'cookie: { name, path }',
  cookieHttpOnly: 'cookie: { name, httpOnly }',
  handlePreflightRequest: 'cors: { origin, … }, or engine.use(middleware)',
  origins: 'cors: { origin }',
}

const warned = new Set()

/** Warns once of each option that has had no effect for several major versions, and says what to write. */
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
 * Rejects the name of a package, which earlier major versions accepted.
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

module.exports = { ownOf, validate, warnOfOldWays, checkWsEngine, transportOptions }
