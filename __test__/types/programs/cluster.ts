// An application on several machines.

import { connect } from 'nats'
import { createClient } from 'redis'
import { Redis } from 'ioredis'
import { Server } from 'engine.io'
import { nats, redis, type ClusterBus } from 'engine.io/cluster'

const key = 'of 16 bytes or more, and secret'
const buses: ClusterBus[] = [redis(createClient()), redis(new Redis())]
connect({ maxReconnectAttempts: -1 }).then((connection) => new Server({ cluster: { bus: nats(connection), key } }))
const servers = buses.map((bus) => new Server({ cluster: { bus, key } }))
const own: ClusterBus = {
  publish: (channel, message) => console.log(channel, message.byteLength),
  subscribe: (channel, onMessage) => onMessage(new Uint8Array(channel.length)),
  unsubscribe: async () => {},
}
servers.push(new Server({ cluster: { bus: own, key, showOwner: true, claim: false } }))
const refused: number = servers[0].metrics().cluster!.bus!.refused

// @ts-expect-error: not a client
redis('redis://localhost')
// @ts-expect-error: two methods are missing
new Server({ cluster: { bus: { publish() {} }, key } })

export { refused }
