'use strict'

// What attacks are made of: requests, handshakes and channels by one door, in one revision of the protocol.

const { upgradeRequest } = require('../support/websocket')
const { Peer, WebSocketChannel, StreamChannel } = require('./peer')
const { PATH } = require('./doors')

class Attacker {
  /**
   * @param {object} row of the table
   * @param {{port: number, channelPort?: number}} server
   * @param {(what: string) => Promise<any>} act has the application do something
   * @param {{port: number, channelPort?: number}} other a second server behind a door of the same kind
   */
  constructor(row, server, act, other) {
    this.row = row
    this.protocol = row.protocol
    this.server = server
    this.act = act
    this.other = other
    this.peers = []
  }

  get isStream() {
    return this.row.door === 'WebTransport'
  }

  target(query = {}) {
    const all = { EIO: String(this.protocol), transport: 'polling', attacker: '1', ...query }
    return `${PATH}?${new URLSearchParams(Object.entries(all).filter(([, value]) => value !== undefined))}`
  }

  async connect(server = this.server) {
    const peer = new Peer({ port: server.port, tls: this.row.tls })
    this.peers.push(peer)
    await peer.opened
    return peer
  }

  /** A request on `peer`, or a connection of its own; its answer is owed. */
  async request({ method = 'GET', query, target = this.target(query), headers = {}, body, peer, server } = {}) {
    peer ??= await this.connect(server)
    const lines = Object.entries({
      Host: 'x',
      ...(body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }),
      ...headers,
    })
    peer.owed++
    peer.write(`${method} ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
    if (body !== undefined) peer.write(body)
    return peer
  }

  /** Opens a session by polling: its id. */
  async handshake(query, server) {
    const peer = await this.request({ query, server })
    const response = await peer.answer()
    const [, sid] = /"sid":"([^"]+)"/.exec(response?.body ?? '') ?? []
    if (sid === undefined) throw new Error(`no handshake: ${JSON.stringify(response)}`)
    peer.destroy()
    return sid
  }

  poll(sid, options) {
    return this.request({ query: { sid }, ...options })
  }

  payload(...packets) {
    return this.protocol === 3 ? packets.map((packet) => `${packet.length}:${packet}`).join('') : packets.join('\x1e')
  }

  post(sid, body, options) {
    return this.request({
      method: 'POST',
      query: { sid },
      headers: { 'Content-Type': 'text/plain;charset=UTF-8' },
      body,
      ...options,
    })
  }

  /** An upgrade request, whose answer is owed. */
  async upgrade({ query, peer, server, headers, head = '' } = {}) {
    peer ??= await this.connect(server)
    peer.owed++
    peer.write(upgradeRequest(this.target({ transport: 'websocket', ...query }), { headers }))
    if (head.length > 0) peer.write(head)
    return peer
  }

  /** A connection on which the protocol has been switched. */
  async switched(query, server) {
    const peer = await this.upgrade({ query, server })
    const response = await peer.answer()
    if (response?.status !== 101) throw new Error(`no upgrade: ${JSON.stringify(response)}`)
    return peer
  }

  /** The stream of a WebTransport session, without a packet. */
  async stream(server = this.server) {
    const peer = new Peer({ port: server.channelPort })
    this.peers.push(peer)
    await peer.opened
    return peer.write(Buffer.from([1]))
  }

  /** A channel that carries no session yet; for the session `sid`, or to open one. */
  async channel(sid, server) {
    if (!this.isStream) return new WebSocketChannel(await this.switched({ sid }, server))
    const channel = new StreamChannel(await this.stream(server))
    return channel.send(sid === undefined ? '0' : `0${JSON.stringify({ sid })}`)
  }

  /** A session opened by a channel. */
  async session() {
    const channel = await this.channel()
    const opened = await channel.packet()
    ;[, channel.sid] = /"sid":"([^"]+)"/.exec(opened ?? '') ?? []
    if (channel.sid === undefined) throw new Error(`no session: ${opened}`)
    return channel
  }

  /** A channel that has probed for a new session. */
  async probing() {
    const sid = await this.handshake()
    const channel = await this.channel(sid)
    channel.sid = sid
    const pong = await channel.send('2probe').packet()
    if (pong !== '3probe') throw new Error(`no answer to the probe: ${pong}`)
    return channel
  }

  /** A session that has moved to a channel. */
  async upgraded() {
    const channel = await this.probing()
    const echo = await channel.send('5').send('4moved').message()
    if (echo !== '4moved') throw new Error(`no upgrade: ${echo}`)
    return channel
  }

  /** The answer to a request that its parser may end, or not even notice. */
  async leniently(peer) {
    if (this.row.parser === undefined) return peer.answer()
    peer.owed = 0
    return Promise.race([peer.answer().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 300))])
  }

  /** Waits until whatever is owed has come. */
  async settled() {
    await Promise.all(this.peers.map((peer) => peer.settled()))
  }

  destroy() {
    for (const peer of this.peers) peer.destroy()
  }
}

module.exports = { Attacker }
