'use strict'

// The buses of processes under test, by the name in their settings.

/** A bus whose messages pass the parent process, which may do anything to them: see `Hub` in bus-support.js. */
function parentBus() {
  const listeners = new Map()
  process.on('message', ({ channel, bytes }) => {
    if (channel === undefined) return
    for (const listener of listeners.get(channel) ?? []) listener(Buffer.from(bytes, 'base64'))
  })
  const send = (fields) =>
    new Promise((resolve, reject) => {
      process.send({ event: 'bus', ...fields }, (error) => (error ? reject(error) : resolve()))
    })
  return {
    publish: (channel, message) => send({ channel, bytes: Buffer.from(message).toString('base64') }),
    subscribe(channel, onMessage) {
      if (!listeners.has(channel)) listeners.set(channel, new Set())
      listeners.get(channel).add(onMessage)
      return send({ subscribe: channel })
    },
    unsubscribe(channel, onMessage) {
      listeners.get(channel)?.delete(onMessage)
    },
  }
}

/** Those of the package, over clients of the packages that applications use. They try for ever to connect. */
const BUSES = {
  parent: parentBus,
  redis({ port, host = '127.0.0.1' }) {
    const { createClient } = require('redis')
    const client = createClient({ url: `redis://${host}:${port}`, socket: { reconnectStrategy: 100 } })
    client.on('error', () => {})
    client.connect().catch(() => {})
    return require('../../lib/cluster-engine').redis(client)
  },
  ioredis({ port, host = '127.0.0.1' }) {
    const Redis = require('ioredis')
    const client = new Redis({ port, host, retryStrategy: () => 100 })
    client.on('error', () => {})
    return require('../../lib/cluster-engine').redis(client)
  },
  nats({ port, host = '127.0.0.1', maxReconnectAttempts = -1 }) {
    const { connect } = require('nats')
    const options = { servers: `${host}:${port}`, reconnectTimeWait: 100, maxReconnectAttempts }
    const connected = connect(options).then(require('../../lib/cluster-engine').nats)
    const call =
      (method) =>
      async (...args) =>
        (await connected)[method](...args)
    return { publish: call('publish'), subscribe: call('subscribe'), unsubscribe: call('unsubscribe') }
  },
}

/** Makes the bus of a process. */
function makeBus({ name, ...settings }) {
  return BUSES[name](settings)
}

module.exports = { makeBus }
