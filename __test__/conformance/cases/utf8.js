'use strict'

const { text, fragments, frame, cut } = require('../frames')

const hex = (digits) => Buffer.from(digits.replace(/ /g, ''), 'hex')

/** Markus Kuhn's list, as in the Autobahn suite, and some more at the borders. */
const SEQUENCES = [
  ['valid: Greek', 'ce ba e1 bd b9 cf 83 ce bc ce b5'],
  [
    'valid: umlauts and ASCII',
    '48 65 6c 6c 6f 2d c2 b5 40 c3 9f c3 b6 c3 a4 c3 bc c3 a0 c3 a1 2d 55 54 46 2d 38 21 21',
  ],
  ['valid: first of 1 byte', '00'],
  ['valid: first of 2 bytes', 'c2 80'],
  ['valid: first of 3 bytes', 'e0 a0 80'],
  ['valid: first of 4 bytes', 'f0 90 80 80'],
  ['valid: last of 1 byte', '7f'],
  ['valid: last of 2 bytes', 'df bf'],
  ['valid: last of 3 bytes', 'ef bf bf'],
  ['valid: last of 4 bytes', 'f4 8f bf bf'],
  ['valid: before the surrogates', 'ed 9f bf'],
  ['valid: after the surrogates', 'ee 80 80'],
  ['valid: the replacement character', 'ef bf bd'],
  ['valid: noncharacter U+FFFE', 'ef bf be'],
  ['valid: noncharacter U+1FFFE', 'f0 9f bf be'],
  ['valid: noncharacter U+10FFFF', 'f4 8f bf bf'],
  ['valid: byte order mark', 'ef bb bf'],
  ['valid: emoji', 'f0 9f 98 80'],
  ['invalid: surrogate within text', 'ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65 64 69 74 65 64'],
  ['invalid: first of 5 bytes', 'f8 88 80 80 80'],
  ['invalid: first of 6 bytes', 'fc 84 80 80 80 80'],
  ['invalid: last of 4 bytes', 'f7 bf bf bf'],
  ['invalid: last of 5 bytes', 'fb bf bf bf bf'],
  ['invalid: last of 6 bytes', 'fd bf bf bf bf bf'],
  ['invalid: beyond U+10FFFF', 'f4 90 80 80'],
  ['invalid: first continuation byte', '80'],
  ['invalid: last continuation byte', 'bf'],
  ['invalid: 2 continuation bytes', '80 bf'],
  ['invalid: 3 continuation bytes', '80 bf 80'],
  ['invalid: 4 continuation bytes', '80 bf 80 bf'],
  ['invalid: 5 continuation bytes', '80 bf 80 bf 80'],
  ['invalid: first byte of 2 and a space', 'c0 20 c3 20 df 20'],
  ['invalid: first byte of 3 and a space', 'e0 20 e8 20 ef 20'],
  ['invalid: first byte of 4 and a space', 'f0 20 f4 20 f7 20'],
  ['invalid: 2 bytes, last missing', 'c3'],
  ['invalid: 3 bytes, last missing', 'e2 82'],
  ['invalid: 3 bytes, two missing', 'e2'],
  ['invalid: 4 bytes, last missing', 'f0 9f 98'],
  ['invalid: 4 bytes, two missing', 'f0 9f'],
  ['invalid: 4 bytes, three missing', 'f0'],
  ['invalid: 5 bytes, last missing', 'f8 80 80 80'],
  ['invalid: incomplete ones in a row', 'c3 e2 82 f0 9f 98'],
  ['invalid: fe', 'fe'],
  ['invalid: ff', 'ff'],
  ['invalid: fe fe ff ff', 'fe fe ff ff'],
  ['invalid: slash in 2 bytes', 'c0 af'],
  ['invalid: slash in 3 bytes', 'e0 80 af'],
  ['invalid: slash in 4 bytes', 'f0 80 80 af'],
  ['invalid: largest overlong of 2 bytes', 'c1 bf'],
  ['invalid: largest overlong of 3 bytes', 'e0 9f bf'],
  ['invalid: largest overlong of 4 bytes', 'f0 8f bf bf'],
  ['invalid: NUL in 2 bytes', 'c0 80'],
  ['invalid: NUL in 3 bytes', 'e0 80 80'],
  ['invalid: first high surrogate', 'ed a0 80'],
  ['invalid: last high surrogate', 'ed af bf'],
  ['invalid: first low surrogate', 'ed b0 80'],
  ['invalid: last low surrogate', 'ed bf bf'],
  ['invalid: pair of surrogates', 'ed a0 80 ed b0 80'],
  ['invalid: last pair of surrogates', 'ed af bf ed bf bf'],
]

const message = (sequence) => Buffer.concat([Buffer.from('4'), hex(sequence)])
const GREEK = hex('ce ba e1 bd b9 cf 83 ce bc ce b5')
const FAIL_FAST = 'ws looks at a text when it is complete, ours as soon as a frame of it has come or a part of one'

/** Category 6: UTF-8, whole, cut between all bytes, and judged early. */
module.exports = [
  {
    id: '6.1.1',
    what: 'texts in which nothing but the type comes',
    bytes: [text('4'), ...fragments('text', ['', '', '4'])],
  },
  ...SEQUENCES.flatMap(([what, sequence], i) => [
    { id: `6.2.${i + 1}`, what, bytes: [text(message(sequence))] },
    {
      id: `6.3.${i + 1}`,
      what: `${what}, in fragments of 1 byte`,
      bytes: fragments('text', cut(message(sequence), 1)),
    },
    { id: `6.4.${i + 1}`, what: `${what}, in TCP segments of 1 byte`, bytes: [text(message(sequence))], chop: 1 },
  ]),
  {
    id: '6.5.1',
    what: 'a character cut between two fragments, after another message',
    bytes: [text('4a'), ...fragments('text', [Buffer.from([0x34, 0xe2]), Buffer.from([0x82, 0xac])])],
  },
  {
    id: '6.5.2',
    what: 'a character cut by an empty fragment',
    bytes: fragments('text', [Buffer.from([0x34, 0xe2]), '', Buffer.from([0x82, 0xac])]),
  },
  {
    id: '6.5.3',
    what: 'a fragment that begins with a continuation byte',
    bytes: fragments('text', ['4a', Buffer.from([0x80])]),
  },
  { id: '6.5.4', what: 'a binary message may be anything', bytes: [frame('binary', hex('c0 80 ff'))] },
  {
    id: '6.6.1',
    what: 'invalid first fragment: is the second awaited?',
    bytes: fragments('text', [Buffer.concat([Buffer.from('4'), GREEK, hex('f4 90 80 80')]), 'edited']),
    early: 'ours',
    differs: FAIL_FAST,
  },
  {
    id: '6.6.2',
    what: 'invalid bytes in the middle of a frame: is its rest awaited?',
    bytes: [text(Buffer.concat([Buffer.from('4'), GREEK, hex('f4 90 80 80'), Buffer.from('edited')]))].flatMap(
      (all) => [all.subarray(0, -6), all.subarray(-6)],
    ),
    early: 'ours',
    differs: FAIL_FAST,
  },
  {
    id: '6.6.3',
    what: 'valid first fragment: the second is awaited',
    bytes: fragments('text', [Buffer.concat([Buffer.from('4'), GREEK, hex('f0 9f')]), hex('98 ff')]),
    early: 'none',
  },
]
