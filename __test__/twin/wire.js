'use strict'

// The client's end of one connection: writes bytes as told, and records what comes back: responses with their headers as
// they were sent, and frames.

const net = require('node:net')
const tls = require('node:tls')
const zlib = require('node:zlib')
const { frame, readFrame, closePayload } = require('../support/frames')
const { brief } = require('./show')

const WINDOW = 32 * 1024

class Wire {
  /**
   * @param {object} world whose client it is
   * @param {string} name of the stream that what comes is recorded in
   * @param {{ method?: string, deaf?: boolean, onResponse?: Function, onFrame?: Function, onEnd?: Function }} options
   */
  constructor(world, name, options = {}) {
    this.world = world
    this.name = name
    this.options = options
    this.methods = [options.method ?? 'GET']
    this.bytes = Buffer.alloc(0)
    this.open = true
    this.upgraded = false
    this.responses = 0
    this.inflated = Buffer.alloc(0)
    const { port, tls: encrypted } = world.where
    this.below = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.socket = encrypted
      ? tls.connect({ socket: this.below, rejectUnauthorized: false, allowHalfOpen: true })
      : this.below
    this.below.on('error', () => {})
    this.socket.on('error', (error) =>
      this.#end(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'reset' : `error ${error.code}`),
    )
    this.socket.on('end', () => this.#end('end'))
    this.socket.on('close', () => this.#end('reset'))
    this.socket.on('data', (chunk) => {
      this.bytes = Buffer.concat([this.bytes, chunk])
      while (this.#take());
    })
    this.connecting = true
    this.connected = new Promise((resolve) =>
      this.socket.once(encrypted ? 'secureConnect' : 'connect', resolve).once('close', resolve),
    )
    this.connected.then(() => (this.connecting = false))
    world.wires.add(this)
  }

  #end(how) {
    if (!this.open) return
    this.open = false
    if (this.untilEnd !== undefined) this.#respond(this.untilEnd, this.bytes.toString('latin1'))
    else if (this.bytes.length > 0) this.record(`cut off after ${brief(this.bytes)}`)
    // which of the two it is depends on what the kernel still held
    this.record(this.world.program.mode === 'https' ? 'end' : how)
    if (how === 'end' && !this.options.deaf) this.socket.end()
    this.options.onEnd?.()
  }

  record(text) {
    if (!this.gone) this.world.record(this.name, text)
  }

  #take() {
    if (this.upgraded) return this.#takeFrame()
    if (this.untilEnd !== undefined) return false
    const end = this.bytes.indexOf('\r\n\r\n')
    if (end === -1) return false
    const head = this.bytes.subarray(0, end).toString('latin1')
    const status = Number(head.split(' ')[1])
    const length = /^content-length: *(\d+)/im.exec(head)
    const chunked = /^transfer-encoding: *chunked/im.test(head)
    const method = this.methods[this.responses] ?? 'GET'
    let at = end + 4
    let body = Buffer.alloc(0)
    if (status === 101) {
      this.upgraded = true
      this.deflated = /^sec-websocket-extensions: .*permessage-deflate/im.test(head)
    } else if (status === 204 || status === 304 || status < 200 || method === 'HEAD') {
      // no body
    } else if (chunked) {
      const parts = []
      for (;;) {
        const line = this.bytes.indexOf('\r\n', at)
        if (line === -1) return false
        const size = parseInt(this.bytes.toString('latin1', at, line), 16)
        if (this.bytes.length < line + 2 + size + 2) return false
        parts.push(this.bytes.subarray(line + 2, line + 2 + size))
        at = line + 2 + size + 2
        if (size === 0) break
      }
      body = Buffer.concat(parts)
    } else if (length !== null) {
      if (this.bytes.length < at + Number(length[1])) return false
      body = this.bytes.subarray(at, at + Number(length[1]))
      at += Number(length[1])
    } else {
      this.bytes = this.bytes.subarray(at)
      this.untilEnd = head
      return false
    }
    this.bytes = this.bytes.subarray(at)
    this.responses++
    this.#respond(head, body, status)
    return true
  }

  #respond(head, body) {
    const status = Number(head.split(' ')[1])
    const encoding = /^content-encoding: *(\w+)/im.exec(head)?.[1]
    let bytes = Buffer.from(body, 'latin1')
    if (encoding === 'gzip') bytes = zlib.gunzipSync(bytes)
    else if (encoding === 'deflate') bytes = zlib.inflateSync(bytes)
    const lines = head.split('\r\n').map((line) => line.replace(/^(date: ).*/i, '$1<date>'))
    // as bytes of the compressed body: another library makes others of them
    const kept = encoding ? lines.map((line) => line.replace(/^(content-length: ).*/i, '$1<compressed>')) : lines
    this.record(`${kept[0]}\n${kept.slice(1).join('\n')}\n\n${brief(bytes)}`)
    this.options.onResponse?.(status, bytes)
  }

  #takeFrame() {
    const next = readFrame(this.bytes)
    if (next === undefined) return false
    this.bytes = this.bytes.subarray(next.size)
    const { fin, rsv, opcode, masked } = next
    const payload = rsv === 4 && this.deflated ? this.#inflate(next.payload) : next.payload
    const marks = `${fin ? '' : ' unfinished'}${rsv ? ` rsv ${rsv}` : ''}${masked ? ' masked' : ''}`
    if (opcode === 8) {
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 'without code'
      this.record(`frame close${marks} ${code} ${JSON.stringify(payload.toString('utf8', 2))}`)
      if (!this.options.deaf && !this.saidClose) {
        this.saidClose = true
        this.write(frame({ opcode: 8, payload: payload.length >= 2 ? closePayload(payload.readUInt16BE(0)) : '' }))
      }
    } else {
      const kind = { 0: 'continuation', 1: 'text', 2: 'binary', 9: 'ping', 10: 'pong' }[opcode] ?? `opcode ${opcode}`
      const text = opcode === 1
      this.record(`frame ${kind}${marks} ${text ? brief(payload) : brief(payload, 'hex')}`)
      this.options.onFrame?.(opcode, payload)
    }
    return true
  }

  #inflate(payload) {
    const options = { finishFlush: zlib.constants.Z_SYNC_FLUSH }
    if (this.inflated.length > 0) options.dictionary = this.inflated
    const tail = Buffer.from([0, 0, 255, 255])
    let plain
    try {
      plain = zlib.inflateRawSync(Buffer.concat([payload, tail]), options)
    } catch (error) {
      this.record(`cannot be inflated: ${error.code}`)
      return payload
    }
    this.inflated = Buffer.concat([this.inflated, plain]).subarray(-WINDOW)
    return plain
  }

  /** Resolves when a text frame says this. */
  next(text) {
    return new Promise((resolve) => {
      const { onFrame } = this.options
      this.options.onFrame = (opcode, payload) => {
        onFrame?.(opcode, payload)
        if (opcode === 1 && payload.toString() === text) resolve()
      }
    })
  }

  write(data) {
    if (this.socket.writable) this.socket.write(data)
  }

  /** Ends this side in order. */
  end() {
    this.socket.end()
  }

  /** Cuts the connection off; what comes of it is seen at the server's side alone. */
  cut(how = 'destroy') {
    this.gone = true
    this.open = false
    if (how === 'reset' && this.socket === this.below && !this.below.destroyed && !this.below.connecting)
      this.below.resetAndDestroy()
    this.socket.destroy()
    this.below.destroy()
  }
}

module.exports = { Wire }
