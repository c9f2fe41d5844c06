'use strict'

const { text, binary, fragments, frame, cut } = require('../frames')

const KIB = 1024
const MIB = 1024 * KIB
const LARGE = { maxHttpBufferSize: 32 * MIB }
const SMALL = { maxHttpBufferSize: 1000 }
const SIZES = [
  [64 * KIB, '64 KiB'],
  [256 * KIB, '256 KiB'],
  [MIB, '1 MiB'],
  [4 * MIB, '4 MiB'],
  [8 * MIB, '8 MiB'],
  [16 * MIB, '16 MiB'],
]

const letters = (size) => Buffer.from(`4${'abcdefghijklmnopqrstuvwxyz'.repeat(Math.ceil(size / 26))}`.slice(0, size))
const bytes = (size) => Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, i) => i)))

/** Category 9: large messages. Category 10: limits. Large ones are made when their turn comes. */
module.exports = [
  ...SIZES.flatMap(([size, name], i) => [
    { id: `9.1.${i + 1}`, what: `text of ${name}`, bytes: () => [text(letters(size))], opts: LARGE },
    { id: `9.2.${i + 1}`, what: `binary of ${name}`, bytes: () => [binary(bytes(size))], opts: LARGE },
    {
      id: `9.3.${i + 1}`,
      what: `text of ${name} in fragments of 64 KiB`,
      bytes: () => fragments('text', cut(letters(size), 64 * KIB)),
      opts: LARGE,
    },
    {
      id: `9.4.${i + 1}`,
      what: `binary of ${name} in fragments of 64 KiB`,
      bytes: () => fragments('binary', cut(bytes(size), 64 * KIB)),
      opts: LARGE,
    },
  ]),
  {
    id: '9.5.1',
    what: 'binary of 1 MiB in fragments of 256 bytes',
    bytes: () => fragments('binary', cut(bytes(MIB), 256)),
    opts: LARGE,
  },
  {
    id: '9.5.2',
    what: 'text of 1 MiB in fragments of 256 bytes',
    bytes: () => fragments('text', cut(letters(MIB), 256)),
    opts: LARGE,
  },
  {
    id: '9.5.3',
    what: 'text of 1 MiB in TCP segments of 997 bytes',
    bytes: () => [text(letters(MIB))],
    chop: 997,
    opts: LARGE,
  },
  {
    id: '9.5.4',
    what: 'text of 64 KiB in TCP segments of 64 bytes',
    bytes: () => [text(letters(64 * KIB))],
    chop: 64,
    opts: LARGE,
  },
  {
    id: '9.5.5',
    what: 'text of 1 MiB of characters of 3 bytes',
    bytes: () => [text(`4${'€'.repeat(350_000)}`)],
    opts: LARGE,
  },
  {
    id: '9.6.1',
    what: '1000 texts of 1 KiB',
    bytes: () => Array.from({ length: 1000 }, () => text(letters(KIB))),
    opts: LARGE,
  },
  {
    id: '9.6.2',
    what: '1000 binaries of 16 KiB',
    bytes: () => Array.from({ length: 1000 }, () => binary(bytes(16 * KIB))),
    opts: LARGE,
  },
  {
    id: '9.6.3',
    what: '10000 texts of 1 byte',
    bytes: () => [Buffer.concat(Array.from({ length: 10_000 }, () => text('4')))],
    opts: LARGE,
  },
  { id: '10.1.1', what: 'text of exactly the limit', bytes: [text(letters(1000))], opts: SMALL },
  { id: '10.1.2', what: 'text of one byte more', bytes: [text(letters(1001))], opts: SMALL },
  { id: '10.1.3', what: 'binary of exactly the limit', bytes: [binary(bytes(1000))], opts: SMALL },
  { id: '10.1.4', what: 'binary of one byte more', bytes: [binary(bytes(1001))], opts: SMALL },
  {
    id: '10.1.5',
    what: 'the length counts, not what came of it',
    bytes: [frame('text', '4', { length: 1001 })],
    opts: SMALL,
  },
  {
    id: '10.1.6',
    what: 'fragments of together the limit',
    bytes: fragments('binary', cut(bytes(1000), 100)),
    opts: SMALL,
  },
  {
    id: '10.1.7',
    what: 'fragments of together one byte more',
    bytes: fragments('binary', cut(bytes(1001), 100)),
    opts: SMALL,
  },
  {
    id: '10.1.8',
    what: 'the limit is per message',
    bytes: [binary(bytes(1000)), binary(bytes(1000)), ...fragments('text', cut(letters(1000), 500))],
    opts: SMALL,
  },
  { id: '10.1.9', what: 'characters count as bytes', bytes: [text(`4${'€'.repeat(334)}`)], opts: SMALL },
  { id: '10.2.1', what: 'length of 2^53 - 1', bytes: [frame('binary', '', { length: 2n ** 53n - 1n })], opts: SMALL },
  { id: '10.2.2', what: 'length of 2^53', bytes: [frame('binary', '', { length: 2n ** 53n })], opts: SMALL },
  {
    id: '10.2.3',
    what: 'length with its highest bit set',
    bytes: [frame('binary', '', { length: 2n ** 63n + 1n })],
    opts: SMALL,
  },
  { id: '10.2.4', what: 'length of 2^32', bytes: [frame('binary', '', { length: 2n ** 32n })], opts: SMALL },
  {
    id: '10.3.1',
    what: '16384 empty fragments',
    bytes: () => [Buffer.concat(fragments('binary', Array(16_384).fill('')))],
    opts: LARGE,
  },
  {
    id: '10.3.2',
    what: '16385 empty fragments',
    bytes: () => [Buffer.concat(fragments('binary', Array(16_385).fill('')))],
    opts: LARGE,
  },
  {
    id: '10.3.3',
    what: '16384 fragments of 1 byte',
    bytes: () => [Buffer.concat(fragments('binary', Array(16_384).fill('x')))],
    opts: LARGE,
  },
]
