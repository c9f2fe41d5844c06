'use strict'

// The options `trustProxy` and `proxyProtocol`: whose word counts for a client's address, see docs/OPERATIONS.md. As in
// Express, addresses in headers are looked at from the nearest: the first that is not trusted is the client's.

const { BlockList, isIP } = require('net')
const debug = require('debug')('engine')
const { ignoreRejection, shown, textOf } = require('./shown')
const { warnOnce } = require('./warnings')

/** The names that stand for ranges, as in Express. */
const RANGES = {
  __proto__: null,
  loopback: ['127.0.0.1/8', '::1/128'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}

/** The headers in which proxies tell addresses, and what reads each. */
const READERS = { __proto__: null, 'x-forwarded-for': forwardedFor, forwarded }

const TRUSTS_NONE = 'no proxy is trusted for requests for which the function trustProxy fails'

class TrustProxy {
  /**
   * Returns what the options say; undefined if no proxy is trusted.
   *
   * @throws {TypeError} for invalid options
   */
  static of({ trustProxy, trustProxyHeader = 'x-forwarded-for' }) {
    const header = typeof trustProxyHeader === 'string' ? trustProxyHeader.toLowerCase() : ''
    if (READERS[header] === undefined) {
      throw new TypeError(`trustProxyHeader must be 'x-forwarded-for' or 'forwarded', got ${shown(trustProxyHeader)}`)
    }
    const trusts = compile(trustProxy)
    return trusts === undefined ? undefined : new TrustProxy(trusts, header)
  }

  /** @param {(address: string | undefined, hop: number) => boolean} trusts */
  constructor(trusts, header) {
    this._trusts = trusts
    this._header = header
  }

  /**
   * Returns the address of the client whose request came from `address` with these headers. If the application's function
   * throws or does not return a boolean, no proxy is trusted.
   */
  clientOf(address, headers) {
    try {
      return this._lastOf(address, headers)
    } catch (error) {
      const why = textOf(error, 'message') ?? shown(error)
      debug('the function trustProxy has failed, so that no proxy is trusted: %s', why)
      warnOnce(this, 'ENGINE_IO_TRUST_PROXY', `${TRUSTS_NONE}: ${why}`, error)
      return address
    }
  }

  _lastOf(address, headers) {
    if (!this._trusts(address, 0)) return address
    const chain = READERS[this._header](headers[this._header])
    for (let i = chain.length - 1, hop = 1; i >= 0; i--, hop++) {
      const next = plainAddress(chain[i])
      // the word of the last trusted proxy is of no use; what stands before it may be anybody's
      if (next === undefined) break
      address = next
      if (!this._trusts(address, hop)) break
    }
    return address
  }
}

/** Returns a function that tells whether the sender with this address, that many hops away, is trusted. */
function compile(value) {
  if (value === undefined || value === false) return undefined
  if (value === true) return () => true
  if (typeof value === 'function') return (address, hop) => answerOf(value(address, hop))
  if (typeof value === 'number') {
    if (!Number.isInteger(value) || value < 0) {
      throw new TypeError(`trustProxy must be a whole number of hops, 0 or more, got ${value}`)
    }
    return (_, hop) => hop < value
  }
  const ranges = rangesOf('trustProxy', value)
  if (ranges === undefined) {
    throw new TypeError(
      `trustProxy must be a boolean, a number of hops, addresses and ranges, or a function, got ${shown(value)}`,
    )
  }
  return within(ranges)
}

/**
 * Returns the answer of the application's function. Nothing is a no.
 *
 * @throws {TypeError} for something other than a boolean
 */
function answerOf(answer) {
  if (answer === undefined || typeof answer === 'boolean') return answer === true
  ignoreRejection(answer)
  throw new TypeError(`it must return true or false, got ${shown(answer)}`)
}

/**
 * Returns the ranges of an array, or of a string with commas, as `address/bits`; undefined for something else.
 *
 * @throws {TypeError} for an entry that is not an address, a range or the name of some
 */
function rangesOf(option, value) {
  const list = typeof value === 'string' ? value.split(',') : value
  if (!Array.isArray(list)) return undefined
  return list.flatMap((entry) => (RANGES[String(entry).trim()] ?? [entry]).map((range) => checked(option, range)))
}

function checked(option, range) {
  const [, address, bits] = /^\s*([^/]+?)(?:\/(\d{1,3}))?\s*$/.exec(typeof range === 'string' ? range : '') ?? []
  const family = isIP(address ?? '')
  const length = family === 4 ? 32 : 128
  if (family === 0 || Number(bits ?? length) > length) {
    const names = Object.keys(RANGES).join(', ')
    throw new TypeError(`${option} takes IP addresses, ranges as 10.0.0.0/8, and ${names}; got ${shown(range)}`)
  }
  return `${address}/${Number(bits ?? length)}`
}

/** Returns a function that tells whether an address is in one of these ranges. */
function within(ranges) {
  const all = new BlockList()
  for (const range of ranges) {
    const [address, bits] = range.split('/')
    all.addSubnet(address, Number(bits), isIP(address) === 4 ? 'ipv4' : 'ipv6')
  }
  return (address) => {
    const family = address === undefined ? 0 : isIP(address)
    return family !== 0 && all.check(address, family === 4 ? 'ipv4' : 'ipv6')
  }
}

/** Returns the addresses of `X-Forwarded-For`, the nearest last. */
function forwardedFor(value) {
  return typeof value === 'string' ? value.split(',') : []
}

/** A pair of `Forwarded` and what ends it (RFC 7239, section 4): its name, its value as it stands or quoted. */
const PAIR = /[ \t]*([!#$%&'*+.^_`|~\w-]+)=(?:([!#$%&'*+.^_`|~\w-]+)|"((?:[^"\\]|\\.)*)")[ \t]*(;|,|$)/y

/**
 * Returns the addresses of `Forwarded`, the nearest last. A header that is not well-formed as a whole tells none, because
 * a client that opens quotes could hide in them what a proxy adds.
 */
function forwarded(value) {
  if (typeof value !== 'string' || value === '') return []
  const chain = ['']
  PAIR.lastIndex = 0
  while (PAIR.lastIndex < value.length) {
    const [, name, plain, quoted, end] = PAIR.exec(value) ?? []
    if (name === undefined) return []
    if (name.toLowerCase() === 'for') chain[chain.length - 1] = plain ?? quoted.replace(/\\(.)/g, '$1')
    if (end === ',') chain.push('')
  }
  return chain
}

/** Returns an IP address without its port and brackets; undefined for something else, such as `unknown`. */
function plainAddress(text) {
  const trimmed = text.trim()
  if (isIP(trimmed) !== 0) return trimmed
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([\d.]+))(?::\d{1,5})?$/.exec(trimmed) ?? []
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? bracketed : undefined
  return plain !== undefined && isIP(plain) === 4 ? plain : undefined
}

/**
 * Returns the proxies that the option `proxyProtocol` names: true for all, or ranges; undefined for none.
 *
 * @throws {TypeError} for something else
 */
function proxiesOf(proxyProtocol) {
  if (proxyProtocol === undefined || proxyProtocol === false) return undefined
  if (proxyProtocol === true) return true
  const ranges = rangesOf('proxyProtocol', proxyProtocol)
  if (ranges === undefined) {
    throw new TypeError(`proxyProtocol must be a boolean, or addresses and ranges, got ${shown(proxyProtocol)}`)
  }
  return ranges
}

module.exports = { TrustProxy, proxiesOf, within }
