'use strict'

const { text, binary, ping, close, frame, fragments } = require('../frames')

const VALID = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
const INVALID = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]

/** Category 7: the closing handshake. */
module.exports = [
  { id: '7.1.1', what: 'text, then close', bytes: [text('4a'), close(1000)] },
  { id: '7.1.2', what: 'two close frames', bytes: [close(1000), close(1001)] },
  { id: '7.1.3', what: 'ping after close', bytes: [close(1000), ping('late')] },
  { id: '7.1.4', what: 'text after close', bytes: [close(1000), text('4late')] },
  {
    id: '7.1.5',
    what: 'the rest of a message after close',
    bytes: [fragments('text', ['4a', 'b'])[0], close(1000), fragments('text', ['4a', 'b'])[1]],
  },
  {
    id: '7.1.6',
    what: 'a large binary, then close and a ping',
    bytes: [binary(Buffer.alloc(262_144)), close(1000), ping('late')],
  },
  { id: '7.1.7', what: 'invalid frame after close', bytes: [close(1000), frame(3)] },
  { id: '7.1.8', what: 'close and text in one TCP segment', bytes: [Buffer.concat([close(1000), text('4late')])] },
  { id: '7.1.9', what: 'close in TCP segments of 1 byte', bytes: [close(1000, 'bye')], chop: 1 },
  { id: '7.3.1', what: 'close without payload', bytes: [close()] },
  { id: '7.3.2', what: 'close with a payload of 1 byte', bytes: [frame('close', 'a')] },
  { id: '7.3.3', what: 'close with a code', bytes: [close(1000)] },
  { id: '7.3.4', what: 'close with a code and a reason', bytes: [close(1000, 'Hello World!')] },
  { id: '7.3.5', what: 'close with a reason of 123 bytes', bytes: [close(1000, '*'.repeat(123))] },
  { id: '7.3.6', what: 'close with a reason of 124 bytes', bytes: [close(1000, '*'.repeat(124))] },
  { id: '7.3.7', what: 'close with a reason beyond ASCII', bytes: [close(1000, 'Grüße 😀')] },
  { id: '7.3.8', what: 'close with its length in 16 bits', bytes: [close(1000, '', { form: 16 })] },
  {
    id: '7.5.1',
    what: 'close with a reason that is not UTF-8',
    bytes: [close(1000, Buffer.from('cebae1bdb9cf83cebcceb5eda080656469746564', 'hex'))],
  },
  {
    id: '7.5.2',
    what: 'close with a reason that ends within a character',
    bytes: [close(1000, Buffer.from([0x61, 0xe2, 0x82]))],
  },
  ...VALID.map((code, i) => ({ id: `7.7.${i + 1}`, what: `close with code ${code}`, bytes: [close(code)] })),
  ...INVALID.map((code, i) => ({ id: `7.9.${i + 1}`, what: `close with code ${code}`, bytes: [close(code)] })),
  { id: '7.10.1', what: 'close with an invalid code and a reason', bytes: [close(1005, 'no')] },
  {
    id: '7.10.2',
    what: 'close with a code and a reason in TCP segments of 1 byte',
    bytes: [close(3000, 'Hello World!')],
    chop: 1,
  },
]
