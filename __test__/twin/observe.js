'use strict'

// What is seen of the application's objects: events with their arguments, callbacks, exceptions, and the state that the
// objects show. Only what the program watches is listened for, because an engine may do less where nobody listens.

const { EventEmitter } = require('node:events')
const { IncomingMessage } = require('node:http')
const { makeShow } = require('./show')

const EVENTS = {
  server: ['connection_error', 'headers', 'initial_headers', 'flush', 'drain'],
  session: [
    'open',
    'packet',
    'packetCreate',
    'data',
    'message',
    'flush',
    'drain',
    'heartbeat',
    'upgrading',
    'upgrade',
    'close',
    'error',
  ],
  transport: ['packet', 'headers', 'ready', 'drain', 'error', 'close'],
}

/** Events at which the state of the object is part of what is told. */
const TELLING = new Set(['upgrading', 'upgrade', 'close', 'error', 'connection'])

class Observer {
  /** @param {(object: string, text: string) => void} record */
  constructor(record, watch) {
    this.record = record
    this.watch = watch
    this.names = new Map()
    this.sessions = []
    this.transports = []
    this.show = makeShow((value) => this.#nameOf(value))
  }

  #nameOf(value) {
    const name = this.names.get(value)
    if (name !== undefined) return `<${name}>`
    // both look like what they are, whatever they are made of
    if (value instanceof IncomingMessage || (typeof value.url === 'string' && value.headers !== undefined)) {
      const sid = value._query?.sid
      // that of uServer's requests is not in their URL
      const session = typeof sid === 'string' && !value.url.includes(sid) ? ` of ${sid}` : ''
      return `<request ${value.method} ${value.url}${session}>`
    }
    if (typeof value.name === 'string' && typeof value.writable === 'boolean' && value.supportsBinary !== undefined)
      return `<transport ${value.name}>`
    return value instanceof EventEmitter ? `<${value.constructor.name}>` : undefined
  }

  server(engine) {
    this.engine = engine
    this.names.set(engine, 'server')
    this.#listen('server', 'server', engine)
  }

  /** @returns the name of its streams */
  session(socket) {
    const name = `session ${socket.id}`
    this.names.set(socket, name)
    this.sessions.push({ name, socket })
    this.record(name, `connection ${this.#sessionState(socket)}`)
    this.#listen('session', name, socket)
    if (this.watch.transport.length > 0) {
      this.transport(socket.transport, name)
      socket.on('upgrading', (transport) => this.transport(transport, name))
    }
    return name
  }

  transport(transport, session) {
    if (this.names.has(transport)) return
    const count = this.transports.filter((one) => one.session === session).length
    const name = `transport ${count} of ${session}`
    this.names.set(transport, name)
    this.transports.push({ name, transport, session })
    this.record(name, `seen ${this.#transportState(transport)}`)
    this.#listen('transport', name, transport)
  }

  #listen(kind, name, emitter) {
    for (const event of this.watch[kind]) {
      emitter.on(event, (...args) => {
        const state = TELLING.has(event) ? ` ${this.#stateOf(kind, emitter)}` : ''
        this.record(name, `${event}(${args.map((arg) => this.show(arg)).join(', ')})${state}`)
      })
    }
  }

  #stateOf(kind, object) {
    if (kind === 'session') return this.#sessionState(object)
    return kind === 'transport' ? this.#transportState(object) : ''
  }

  #sessionState(socket) {
    const flags = `${socket.upgrading ? ' upgrading' : ''}${socket.upgraded ? ' upgraded' : ''}`
    return `[${socket.readyState}${flags}, ${socket.writeBuffer?.length} in writeBuffer, clientsCount ${this.engine.clientsCount}]`
  }

  #transportState(transport) {
    return `[${transport.readyState}${transport.writable ? ' writable' : ''}${transport.discarded ? ' discarded' : ''}]`
  }

  /** The public state of every object: `{ name: { field: text } }`. */
  snapshot() {
    const all = { server: serverState(this.engine) }
    for (const { name, socket } of this.sessions) {
      all[name] = fields(socket, SESSION)
      // looking at it may make it
      if (this.watch.transport.length > 0) this.transport(socket.transport, name)
      all[name].transport = socket.transport.name
    }
    for (const { name, transport } of this.transports)
      all[name] = fields(transport, TRANSPORTS[transport.name] ?? TRANSPORT)
    return all
  }
}

const length = (value) => (value === undefined || value === null ? String(value) : String(value.length))
const presence = (value) => (value === null || value === undefined ? String(value) : 'there')

const SESSION = {
  readyState: (socket) => socket.readyState,
  upgrading: (socket) => String(socket.upgrading),
  upgraded: (socket) => String(socket.upgraded),
  protocol: (socket) => String(socket.protocol),
  remoteAddress: (socket) => String(socket.remoteAddress),
  writeBuffer: (socket) => length(socket.writeBuffer),
  packetsFn: (socket) => length(socket.packetsFn),
  sentCallbackFn: (socket) => length(socket.sentCallbackFn),
}

const TRANSPORT = {
  readyState: (transport) => transport.readyState,
  writable: (transport) => String(transport.writable),
  discarded: (transport) => String(transport.discarded),
  name: (transport) => transport.name,
  protocol: (transport) => String(transport.protocol),
  supportsBinary: (transport) => String(transport.supportsBinary),
}

const TRANSPORTS = {
  polling: {
    ...TRANSPORT,
    req: ({ req }) => presence(req),
    res: ({ res }) => presence(res),
    dataReq: ({ dataReq }) => presence(dataReq),
    dataRes: ({ dataRes }) => presence(dataRes),
    shouldClose: ({ shouldClose }) => presence(shouldClose),
  },
  websocket: {
    ...TRANSPORT,
    'socket.readyState': ({ socket }) => String(socket?.readyState),
    'socket.bufferedAmount': ({ socket }) => String(socket?.bufferedAmount),
  },
}

function fields(object, readers) {
  return Object.fromEntries(Object.entries(readers).map(([field, read]) => [field, read(object)]))
}

function serverState(engine) {
  return {
    clientsCount: String(engine.clientsCount),
    clients: String(Object.keys(engine.clients).length),
  }
}

module.exports = { Observer, EVENTS }
