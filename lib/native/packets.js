'use strict'

const { NOT_A_PACKET, PACKET_TYPES, PacketType } = require('./contract')

const { MESSAGE, NOOP } = PacketType
const NUMBERS = new Map(PACKET_TYPES.map((type, number) => [type, number]))

function packetType(packet) {
  if (packet.type === 'message') return MESSAGE
  const number = NUMBERS.get(packet.type)
  if (number === undefined)
    throw new TypeError(`expected a packet type (${PACKET_TYPES.join(', ')}), got ${String(packet.type)}`)
  return number
}

/**
 * Returns the number of an incoming packet's type, error packets included. A packet of an unknown type is shown to
 * listeners and proves that its client is alive, as a noop does.
 */
function receivedType(packet) {
  if (packet.type === 'error') return NOT_A_PACKET
  const number = NUMBERS.get(packet.type)
  return number === undefined ? NOOP : number
}

/**
 * Returns the content of a packet as the engine takes it: a string, a Uint8Array or undefined. Anything else is
 * converted here, when it is encoded and not before, so that plugins see the packet's own objects, as in the original.
 */
function content(data) {
  if (typeof data === 'string') return data
  if (data instanceof Uint8Array) return data
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return data ? '' + data : undefined
}

module.exports = { packetType, receivedType, content }
