'use strict'

const { randomBytes } = require('node:crypto')

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==' // RFC 6455, section 1.3

/** Bytes of one frame. `length` announces another payload length, `form` forces 16 or 64 bit lengths. */
function frame({ fin = true, rsv = 0, opcode = 1, payload = '', mask = true, length, form }) {
  const data = Buffer.from(payload)
  const announced = BigInt(length ?? data.length)
  const bits = form ?? (announced > 65535n ? 64 : announced > 125n ? 16 : 7)
  const head = [Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode])]
  const masked = mask ? 0x80 : 0
  if (bits === 7) {
    head.push(Buffer.from([masked | Number(announced)]))
  } else if (bits === 16) {
    const bytes = Buffer.from([masked | 126, 0, 0])
    bytes.writeUInt16BE(Number(announced), 1)
    head.push(bytes)
  } else {
    const bytes = Buffer.concat([Buffer.from([masked | 127]), Buffer.alloc(8)])
    bytes.writeBigUInt64BE(announced, 1)
    head.push(bytes)
  }
  if (!mask) {
    return Buffer.concat([...head, data])
  }
  const key = randomBytes(4)
  return Buffer.concat([...head, key, data.map((byte, i) => byte ^ key[i & 3])])
}

/** The frame that the bytes begin with, which is not masked; undefined: there is more to come. `size`: its bytes, all in all. */
function readFrame(bytes) {
  if (bytes.length < 2) return undefined
  let headerLength = 2
  let length = bytes[1] & 127
  if (length === 126) {
    if (bytes.length < 4) return undefined
    length = bytes.readUInt16BE(2)
    headerLength = 4
  } else if (length === 127) {
    if (bytes.length < 10) return undefined
    length = Number(bytes.readBigUInt64BE(2))
    headerLength = 10
  }
  const size = headerLength + length
  if (bytes.length < size) return undefined
  return {
    fin: (bytes[0] & 128) !== 0,
    rsv: (bytes[0] >> 4) & 7,
    opcode: bytes[0] & 15,
    masked: (bytes[1] & 128) !== 0,
    headerLength,
    payload: bytes.subarray(headerLength, size),
    size,
  }
}

/** Payload of a close frame. */
function closePayload(code, reason = '') {
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(code)
  return Buffer.concat([payload, Buffer.from(reason)])
}

function upgradeRequest(path, { method = 'GET', version = '1.1', headers = {} } = {}) {
  const all = {
    Host: '127.0.0.1',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': KEY,
    ...headers,
  }
  const lines = Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [].concat(value).map((v) => `${name}: ${v}\r\n`))
  return `${method} ${path} HTTP/${version}\r\n${lines.join('')}\r\n`
}

module.exports = { frame, readFrame, closePayload, upgradeRequest, KEY }
