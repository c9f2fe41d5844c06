'use strict'

// The client beside the attacker: it says one message after the other, each of which names it, and wants each back, once
// and in order.

const eio = require('engine.io-client')
const eio3 = require('engine.io-client-v3')
const { Peer, StreamChannel } = require('./peer')

const MS = 10_000

class Honest {
  constructor(row, server, name) {
    this.name = name
    this.sent = 0
    this.received = 0
    this.fault = undefined
    this.stopping = false
    this.waiters = new Set()
    this.link = row.door === 'WebTransport' ? new StreamLink(this, server) : new ClientLink(this, row, server)
    this.timer = undefined
  }

  onOpen() {
    this.#say()
  }

  #say() {
    if (!this.stopping) this.link.send(`${this.name}:${++this.sent}`)
  }

  onMessage(data) {
    if (data !== `${this.name}:${this.received + 1}`)
      return this.fail(`got ${data} after ${this.received} of its own messages`)
    this.received++
    for (const waiter of [...this.waiters]) waiter()
    this.timer = setTimeout(() => this.#say(), 40)
  }

  onClose(reason) {
    if (!this.stopping) this.fail(`its session was closed: ${reason}`)
  }

  fail(what) {
    this.fault ??= `the honest client: ${what}`
    for (const waiter of [...this.waiters]) waiter()
  }

  /** Resolves when `count` more messages have come back. */
  more(count) {
    const wanted = this.received + count
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.fail(`no answer within ${MS} ms (${this.received} of ${this.sent})`)
      }, MS)
      const look = () => {
        if (this.fault === undefined && this.received < wanted) return
        clearTimeout(timer)
        this.waiters.delete(look)
        if (this.fault === undefined) resolve()
        else reject(new Error(this.fault))
      }
      this.waiters.add(look)
      look()
    })
  }

  stop() {
    this.stopping = true
    clearTimeout(this.timer)
    this.link.close()
  }
}

/** The real client of the protocol's revision, which begins with polling and upgrades. */
class ClientLink {
  constructor(honest, row, { port }) {
    const { Socket } = row.protocol === 3 ? eio3 : eio
    this.socket = new Socket(`${row.tls ? 'wss' : 'ws'}://127.0.0.1:${port}`, {
      path: '/engine.io/',
      rejectUnauthorized: false,
    })
    this.socket.on('open', () => honest.onOpen())
    this.socket.on('message', (data) => honest.onMessage(data))
    this.socket.on('close', (reason) => honest.onClose(reason))
    this.socket.on('error', (error) => honest.onClose(error.message))
  }

  send(text) {
    this.socket.send(text)
  }

  close() {
    this.socket.close()
  }
}

/** The client's side of the protocol over a WebTransport stream. */
class StreamLink {
  constructor(honest, { channelPort }) {
    this.peer = new Peer({ port: channelPort })
    this.channel = new StreamChannel(this.peer)
    this.#run(honest).catch((error) => honest.onClose(error.message))
  }

  async #run(honest) {
    this.peer.write(Buffer.from([0]))
    this.send('', '0')
    const opened = await this.channel.packet()
    if (opened === undefined || !opened.startsWith('0{')) return honest.onClose(`handshake: ${opened}`)
    honest.onOpen()
    for (;;) {
      const packet = await this.channel.packet()
      if (packet === undefined) return honest.onClose('end of the stream')
      if (packet === '2') this.send('', '3')
      else if (packet.startsWith('4')) honest.onMessage(packet.slice(1))
    }
  }

  send(text, type = '4') {
    this.channel.send(`${type}${text}`)
  }

  close() {
    this.peer.destroy()
  }
}

module.exports = { Honest }
