'use strict'

const { text, binary, close, frame } = require('../frames')

const SIZES = [1, 2, 124, 125, 126, 127, 128, 65_535, 65_536]
const message = (size) => `4${'*'.repeat(size - 1)}`
const bytes = (size) => Buffer.alloc(size, 0xfe)

/** Category 1: frames with payloads of every length class, masked and not. */
module.exports = [
  ...SIZES.map((size, i) => ({ id: `1.1.${i + 1}`, what: `text of ${size} bytes`, bytes: [text(message(size))] })),
  { id: '1.1.10', what: 'text of 65536 bytes in TCP segments of 997 bytes', bytes: [text(message(65_536))], chop: 997 },
  { id: '1.1.11', what: 'text of 127 bytes in TCP segments of 1 byte', bytes: [text(message(127))], chop: 1 },
  { id: '1.1.12', what: 'empty text', bytes: [text('')] },
  ...[0, ...SIZES].map((size, i) => ({
    id: `1.2.${i + 1}`,
    what: `binary of ${size} bytes`,
    bytes: [binary(bytes(size))],
  })),
  {
    id: '1.2.11',
    what: 'binary of 65536 bytes in TCP segments of 997 bytes',
    bytes: [binary(bytes(65_536))],
    chop: 997,
  },
  { id: '1.2.12', what: 'binary of 127 bytes in TCP segments of 1 byte', bytes: [binary(bytes(127))], chop: 1 },
  { id: '1.3.1', what: 'text of 5 bytes, length in 16 bits', bytes: [text('4four', { form: 16 })] },
  { id: '1.3.2', what: 'text of 5 bytes, length in 64 bits', bytes: [text('4four', { form: 64 })] },
  { id: '1.3.3', what: 'binary of 300 bytes, length in 64 bits', bytes: [binary(bytes(300), { form: 64 })] },
  { id: '1.3.4', what: 'empty binary, length in 64 bits', bytes: [binary('', { form: 64 })] },
  { id: '1.4.1', what: 'text without a mask', bytes: [text('4x', { mask: false })] },
  { id: '1.4.2', what: 'empty binary without a mask', bytes: [binary('', { mask: false })] },
  { id: '1.4.3', what: 'ping without a mask', bytes: [frame('ping', 'x', { mask: false })] },
  { id: '1.4.4', what: 'close without a mask', bytes: [close(1000, '', { mask: false })] },
  { id: '1.4.5', what: 'text without a mask after a sound one', bytes: [text('4a'), text('4b', { mask: false })] },
  {
    id: '1.5.1',
    what: '100 texts in one TCP segment',
    bytes: [Buffer.concat(Array.from({ length: 100 }, (_, i) => text(`4${i}`)))],
  },
  {
    id: '1.5.2',
    what: '100 texts in TCP segments of 3 bytes',
    bytes: Array.from({ length: 100 }, (_, i) => text(`4${i}`)),
    chop: 3,
  },
]
