'use strict'

const { text, binary, ping, pong, close, frame, fragments, cut } = require('../frames')

const PARTS = ['4frag', 'ment1', 'fragment2']
const [FIRST, SECOND, THIRD] = fragments('text', PARTS)
const rest = (payload, fin) => frame('continuation', payload, { fin })

/** Category 5: fragmentation. */
module.exports = [
  { id: '5.1.1', what: 'ping in two fragments', bytes: [ping('p', { fin: false }), rest('q', true)] },
  { id: '5.1.2', what: 'pong in two fragments', bytes: [pong('p', { fin: false }), rest('q', true)] },
  { id: '5.1.3', what: 'close in two fragments', bytes: [close(1000, '', { fin: false }), rest('', true)] },
  { id: '5.2.1', what: 'text in two fragments', bytes: fragments('text', ['4a', 'b']) },
  { id: '5.2.2', what: 'text in three fragments', bytes: [FIRST, SECOND, THIRD] },
  { id: '5.2.3', what: 'text in three fragments in one TCP segment', bytes: [Buffer.concat([FIRST, SECOND, THIRD])] },
  { id: '5.2.4', what: 'text in three fragments in TCP segments of 1 byte', bytes: [FIRST, SECOND, THIRD], chop: 1 },
  { id: '5.2.5', what: 'binary in two fragments', bytes: fragments('binary', ['ab', 'c']) },
  {
    id: '5.2.6',
    what: 'binary in 256 fragments of 1 byte',
    bytes: fragments('binary', cut(Buffer.from(Array.from({ length: 256 }, (_, i) => i)), 1)),
  },
  { id: '5.2.7', what: 'text in fragments, the first one empty', bytes: fragments('text', ['', '4a']) },
  { id: '5.2.8', what: 'text in fragments, all empty but the middle one', bytes: fragments('text', ['', '4a', '']) },
  { id: '5.2.9', what: 'text in fragments, all empty', bytes: fragments('text', ['', '', '']) },
  { id: '5.2.10', what: 'binary in fragments, all empty', bytes: fragments('binary', ['', '', '']) },
  {
    id: '5.2.11',
    what: 'two fragmented texts after each other',
    bytes: [...fragments('text', ['4a', 'b']), ...fragments('text', ['4c', 'd'])],
  },
  {
    id: '5.2.12',
    what: 'fragmented text, whole binary, fragmented binary',
    bytes: [...fragments('text', ['4a', 'b']), binary('c'), ...fragments('binary', ['d', 'e'])],
  },
  {
    id: '5.2.13',
    what: 'fragment whose length has 64 bits',
    bytes: [frame('text', '4a', { fin: false, form: 64 }), rest('b', true)],
  },
  { id: '5.3.1', what: 'ping between two fragments', bytes: [FIRST, ping('p'), rest('x', true)] },
  {
    id: '5.3.2',
    what: 'ping between two fragments in TCP segments of 1 byte',
    bytes: [FIRST, ping('p'), rest('x', true)],
    chop: 1,
  },
  {
    id: '5.3.3',
    what: 'pings between all of five fragments',
    bytes: ['4a', 'b', 'c', 'd', 'e'].flatMap((part, i) => [
      i === 0 ? frame('text', part, { fin: false }) : rest(part, i === 4),
      ping(`${i}`),
    ]),
  },
  {
    id: '5.3.4',
    what: 'ping, pong, ping between two fragments',
    bytes: [FIRST, ping('1'), pong('2'), ping('3'), rest('x', true)],
  },
  { id: '5.4.1', what: 'continuation of nothing, final', bytes: [rest('x', true)] },
  { id: '5.4.2', what: 'continuation of nothing, not final', bytes: [rest('x', false)] },
  { id: '5.4.3', what: 'continuation of nothing, then a text', bytes: [rest('x', true), text('4a')] },
  {
    id: '5.4.4',
    what: 'continuation of nothing in TCP segments of 1 byte',
    bytes: [rest('x', true), text('4a')],
    chop: 1,
  },
  { id: '5.4.5', what: 'continuation after a whole text', bytes: [text('4a'), rest('b', true)] },
  {
    id: '5.4.6',
    what: 'continuation after a text that was completed',
    bytes: [...fragments('text', ['4a', 'b']), rest('c', true)],
  },
  { id: '5.5.1', what: 'text inside a fragmented text', bytes: [FIRST, text('4b'), THIRD] },
  { id: '5.5.2', what: 'binary inside a fragmented text', bytes: [FIRST, binary('b'), THIRD] },
  { id: '5.5.3', what: 'text inside a fragmented binary', bytes: [frame('binary', 'a', { fin: false }), text('4b')] },
  { id: '5.5.4', what: 'first fragment twice', bytes: [FIRST, FIRST, THIRD] },
  {
    id: '5.5.5',
    what: 'text inside a fragmented text in TCP segments of 1 byte',
    bytes: [FIRST, text('4b'), THIRD],
    chop: 1,
  },
  { id: '5.6.1', what: 'close between two fragments', bytes: [FIRST, close(1000, 'bye'), THIRD] },
  {
    id: '5.6.2',
    what: 'close between two fragments in one TCP segment',
    bytes: [Buffer.concat([FIRST, close(1000, 'bye'), THIRD])],
  },
]
