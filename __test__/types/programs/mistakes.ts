// What must not compile: each line says so itself.

import { Server, Transport, listen } from 'engine.io'
import type { BaseServer, Socket } from 'engine.io'

declare const server: Server
declare const socket: Socket

// @ts-expect-error: not a transport
new Server({ transports: ['flashsocket'] })
// @ts-expect-error: a cookie has a name
new Server({ cookie: { path: '/' } })
// @ts-expect-error: not an option
new Server({ pingTimeOut: 1 })
// @ts-expect-error: false or an object
new Server({ httpCompression: true })
// @ts-expect-error: a time in milliseconds
new Server({ httpRequestBodyTimeout: '30s' })
// @ts-expect-error: an address is a string
new Server({ limits: { addressOf: (req) => req.headers['x-real-ip'] } })
// @ts-expect-error: an address is not waited for
new Server({ limits: { addressOf: async () => '203.0.113.1' } })
// @ts-expect-error: not a number of hops
new Server({ proxyProtocol: 1 })
// @ts-expect-error: a port is a number
listen('3000')
// @ts-expect-error: abstract
new Transport({ _query: {} })
// @ts-expect-error: a type, no value
BaseServer.length
// @ts-expect-error: for subclasses
server.clients
// @ts-expect-error: for subclasses
socket.transport.opts
// @ts-expect-error: for the engine
socket.writeBuffer
// @ts-expect-error: for the engine
socket.sendPacket('noop')
// @ts-expect-error: fixed
socket.protocol = 3
