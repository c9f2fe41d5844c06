'use strict'

const { kindOf } = require('../base/shown')
const debug = require('debug')('engine:cluster')
const { Trouble } = require('./trouble')

/** What a warning says while the other connection works. */
const DEAF = 'the connection of cluster.bus that subscribes fails, so that nothing comes in from other machines'

/** Publish and subscribe of Redis, over a client of `redis` (version 4 and later) or of `ioredis`. */
class RedisBus {
  constructor(client) {
    this._client = client
    /** A connection that subscribes can do nothing else, so that it is one of its own; and a promise of it. */
    this._subscriber = undefined
    this._connected = undefined
    this._connecting = new Trouble(DEAF)
    /** The channels, each with its listeners. */
    this._channels = new Map()
  }

  publish(channel, message) {
    // the clients keep what they cannot send, without a bound
    if (!isReady(this._client)) throw new Error('the client has no connection to Redis')
    return this._client.publish(channel, message)
  }

  async subscribe(channel, onMessage) {
    let listeners = this._channels.get(channel)
    if (listeners === undefined) {
      listeners = new Set()
      this._channels.set(channel, listeners)
    }
    listeners.add(onMessage)
    if (this._connected === undefined) this._connect()
    await this._connected
    const subscriber = this._subscriber
    // it may have been closed meanwhile
    if (subscriber === undefined || this._channels.get(channel) !== listeners) return
    if (isOfIoredis(subscriber)) await subscriber.subscribe(channel)
    else await subscriber.subscribe(channel, this._deliver(channel, listeners), true)
  }

  async unsubscribe(channel, onMessage) {
    const listeners = this._channels.get(channel)
    listeners?.delete(onMessage)
    if (listeners === undefined || listeners.size > 0) return
    this._channels.delete(channel)
    if (this._channels.size === 0) this._close()
    else await this._subscriber.unsubscribe(channel)
  }

  /** Returns the one function that hands the messages of a channel on. */
  _deliver(channel, listeners) {
    listeners.deliver ??= (message) => {
      if (this._channels.get(channel) === listeners) for (const listener of listeners) listener(message)
    }
    return listeners.deliver
  }

  _connect() {
    const subscriber = this._client.duplicate()
    this._subscriber = subscriber
    // it connects again by itself, and takes its channels up again
    let failure = new Error('Redis has closed it')
    subscriber.on('error', (error) => {
      debug('the connection that subscribes has failed: %s', error?.message)
      failure = error
    })
    subscriber.on('reconnecting', () => {
      // the failures to publish tell of a server that cannot be reached at all
      if (isReady(this._client)) this._connecting.onFailure(failure)
    })
    subscriber.on('ready', () => this._connecting.onSuccess())
    if (isOfIoredis(subscriber)) {
      subscriber.on('messageBuffer', (name, message) => {
        const channel = String(name)
        const listeners = this._channels.get(channel)
        if (listeners !== undefined) this._deliver(channel, listeners)(message)
      })
      this._connected = Promise.resolve()
      return
    }
    const connected = subscriber.connect()
    this._connected = connected
    connected.catch(() => {
      if (this._connected === connected) this._close()
    })
  }

  _close() {
    const subscriber = this._subscriber
    this._subscriber = undefined
    this._connected = undefined
    const end = typeof subscriber.destroy === 'function' ? 'destroy' : 'disconnect'
    try {
      Promise.resolve(subscriber[end]()).catch((error) => debug('it was not open: %s', error.message))
    } catch (error) {
      debug('it was not open: %s', error.message)
    }
  }
}

function isOfIoredis(client) {
  return typeof client.status === 'string'
}

/** Returns whether a client sends what it is given, and does not only keep it. */
function isReady(client) {
  // a client of ioredis that waits connects with its first command
  if (isOfIoredis(client)) return client.status === 'ready' || client.status === 'wait'
  return client.isReady ?? client.isOpen
}

/**
 * Makes a bus of a client of `redis` or of `ioredis`.
 *
 * @param {any} client
 */
function redis(client) {
  const isClient = typeof client?.publish === 'function'
  if (!isClient || typeof client.duplicate !== 'function') {
    const got = isClient ? 'one that has no method duplicate, such as a pool' : kindOf(client)
    throw new TypeError(`redis() takes a client of the package redis or ioredis, got ${got}`)
  }
  return new RedisBus(client)
}

module.exports = { redis }
