'use strict'

/** What a case may send: frames of every kind, right or wrong. */

const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d])

/** A copy of `payload` under the mask, four bytes at a time: some payloads are large. */
function masked(payload) {
  const out = Buffer.alloc(Math.ceil(payload.length / 4) * 4)
  payload.copy(out)
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length / 4)
  const [key] = new Uint32Array(new Uint8Array(MASK).buffer)
  for (let i = 0; i < words.length; i++) words[i] ^= key
  return out.subarray(0, payload.length)
}

/** One frame. `length` announces another length than the payload's, `form` forces 16 or 64 bits for it. */
function frame(kind, payload = '', { fin = true, rsv = 0, mask = true, length, form } = {}) {
  const opcode = OPCODES[kind] ?? kind
  const data = Buffer.from(payload)
  const announced = BigInt(length ?? data.length)
  const bits = form ?? (announced > 65535n ? 64 : announced > 125n ? 16 : 7)
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  const bit = mask ? 0x80 : 0
  let head
  if (bits === 7) {
    head = Buffer.from([first, bit | Number(announced)])
  } else if (bits === 16) {
    head = Buffer.from([first, bit | 126, 0, 0])
    head.writeUInt16BE(Number(announced), 2)
  } else {
    head = Buffer.from([first, bit | 127, 0, 0, 0, 0, 0, 0, 0, 0])
    head.writeBigUInt64BE(announced, 2)
  }
  return Buffer.concat(mask ? [head, MASK, masked(data)] : [head, data])
}

const text = (payload, options) => frame('text', payload, options)
const binary = (payload, options) => frame('binary', payload, options)
const ping = (payload, options) => frame('ping', payload, options)
const pong = (payload, options) => frame('pong', payload, options)

/** A close frame; without a code it is empty. */
function close(code, reason = '', options) {
  if (code === undefined) return frame('close', '', options)
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(code)
  return frame('close', Buffer.concat([payload, Buffer.from(reason)]), options)
}

/** A message in several frames, cut into the given parts. */
function fragments(kind, parts, { rsv = 0 } = {}) {
  return parts.map((part, i) =>
    frame(i === 0 ? kind : 'continuation', part, { fin: i === parts.length - 1, rsv: i === 0 ? rsv : 0 }),
  )
}

/** `data` in parts of at most `size` bytes. */
function cut(data, size) {
  const bytes = Buffer.from(data)
  const parts = []
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size))
  return parts
}

module.exports = { frame, text, binary, ping, pong, close, fragments, cut }
