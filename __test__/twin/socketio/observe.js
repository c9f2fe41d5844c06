'use strict'

// What is seen of Socket.IO's objects on both ends.

/** Events of the adapter. */
const ADAPTER = new Set(['create-room', 'join-room', 'leave-room', 'delete-room'])

/** Connections of clients, as the server names them: the n-th socket of a client in a namespace. */
class Observer {
  constructor(world) {
    this.world = world
    this.sockets = []
    this.conns = []
    this.sessions = []
  }

  show(value) {
    return this.world.show(value)
  }

  server(io) {
    const { world } = this
    for (const event of world.program.watch.server) {
      if (ADAPTER.has(event)) continue
      const emitter = event === 'new_namespace' ? io : io.engine
      emitter.on(event, (...args) =>
        world.record('server', `${event}(${args.map((arg) => describe(arg, world)).join(', ')})`),
      )
    }
    io.engine.on('connection', (conn) => this.connection(conn))
  }

  namespace(nsp) {
    const { world } = this
    for (const event of world.program.watch.server) {
      if (!ADAPTER.has(event)) continue
      // whether one connection ends before another begins is left to chance: rooms and those in them are told apart
      nsp.adapter.on(event, (room, id = room) =>
        world.record(`namespace ${nsp.name}, ${id}`, `${event}(${world.show(room)}, ${world.show(id)})`),
      )
    }
  }

  connection(conn) {
    const { world } = this
    const name = `connection ${conn.request._query.name ?? '?'} ${conn.id}`
    this.conns.push({ name, conn })
    world.record(name, 'opened')
    for (const event of world.program.watch.session) {
      // packets have marks in them that are other ones each time
      if (event.startsWith('packet') && world.program.options.connectionStateRecovery) continue
      conn.on(event, (...args) =>
        world.record(`${name}, ${event}`, `${event}(${args.map((arg) => describe(arg, world)).join(', ')})`),
      )
    }
  }

  socket(socket) {
    const { world } = this
    const client = String(socket.handshake.query.name)
    const count = this.sockets.filter((one) => one.client === client && one.ns === socket.nsp.name).length + 1
    const name = `server socket ${client} ${socket.nsp.name} ${count}`
    this.sockets.push({ name, client, ns: socket.nsp.name, socket })
    world.record(
      name,
      `connection, recovered ${socket.recovered}, ${socket.conn.transport.name}, rooms ${world.show([...socket.rooms])}`,
    )
    socket.onAny((...args) => {
      world.underWay--
      world.record(name, `event ${world.show(args)}`)
    })
    // what comes in one read depends on the time; so does what goes out in between
    socket.onAnyOutgoing((...args) => {
      world.underWay++
      world.record(`${name}, outgoing`, world.show(args))
    })
    socket.on('disconnecting', (reason) =>
      world.record(name, `disconnecting ${reason}, rooms ${world.show([...socket.rooms])}`),
    )
    socket.on('disconnect', (reason, description) =>
      world.record(name, `disconnect ${reason} ${world.show(description)}`),
    )
    socket.on('error', (error) => world.record(`${name}, errors`, `error ${world.show(error)}`))
  }

  /** @param {object} socket of a client of version 4, or 2 */
  client(socket, name) {
    const { world } = this
    socket.on('connect', () => world.record(name, `connect, recovered ${socket.recovered}`))
    for (const event of ['connect_error', 'error', 'disconnect']) {
      socket.on(event, (...args) =>
        world.record(name, `${event}(${args.map((arg) => describe(arg, world)).join(', ')})`),
      )
    }
    const hear = (...args) => {
      world.underWay--
      const ack = typeof args.at(-1) === 'function' ? args.pop() : undefined
      world.record(name, `event ${world.show(args)}${ack ? ' with ack' : ''}`)
      if (ack) ack('answer of the client', args.length)
    }
    if (socket.onAny) socket.onAny(hear)
    else
      for (const event of ['greeting', 'echoed', 'relayed', 'question', 'published', 'asked', 'message'])
        socket.on(event, (...args) => hear(event, ...args))
  }

  manager(manager, name) {
    const { world } = this
    manager.on('open', async () => {
      const { engine } = manager
      // version 2 has no `opts`
      const { transports } = engine.opts ?? engine
      if (!world.upgrades || engine.transport.name !== 'polling' || transports.length === 1) return
      // a client that has connected is not at rest before it has its WebSocket
      world.awaited++
      await endOfUpgrade(engine)
      world.awaited--
    })
    for (const event of ['open', 'close', 'reconnect', 'reconnect_failed']) {
      manager.on(event, (...args) =>
        world.record(name, `${event}(${args.map((arg) => describe(arg, world)).join(', ')})`),
      )
    }
  }

  /** Resolves when the connection that a client opens has been upgraded, or has ended. */
  upgraded(manager) {
    return new Promise((resolve) => {
      manager.once('open', () => resolve(endOfUpgrade(manager.engine)))
      for (const event of ['error', 'connect_error', 'close']) manager.once(event, resolve)
    })
  }

  snapshot() {
    const { io, clients } = this.world
    const all = { server: { clientsCount: String(io.engine.clientsCount), namespaces: [...io._nsps.keys()].join(' ') } }
    for (const nsp of io._nsps.values())
      all[`namespace ${nsp.name}`] = { sockets: String(nsp.sockets.size), rooms: roomsOf(nsp) }
    for (const { name, socket } of this.sockets) {
      all[name] = {
        connected: String(socket.connected),
        rooms: [...socket.rooms].join(' '),
        data: this.show(socket.data),
        recovered: String(socket.recovered),
      }
    }
    for (const { name, conn } of this.conns) {
      all[name] = {
        readyState: conn.readyState,
        transport: conn.transport.name,
        upgraded: String(conn.upgraded),
        writeBuffer: String(conn.writeBuffer.length),
      }
    }
    for (const { name, sockets } of clients.values()) {
      for (const [ns, socket] of sockets) {
        all[`client ${name} ${ns}`] = {
          connected: String(socket.connected),
          active: String(socket.active),
          sendBuffer: String(socket.sendBuffer.length),
          engine: String(socket.io.engine?.readyState),
          transport: String(socket.io.engine?.transport?.name),
        }
      }
    }
    return all
  }
}

function endOfUpgrade(engine) {
  return new Promise((resolve) => {
    for (const event of ['upgrade', 'upgradeError', 'close']) engine.once(event, resolve)
  })
}

/** Rooms and their sizes; each socket has one of its own, which are counted. */
function roomsOf({ adapter }) {
  const named = [...adapter.rooms]
    .filter(([room]) => !adapter.sids.has(room))
    .map(([room, ids]) => `${room}: ${ids.size}`)
  return `${adapter.rooms.size - named.length} of sockets, ${named.sort().join(', ')}`
}

/** Arguments of events: objects of the engine by what they are. */
function describe(arg, world) {
  if (arg === null || typeof arg !== 'object' || Array.isArray(arg)) return world.show(arg)
  if (arg instanceof Error)
    return `${arg.constructor.name} ${arg.type ?? ''} ${world.show(arg.message)} ${world.show(arg.data)} ${describeCause(arg.description)}`
  if (typeof arg.url === 'string' && arg.headers !== undefined) return `<request ${arg.method}>`
  if (arg.req !== undefined && arg.code !== undefined)
    return `{code ${arg.code}, ${world.show(arg.message)}, ${world.show(arg.context?.name ?? arg.context)}}`
  if (arg.context !== undefined) return '{description with context}'
  if (arg.name !== undefined && arg.sockets !== undefined) return `<namespace ${arg.name}>`
  if (typeof arg.emit === 'function') return `<${arg.constructor.name} ${arg.name ?? ''}>`
  return world.show(arg)
}

/**
 * What the client's transport says about an error: a status, or an event of its WebSocket. Whether the port of a server that
 * closes is still open when a client comes back is left to chance.
 */
function describeCause(cause) {
  if (typeof cause !== 'object' || cause === null) return String(cause)
  return `${cause.type} ${String(cause.message).replace(/.*(ECONNREFUSED|ECONNRESET|socket hang up).*/, 'no server')}`
}

module.exports = { Observer }
