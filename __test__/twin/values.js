'use strict'

// Messages as data: a program can be printed, and its values made smaller.

const { brief } = require('./show')

function drawValue(random) {
  return random.pick([
    () => ({ text: random.pick(['hello', 'a', 'ü€😀', '', 'line\nfeed\\n', '\u2028', '\x1e', '0']) }),
    () => ({ text: random.pick(['one', 'two', 'three']) }),
    () => ({ text: 'x', times: random.pick([150, 1100, 3000, 70_000]) }),
    () => ({
      bytes: random.pick(['', '00', '01020304', 'ff1e04']),
      as: random.pick(['Buffer', 'Buffer', 'Uint8Array', 'ArrayBuffer', 'DataView']),
    }),
  ])()
}

/** Things that are no messages. */
const drawOddValue = (random) =>
  random.pick([{ json: 5 }, { json: null }, { json: { a: 1 } }, { json: true }, { json: 0 }, {}])

function makeValue(value) {
  if (value === undefined) return undefined
  if (value.text !== undefined) return value.text.repeat(value.times ?? 1)
  if (value.bytes !== undefined) {
    const bytes = Buffer.from(value.bytes, 'hex')
    if (value.as === 'Buffer' || value.as === undefined) return bytes
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
    if (value.as === 'ArrayBuffer') return buffer
    return value.as === 'DataView' ? new DataView(buffer) : new Uint8Array(buffer)
  }
  return value.json
}

function tellValue(value) {
  if (value?.text !== undefined) return brief(makeValue(value))
  if (value?.bytes !== undefined) return `${value.as ?? 'Buffer'} <${value.bytes}>`
  return JSON.stringify(value?.json)
}

module.exports = { drawValue, drawOddValue, makeValue, tellValue }
