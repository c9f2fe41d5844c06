'use strict'

/** The client's side of permessage-deflate, by zlib alone. */

const zlib = require('node:zlib')

const TRAILER = Buffer.from([0x00, 0x00, 0xff, 0xff])

/** The parameters of a Sec-WebSocket-Extensions response. */
function parameters(header = '') {
  const pairs = header
    .split(';')
    .slice(1)
    .map((part) => part.trim().split('='))
  return Object.fromEntries(pairs.map(([name, value]) => [name, value === undefined ? true : Number(value)]))
}

/** What came before, as far as the window reaches, if the context is taken over. */
class Context {
  constructor(bits, isKept) {
    this.size = 2 ** bits
    this.isKept = isKept
    this.past = Buffer.alloc(0)
  }

  options() {
    return this.past.length > 0 ? { dictionary: this.past } : {}
  }

  push(message) {
    if (this.isKept) this.past = Buffer.concat([this.past, message]).subarray(-this.size)
  }
}

/** Inflates what the server sends; fails if the server uses a larger window than was agreed. */
class Inflater {
  constructor(header) {
    const { server_max_window_bits: bits = 15, server_no_context_takeover: fresh = false } = parameters(header)
    this.bits = bits
    this.context = new Context(bits, !fresh)
  }

  inflate(payload) {
    const message = zlib.inflateRawSync(Buffer.concat([payload, TRAILER]), {
      windowBits: this.bits,
      finishFlush: zlib.constants.Z_SYNC_FLUSH,
      ...this.context.options(),
    })
    this.context.push(message)
    return message
  }
}

/** Deflates what the client sends, by the terms of the response or by worse ones. */
class Deflater {
  constructor(header, { bits, level = 6 } = {}) {
    const { client_max_window_bits: agreed = 15, client_no_context_takeover: fresh = false } = parameters(header)
    // zlib cannot deflate with a window of 8 bits
    this.bits = bits ?? Math.max(9, agreed)
    this.level = level
    this.context = new Context(this.bits, !fresh)
  }

  deflate(message) {
    const data = Buffer.from(message)
    if (data.length === 0) return Buffer.from([0x00])
    const compressed = zlib.deflateRawSync(data, {
      windowBits: this.bits,
      level: this.level,
      finishFlush: zlib.constants.Z_SYNC_FLUSH,
      ...this.context.options(),
    })
    this.context.push(data)
    return compressed.subarray(0, -TRAILER.length)
  }
}

module.exports = { Inflater, Deflater, parameters }
