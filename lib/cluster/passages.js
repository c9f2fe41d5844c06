'use strict'

// The streams by which this member carries the bytes of a connection that cannot move to the owner of its session. Where
// descriptors can be passed, that is one end of a pair of UNIX sockets: the other end moves to the owner. Elsewhere the
// owner makes a connection to the front, which listens for that, on a named pipe on Windows. Each of them proves by a
// secret, which the message to the owner names, that it is the one that is meant.

const debug = require('debug')('engine:cluster')
const { randomBytes } = require('crypto')
const net = require('net')
const path = require('path')
const { setTimeout } = require('timers')
const bridge = require('../native/bridge')
const { atRoot } = require('../native/context')
const { PeerMessage } = require('../native/contract')

const isWindows = process.platform === 'win32'

/** Whether descriptors can be passed to other processes. Tests set this to false. */
const passing = { isPossible: !isWindows }

/** Bytes of the name by which a front listens. A path in the directory must not be longer than that of a socket. */
const NAME = isWindows ? 16 : 4

/** Bytes of a secret, and the characters in which it is written. */
const SECRET = 16
const WRITTEN = 2 * SECRET

/** Where the front listens, what the owner says, and what the front answers. */
const TERMS = /^((?:[0-9a-f]{2}){4,16}) ([0-9a-f]{32}) ([0-9a-f]{32})$/

/** Milliseconds until the other side has said its secret. */
const PATIENCE = 5000

/** The most connections that have not said a secret. */
const MAX_STRANGERS = 512

const EMPTY = Buffer.alloc(0)

// taken when the module is loaded: tests of applications replace it by a fake
const { nextTick } = process

/** The messages that have the owner make a connection, in place of those with which a descriptor moves. */
const CARRIES = {
  [PeerMessage.MOVE]: PeerMessage.CARRY,
  [PeerMessage.ASK_MOVE]: PeerMessage.ASK_CARRY,
}

/** One end of a pair of UNIX sockets. The other end goes with the message to the owner. */
class PairPassage {
  /** @throws {Error} if the process has no descriptor left */
  constructor() {
    const [ours, theirs] = bridge.getEngine().socketPair()
    this._ours = ours
    this.body = EMPTY
    this.descriptor = theirs
  }

  /** Returns the kind of message for one that moves a descriptor. */
  kindOf(kind) {
    return kind
  }

  /** Called when the message to the owner has been sent. */
  sent() {
    bridge.getEngine().closeDescriptor(this.descriptor)
    this.descriptor = -1
  }

  /** Returns the stream to the owner, which serves the connection. */
  take() {
    return new net.Socket({ fd: this._ours, readable: true, writable: true, allowHalfOpen: true })
  }

  /** Called when there is nothing to carry. */
  close() {
    bridge.getEngine().closeDescriptor(this._ours)
    if (this.descriptor >= 0) bridge.getEngine().closeDescriptor(this.descriptor)
  }
}

/** A connection that the owner makes. See `PairPassage`. */
class AwaitedPassage {
  /** @param {Door} door */
  constructor(door) {
    this._door = door
    this._stream = undefined
    const [secret, answer] = [hex(SECRET), hex(SECRET)]
    this.secret = secret
    this.answer = answer
    this.body = Buffer.from(`${door.name} ${secret} ${answer}`)
    this.descriptor = -1
  }

  kindOf(kind) {
    return CARRIES[kind]
  }

  sent() {}

  /** Called when the owner has made the connection. */
  arrived(stream) {
    this._stream = stream
    stream.write(this.answer)
  }

  /** Returns nothing if the owner has not made the connection, or has given it up. */
  take() {
    this._door.forget(this)
    return this._stream?.destroyed === false ? this._stream : undefined
  }

  close() {
    this._door.forget(this)
    this._stream?.destroy()
  }
}

/** Where owners make connections to this member. */
class Door {
  /** @param {string} directory that of the cluster */
  constructor(directory) {
    this._directory = directory
    this._server = undefined
    /** The passages whose owners have not come yet, by their secrets. */
    this._awaited = new Map()
    /** The connections that have not said a secret. */
    this._strangers = new Set()
    this.name = ''
  }

  /** Returns a passage; undefined if this process cannot listen. */
  expect() {
    if (this._server === undefined && !this._listen()) return undefined
    const passage = new AwaitedPassage(this)
    this._awaited.set(passage.secret, passage)
    return passage
  }

  forget(passage) {
    this._awaited.delete(passage.secret)
  }

  _listen() {
    this.name = hex(NAME)
    const server = net.createServer({ allowHalfOpen: true }, (stream) => this._welcome(stream))
    server.on('error', (error) => debug('connections of owners cannot be accepted: %s', error.message))
    // a worker of Node's cluster listens by itself
    atRoot(() => server.listen({ path: pathOf(this._directory, this.name), exclusive: true }))
    server.unref()
    // a path is listened on at once, or never
    if (!server.listening) return false
    this._server = server
    return true
  }

  _welcome(stream) {
    stream.on('error', (error) => debug('a relayed connection has broken: %s', error.message))
    if (this._strangers.size >= MAX_STRANGERS) return stream.destroy()
    this._strangers.add(stream)
    readSecret(stream, (secret) => {
      this._strangers.delete(stream)
      const passage = this._awaited.get(secret)
      if (passage === undefined) return stream.destroy()
      this.forget(passage)
      passage.arrived(stream)
    })
  }

  /** Called when this member has left. */
  close() {
    this._server?.close()
    this._server = undefined
    for (const stream of this._strangers) stream.destroy()
  }
}

/**
 * Makes the connection that a front expects.
 *
 * @param {string} directory that of the cluster
 * @param {string} terms the body of the front's message
 * @param {(stream: net.Socket | undefined) => void} done gets nothing if the front is not there
 */
function goTo(directory, terms, done) {
  const [, name, secret, answer] = TERMS.exec(terms) ?? []
  if (name === undefined) return done(undefined)
  const stream = net.connect({ path: pathOf(directory, name), allowHalfOpen: true })
  stream.on('error', (error) => debug('a relayed connection has broken: %s', error.message))
  stream.write(secret)
  readSecret(stream, (said) => {
    if (said === answer) return done(stream)
    stream.destroy()
    done(undefined)
  })
}

/** Reads a secret. Calls back with an empty text if none comes. The stream is then as if nothing had been read. */
function readSecret(stream, done) {
  const end = (secret) => {
    clearTimeout(timer)
    stream.removeListener('readable', read)
    stream.removeListener('close', fail)
    // behind what the stream does when its last listener for `readable` has gone
    nextTick(done, secret)
  }
  const read = () => {
    const bytes = stream.read(WRITTEN)
    if (bytes !== null) end(bytes.toString('latin1'))
  }
  const fail = () => end('')
  const timer = setTimeout(fail, PATIENCE)
  timer.unref()
  stream.on('readable', read)
  stream.on('close', fail)
}

function pathOf(directory, name) {
  return isWindows ? `\\\\.\\pipe\\engine.io-native-${name}` : path.join(directory, `.${name}`)
}

function hex(bytes) {
  return randomBytes(bytes).toString('hex')
}

module.exports = { Door, PairPassage, goTo, passing }
