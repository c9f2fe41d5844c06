'use strict'

const { createHash } = require('crypto')
const os = require('os')
const path = require('path')
const { ownOf } = require('../base/options')
const { isPlainObject, kindOf, shown } = require('../base/shown')

const NAMES = ['directory', 'key', 'number', 'showOwner', 'bus', 'claim']

/** The methods of a bus. */
const METHODS = ['publish', 'subscribe', 'unsubscribe']

/** The largest number of a process. */
const MAX_NUMBER = 65_535

/** Bytes of a key that is given, at least. */
const MIN_KEY = 16

/**
 * Checks the option `cluster`, and completes it.
 *
 * @returns {{directory: string, isDefault: boolean, key: Buffer | undefined, number: number | undefined,
 *   showOwner: boolean, bus: any, claim: boolean} | undefined} undefined if it is not set
 * @throws {TypeError} for invalid options
 */
function clusterOptions(cluster) {
  if (cluster === undefined || cluster === false) return undefined
  if (cluster !== true && !isPlainObject(cluster)) {
    throw new TypeError(`cluster must be a boolean or an object, got ${shown(cluster)}`)
  }
  const options = cluster === true ? {} : ownOf(cluster)
  const unknown = Object.keys(options).find((name) => !NAMES.includes(name))
  if (unknown !== undefined) throw new TypeError(`cluster has the options ${NAMES.join(', ')}, got ${unknown}`)
  const { directory = defaultDirectory(), key, number, showOwner = false, bus, claim = true } = options
  if (typeof directory !== 'string' || directory === '') {
    throw new TypeError(`cluster.directory must be the path of a directory, got ${shown(directory)}`)
  }
  if (number !== undefined && !(Number.isInteger(number) && number >= 0 && number <= MAX_NUMBER)) {
    throw new TypeError(`cluster.number must be an integer from 0 to ${MAX_NUMBER}, got ${shown(number)}`)
  }
  if (typeof showOwner !== 'boolean') {
    throw new TypeError(`cluster.showOwner must be a boolean, got ${shown(showOwner)}`)
  }
  if (typeof claim !== 'boolean') throw new TypeError(`cluster.claim must be a boolean, got ${shown(claim)}`)
  if (bus !== undefined) {
    const missing = METHODS.find((name) => typeof bus?.[name] !== 'function')
    if (missing !== undefined) {
      const wanted = `redis(client), nats(connection) or an object with the methods ${METHODS.join(', ')}`
      const kind = kindOf(bus)
      throw new TypeError(
        `cluster.bus must be ${wanted}, ${kind === 'an object' ? `${missing} is missing` : `got ${kind}`}`,
      )
    }
    // clients of Redis have these methods, too, but would hand the messages over as text
    if (typeof bus.duplicate === 'function') {
      throw new TypeError('cluster.bus must be redis(client) of engine.io-native/cluster, got the client itself')
    }
    if (key === undefined) throw new TypeError('cluster.key must be given with cluster.bus, the same on all machines')
  }
  const isDefault = options.directory === undefined
  return { directory: path.resolve(directory), isDefault, key: keyOf(key), number, showOwner, bus, claim }
}

/** Returns the bytes of the key that the application has given; undefined if the directory has one. */
function keyOf(key) {
  if (key === undefined) return undefined
  if (typeof key !== 'string' && !(key instanceof Uint8Array)) {
    throw new TypeError(`cluster.key must be a string or a Uint8Array, got ${shown(key)}`)
  }
  if (Buffer.byteLength(key) < MIN_KEY) {
    throw new TypeError(`cluster.key must have ${MIN_KEY} bytes at least, got ${Buffer.byteLength(key)}`)
  }
  return createHash('sha256').update('engine.io-native cluster\0').update(key).digest()
}

/** Returns the directory for temporary files. On Windows that of services may be one in which all users write. */
function temporary() {
  if (process.platform !== 'win32') return os.tmpdir()
  return path.join(process.env.LOCALAPPDATA ?? path.join(os.homedir(), 'AppData', 'Local'), 'Temp')
}

/** Returns a directory for all processes of this user that run this program. */
function defaultDirectory() {
  const program = createHash('sha256').update(`${process.cwd()}\0${process.argv[1]}`).digest('hex')
  // on Windows users have no numbers
  const user = process.getuid?.() ?? os.userInfo().username
  return path.join(temporary(), `engine.io-native-${user}-${program.slice(0, 16)}`)
}

module.exports = { clusterOptions }
