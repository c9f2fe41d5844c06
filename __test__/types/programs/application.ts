// What applications write, with every export of the package.

import { createServer, type IncomingMessage } from 'http'
import type { Duplex } from 'stream'
import { attach, listen, parser, protocol, Server, Socket, Transport, transports, uServer } from 'engine.io'
import type { AttachOptions, BaseServer, ErrorCallback, ServerOptions } from 'engine.io'

const options: ServerOptions = {
  pingTimeout: 20_000,
  pingInterval: 25_000,
  upgradeTimeout: 10_000,
  maxHttpBufferSize: 1e6,
  allowRequest: (req, fn) => fn(req.headers.origin ? null : 'no origin', true),
  transports: ['polling', 'websocket', 'webtransport'],
  allowUpgrades: true,
  perMessageDeflate: { threshold: 1024, serverNoContextTakeover: true },
  httpCompression: { threshold: 1024, level: 1 },
  httpRequestBodyTimeout: 10_000,
  maxBufferedChunks: 100,
  wsEngine: class {},
  initialPacket: 'hello',
  cookie: { name: 'io', maxAge: 60, sameSite: 'strict', secure: true, httpOnly: true, path: '/' },
  cors: { origin: ['https://example.com'], credentials: true },
  allowEIO3: true,
}
const attachOptions: AttachOptions = {
  path: '/engine.io',
  destroyUpgrade: true,
  destroyUpgradeTimeout: 1000,
  addTrailingSlash: false,
}

const httpServer = createServer()
const revision: 4 = protocol
const listening: Server = listen(3000, { ...options, ...attachOptions }, () => {})
const attached: Server = attach(httpServer, { cookie: true, cors: (req: unknown, callback) => callback(null, {}) })
const engine: BaseServer = new Server(options)
listening.httpServer?.close()

attached.attach(httpServer, attachOptions)
attached.use((req: IncomingMessage, res: unknown, next: (error?: unknown) => void) => next())
attached.generateId = async (req) => req.url ?? ''
attached.close().close()
const count: number = engine.clientsCount
const upgrades: string[] = engine.upgrades('polling')
const interval: number | undefined = engine.opts.pingInterval
const code: 4 = Server.errors.FORBIDDEN
const text: 'Forbidden' = Server.errorMessages[code]

httpServer.on('request', (req, res) => attached.handleRequest(req, res))
httpServer.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) =>
  attached.handleUpgrade(req, socket, head),
)

attached.on('connection', (socket: Socket) => {
  socket.send('text', { compress: false }, (transport: Transport) => transport.name).write(Buffer.from([1]))
  socket.on('message', (data: string | Buffer) => socket.send(data))
  const address: string = socket.remoteAddress
  const agent: string | undefined = socket.request.headers['user-agent']
  if (socket.readyState === 'open' && !socket.upgraded && socket.protocol === 4) socket.close(true)
  const writable: boolean = socket.transport.writable
  socket.transport.on('drain', () => {})
})

const refuse: ErrorCallback = (errorCode, context) => [errorCode === 1, context?.name?.length, context?.message]
refuse()
refuse(Server.errors.BAD_REQUEST, { name: 'MIDDLEWARE_FAILURE' })

type Made = ConstructorParameters<typeof transports.websocket>
const given: Made[1] = {
  perMessageDeflate: { threshold: 1 },
  maxHttpBufferSize: 1,
  httpCompression: false,
  maxBufferedChunks: 1,
}
const websocket = new transports.websocket({ _query: {} } as Made[0], given)
const upgradable: string[] = transports.polling.upgradesTo
const polling = transports.polling({ _query: {} } as Made[0], {
  httpRequestBodyTimeout: 1,
  httpCompression: { threshold: 1 },
})
const names: string[] = [websocket.name, polling.name]
transports.webtransport.upgradesTo.push('websocket')

new uServer({ pingInterval: 1 }).attach({}, { path: '/ws', idleTimeout: 60, compression: 0, maxBackpressure: 1 })
parser.encodePacket({ type: 'message', data: 'x' }, true, (encoded) => encoded)

export { revision, count, upgrades, interval, text, upgradable, names }
