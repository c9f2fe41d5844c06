'use strict'

const { text, ping, close, frame, fragments } = require('../frames')

const KINDS = [
  ['text', '4x'],
  ['binary', 'x'],
  ['ping', 'x'],
  ['pong', 'x'],
  ['close', ''],
]

/** Category 3: reserved bits. Category 4: reserved opcodes. */
module.exports = [
  ...KINDS.flatMap(([kind, payload], i) =>
    [1, 2, 3, 4, 5, 6, 7].map((rsv) => ({
      id: `3.${i + 1}.${rsv}`,
      what: `${kind} with RSV ${rsv.toString(2).padStart(3, '0')}`,
      bytes: [frame(kind, payload, { rsv })],
    })),
  ),
  {
    id: '3.6.1',
    what: 'text, then one with RSV2 in the same TCP segment, then a ping',
    bytes: [Buffer.concat([text('4a'), text('4b', { rsv: 2 }), ping('p')])],
  },
  {
    id: '3.6.2',
    what: 'the same in TCP segments of 1 byte',
    bytes: [text('4a'), text('4b', { rsv: 2 }), ping('p')],
    chop: 1,
  },
  {
    id: '3.6.3',
    what: 'continuation with RSV1',
    bytes: [fragments('text', ['4a', 'b'])[0], frame('continuation', 'b', { rsv: 4 })],
  },
  { id: '3.6.4', what: 'RSV3 in the first fragment', bytes: fragments('text', ['4a', 'b'], { rsv: 1 }) },
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap((opcode, i) => [
    { id: `4.1.${i + 1}`, what: `opcode ${opcode} without payload`, bytes: [frame(opcode)] },
    {
      id: `4.2.${i + 1}`,
      what: `opcode ${opcode} with payload, after a text`,
      bytes: [text('4a'), frame(opcode, 'reserved'), ping('p')],
    },
  ]),
  { id: '4.3.1', what: 'opcode 3 in TCP segments of 1 byte', bytes: [frame(3, 'reserved')], chop: 1 },
  {
    id: '4.3.2',
    what: 'opcode 11 between fragments',
    bytes: [fragments('text', ['4a', 'b'])[0], frame(11), fragments('text', ['4a', 'b'])[1]],
  },
  { id: '4.3.3', what: 'opcode 7 with RSV2: the bits are judged first', bytes: [frame(7, '', { rsv: 2 })] },
  { id: '4.3.4', what: 'opcode 7 after a close frame', bytes: [close(1000), frame(7)] },
]
