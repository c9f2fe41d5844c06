'use strict'

// One program on Socket.IO with one engine.

const http = require('node:http')
const { World } = require('../world')
const { TIMES } = require('../options')
const { makeShow } = require('../show')
const { bind, shut } = require('../modes/bind')
const { runHandlers } = require('./handlers')
const { socketIoOn } = require('./load')
const { Observer } = require('./observe')
const { drawn } = require('./steps')

/** Clients of engine protocol 4 and 3. */
const CLIENTS = { 4: 'socket.io-client', 3: 'socket.io-client-v2' }

const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] }

/** What a handshake takes, several times what one answer does. */
const HANDSHAKE = 20

/** Where state is recovered, the last argument: the mark by which a client finds what it has missed. */
const OFFSET = /^[\w-]{7}(\.[\w-]+)?$/

/** `closed`, `opening` or `open`, by the names of both versions. */
const stateOf = (manager) => manager._readyState ?? manager.readyState

class SocketIoWorld extends World {
  constructor({ pace, ...how }) {
    // what a client of Socket.IO's does takes more turns of the event loop
    super({ ...how, pace: { ...pace, quiet: 2 * pace.quiet } })
  }

  get drawn() {
    return drawn
  }

  makeObserver() {
    this.awaited = 0
    /** Messages of this step that were sent and have not been heard. */
    this.underWay = 0
    /** Namespaces with a middleware that may refuse. */
    this.refusing = new Set()
    const show = makeShow()
    const recovers = this.program.options.connectionStateRecovery !== undefined
    this.show = (value) => {
      if (!recovers) return show(value)
      return show(Array.isArray(value) && OFFSET.test(value.at(-1)) ? [...value.slice(0, -1), '<offset>'] : value)
    }
    return new Observer(this)
  }

  async openServer() {
    const { Server } = socketIoOn(this.Engine)
    const { program } = this
    const server = http.createServer((req, res) => res.writeHead(404).end())
    const io = new Server(server, { ...TIMES, serveClient: false, ...structuredClone(program.options) })
    Object.assign(this, { io, engine: io.engine })
    this.observer.server(io)
    const serve = (nsp) => {
      nsp.on('connection', (socket) => {
        this.observer.socket(socket)
        runHandlers(program.listeners, socket, this)
      })
    }
    for (const name of ['/', '/news']) {
      this.observer.namespace(io.of(name))
      serve(io.of(name))
    }
    serve(io.of(/^\/room-\d+$/))
    this.where = { port: await bind(server), close: () => shut(server) }
  }

  closeEngine() {
    void this.io.close()
  }

  async connect({ as, how, ns = '/', reconnects = false, auth }) {
    if (this.clients.has(as)) return
    const { Manager } = require(CLIENTS[this.program.protocol])
    const manager = new Manager(`http://127.0.0.1:${this.where.port}`, {
      path: this.program.options.path ?? '/socket.io',
      transports: TRANSPORTS[how],
      query: { name: as },
      reconnection: reconnects,
      reconnectionDelay: 20,
      reconnectionDelayMax: 20,
      randomizationFactor: 0,
      reconnectionAttempts: 2,
      autoConnect: false,
    })
    const client = { name: as, manager, how, auth, sockets: new Map() }
    this.clients.set(as, client)
    this.streams.add({ end: () => manager._close?.() ?? manager.close?.() })
    this.observer.manager(manager, `client ${as}`)
    await this.openNamespace(as, ns)
  }

  get upgrades() {
    const { allowUpgrades, transports } = this.program.options
    return allowUpgrades !== false && transports === undefined
  }

  async openNamespace(as, ns) {
    const client = this.clients.get(as)
    if (client === undefined || client.sockets.has(ns)) return
    const socket = client.manager.socket(ns, { auth: client.auth })
    client.sockets.set(ns, socket)
    this.observer.client(socket, this.clientName(as, ns))
    await this.connectSocket(as, ns)
  }

  async connectSocket(as, ns) {
    const { manager, how } = this.clients.get(as)
    const socket = this.clientSocket(as, ns)
    // a client that is refused closes its connection: whether that has begun to upgrade by then is left to chance
    if (how === 'upgrade' && this.upgrades && this.mayRefuse(ns) && stateOf(manager) === 'closed') {
      manager.open()
      await this.within(this.observer.upgraded(manager), HANDSHAKE)
    }
    const settled = new Promise((resolve) => {
      for (const event of ['connect', 'connect_error', 'error']) socket.once(event, resolve)
    })
    socket.connect()
    if (!socket.connected) await this.within(settled, HANDSHAKE)
  }

  /** Whether a namespace may refuse clients: it is none, or has a middleware that does. */
  mayRefuse(ns) {
    return ns === '/nowhere' || this.refusing.has(ns)
  }

  clientName(as, ns) {
    return `client ${as} ${ns}`
  }

  clientSocket(as, ns) {
    return this.clients.get(as)?.sockets.get(ns)
  }

  /** The server's socket for a client: its last. */
  serverSocket(as, ns) {
    return this.observer.sockets.findLast(({ client, ns: name }) => client === as && name === ns)?.socket
  }

  nameOf(socket) {
    return this.observer.sockets.find((one) => one.socket === socket)?.name ?? 'server'
  }

  /** Whether a client connects, or upgrades, or an acknowledgement may still come: each comes to an end. */
  isConnecting() {
    if (super.isConnecting() || this.awaited > 0) return true
    for (const { manager } of this.clients.values()) {
      if (manager._reconnecting || manager.reconnecting || stateOf(manager) === 'opening') return true
      // its server may have still to hear of the upgrade
      const { engine } = manager
      const conn = this.connOf(engine)
      if (engine?.readyState !== 'open' || conn?.readyState !== 'open') continue
      if (engine.transport.name === 'websocket' && conn.transport.name === 'polling') return true
    }
    return false
  }

  /** Whether something is under way that may never arrive: an upgrade, the end of a connection, or messages, which may be refused or dropped. */
  isWaiting() {
    return (
      this.underWay > 0 ||
      [...this.clients.values()].some(({ manager: { engine } }) => {
        const conn = this.connOf(engine)
        return (
          engine?.upgrading || (conn !== undefined && (engine.readyState === 'open') !== (conn.readyState === 'open'))
        )
      })
    )
  }

  /** The server's side of a client's connection. */
  connOf(engine) {
    return this.observer.conns.find(({ conn }) => conn.id === engine?.id)?.conn
  }

  async settle() {
    await super.settle()
    this.underWay = 0
  }

  idNames() {
    const names = new Map()
    for (const { name, socket } of this.observer.sockets) names.set(socket.id, name.replace('server socket ', ''))
    const counts = new Map()
    for (const { conn, name } of this.observer.conns) {
      const client = name.split(' ')[1]
      counts.set(client, (counts.get(client) ?? 0) + 1)
      names.set(conn.id, `connection ${client} ${counts.get(client)}`)
    }
    return names
  }

  hangUp() {
    for (const { conn } of this.observer.conns) if (conn.readyState !== 'closed') this.quietly(() => conn.close(true))
    this.quietly(() => void this.io?.close())
  }
}

module.exports = { SocketIoWorld }
