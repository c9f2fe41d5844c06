'use strict'

// A cluster of engines in one process, made the way cluster engines are: a subclass of Server that serves requests of
// sessions which another member has, and takes sessions over when they upgrade.

const { engine } = require('./engine')

const { Server, Socket } = engine
const kHome = Symbol('home')

/** How long `connection` waits for a polling session to move to another member. */
const CONNECTION_DELAY = 150

class ClusterServer extends Server {
  /** @param {{members: ClusterServer[], forward?: boolean}} opts `forward`: websockets do not take sessions over */
  constructor(opts) {
    super(opts)
    // names as the published engines have them
    this._opts = { delay: CONNECTION_DELAY, ...opts }
    this._clients = new Map()
    this._opts.members.push(this)
  }

  // ---- requests of other members' sessions ----------------------------------------------------

  verify(req, upgrade, fn) {
    super.verify(req, upgrade, (code, context) => {
      if (code !== Server.errors.UNKNOWN_SID) return fn(code, context)
      const { sid, transport } = req._query
      const home = this._opts.members.find(({ clients }) => Object.hasOwn(clients, sid))
      if (home === undefined) return fn(code, context)
      if (!upgrade && home.clients[sid].transport.name !== 'polling') return fn(Server.errors.BAD_REQUEST, {})
      setImmediate(() => {
        if (upgrade && transport === 'websocket') {
          req[kHome] = home
          fn()
        } else {
          this.serveForOther(req, home)
        }
      })
    })
  }

  /** Answers one polling request with packets of the session's home, and hands the packets in it on. */
  serveForOther(req, home) {
    const { sid } = req._query
    const transport = this.createTransport('polling', req)
    transport.on('packet', (packet) => home.clients[sid]?.onPacket(packet))
    transport.on('close', () => req.method === 'POST' && home.clients[sid]?.onClose('transport close'))
    transport.on('error', () => home.clients[sid]?.onClose('transport error'))
    transport.onRequest(req)
    if (req.method === 'GET') home.lend(sid, transport)
  }

  /** The next packets of a session go to a poll that another member has got. */
  lend(sid, remote) {
    const client = this.clients[sid]
    const { transport } = client
    const { send } = Object.getPrototypeOf(transport)
    transport.req = true
    transport.writable = true
    transport.send = (packets) => {
      transport.send = send
      transport.req = null
      transport.writable = false
      remote.send(packets)
      client.onDrain()
    }
    client.flush()
  }

  // ---- websockets for other members' sessions -------------------------------------------------

  onWebSocket(req, socket, websocket) {
    const home = req[kHome]
    if (home === undefined) return super.onWebSocket(req, socket, websocket)
    websocket.on('error', () => {})
    req.websocket = websocket
    const { sid } = req._query
    const client = home.clients[sid]
    if (client === undefined || client.upgrading || client.upgraded) return websocket.close()
    client.upgrading = true
    const transport = this.createTransport('websocket', req)
    const abort = () => (client.upgrading = false)
    transport.once('close', abort)
    transport.on('error', abort)
    transport.on('packet', (packet) => {
      if (packet.type === 'ping' && packet.data === 'probe') {
        transport.send([{ type: 'pong', data: 'probe' }])
        if (client.transport.writable) client.sendPacket('noop')
      } else if (packet.type === 'upgrade') {
        transport.removeAllListeners()
        if (this._opts.forward) this.forward(client, transport)
        else this.takeOver(sid, home, transport, req)
      } else {
        abort()
        transport.close()
      }
    })
  }

  /** The session stays where it is; its packets travel by this member's websocket. */
  forward(client, remote) {
    const { transport } = client
    remote.on('packet', (packet) => client.onPacket(packet))
    remote.on('error', () => {})
    remote.once('close', () => client.onClose('transport close'))
    client.upgrading = false
    client.upgraded = true
    transport.send = (packets) => {
      transport.writable = false
      remote.send(packets)
    }
    remote.on('drain', () => client.onDrain())
    remote.on('ready', () => {
      transport.writable = true
      client.flush()
    })
    client.once('close', () => remote.close())
    transport.writable = true
    client.emit('upgrade', remote)
    client.flush()
  }

  /** The session moves here, with what waits to be sent. */
  takeOver(sid, home, transport, req) {
    const packets = home.giveAway(sid)
    const { send } = transport
    // the client has had its open packet
    transport.send = () => {}
    const client = new Socket(sid, this, transport, req, 4)
    transport.send = send
    client.upgraded = true
    this.clients[sid] = client
    this.clientsCount++
    client.once('close', () => {
      delete this.clients[sid]
      this.clientsCount--
    })
    // what the open packet left behind
    client.writeBuffer.length = 0
    client.transport.writable = true
    client.writeBuffer.push(...packets)
    super.emit('connection', client)
    client.emit('upgrade', transport)
    client.flush()
  }

  giveAway(sid) {
    const client = this.clients[sid]
    clearTimeout(this._clients.get(client))
    const packets = client.writeBuffer
    client.onClose('moved')
    return packets
  }

  emit(event, ...args) {
    if (event !== 'connection' || args[0].transport.name !== 'polling') return super.emit(event, ...args)
    const [client] = args
    const timer = setTimeout(() => super.emit(event, ...args), this._opts.delay)
    this._clients.set(client, timer)
    client.once('close', () => clearTimeout(timer))
    return true
  }
}

module.exports = { ClusterServer, CONNECTION_DELAY }
