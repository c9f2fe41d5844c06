'use strict'

const net = require('node:net')
const { defer } = require('./cleanup')
const { deadline, once } = require('./events')

/** A TCP peer that writes what it is told and keeps every byte it receives. */
class RawPeer {
  constructor(socket) {
    this.socket = socket
    this.chunks = []
    this.waiters = new Set()
    this.isClosed = false
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      this.chunks.push(chunk)
      this.wake()
    })
    this.closed = new Promise((resolve) => {
      socket.on('end', resolve)
      socket.on('close', resolve)
    }).then(() => {
      this.isClosed = true
      this.wake()
    })
    defer(() => socket.destroy())
  }

  static async connect(port) {
    const socket = net.connect({ host: '127.0.0.1', port })
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.setNoDelay(true)
    return new this(socket)
  }

  /** Everything received and not yet taken. */
  get bytes() {
    if (this.chunks.length !== 1) this.chunks = [Buffer.concat(this.chunks)]
    return this.chunks[0]
  }

  set bytes(rest) {
    this.chunks = [rest]
  }

  get text() {
    return this.bytes.toString('latin1')
  }

  write(data) {
    this.socket.write(data)
  }

  /** Sends RST. */
  reset() {
    this.socket.resetAndDestroy()
  }

  wake() {
    for (const waiter of [...this.waiters]) waiter()
  }

  /** Resolves with the first truthy value of `probe()`, which is asked again after each chunk. */
  until(probe, what = 'bytes', ms) {
    let waiter
    const found = new Promise((resolve, reject) => {
      waiter = () => {
        const value = probe() // may take bytes away: never ask again after it has found something
        if (value) {
          this.waiters.delete(waiter)
          resolve(value)
        } else if (this.isClosed) {
          reject(new Error(`connection closed while waiting for ${what}; received: ${JSON.stringify(this.text)}`))
        }
      }
      this.waiters.add(waiter)
      waiter()
    })
    return deadline(found, what, ms).finally(() => this.waiters.delete(waiter))
  }

  /** Resolves once the received text matches. */
  match(pattern, ms) {
    return this.until(() => pattern.exec(this.text), String(pattern), ms)
  }

  /** Resolves when the other side has ended or reset the connection. */
  end(ms) {
    return deadline(this.closed, 'end of the connection', ms)
  }
}

module.exports = { RawPeer }
