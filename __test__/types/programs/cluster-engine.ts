// An application of several processes, in the manner of @socket.io/cluster-engine, and by the option.

import { createServer } from 'node:http'
import { Server as Engine, type ServerOptions } from 'engine.io'
import { NodeClusterEngine, RedisEngine, setupPrimary } from 'engine.io/cluster'
import { Server } from 'socket.io'

const options: ServerOptions = {
  cluster: { directory: '/run/app', key: new Uint8Array(32), number: 3, showOwner: true },
}
const nothing: void = setupPrimary()
const engine = new NodeClusterEngine({ pingInterval: 1000, responseTimeout: 500 })
const plain: Engine = new NodeClusterEngine()
engine.attach(createServer(), { path: '/socket.io/' })
new Server().bind(engine)
const passedOn: number | undefined = engine.metrics().cluster?.forwarded
new Engine({ cluster: true })

// @ts-expect-error: no such option
new Engine({ cluster: { folder: '/run/app' } })
const client = { publish: () => 1, duplicate: () => ({}) }
const far: Engine = new RedisEngine(client, client, { cluster: { key: 'of 16 bytes or more' }, responseTimeout: 1 })
// @ts-expect-error: a key is needed
new RedisEngine(client, client, { pingInterval: 1000 })

// @ts-expect-error: no such option
new NodeClusterEngine({ timeout: 500 })

export { options, nothing, plain, passedOn, far }
