'use strict'

const zlib = require('node:zlib')
const { frame, text, ping, fragments, cut, close } = require('../frames')
const { Deflater } = require('../deflate')

const ON = { perMessageDeflate: { threshold: 1024 }, maxHttpBufferSize: 4_000_000 }
const SMALL = { perMessageDeflate: { threshold: 1024 }, maxHttpBufferSize: 10_000 }
const OFFER = 'permessage-deflate'
const TRAILER = Buffer.from([0x00, 0x00, 0xff, 0xff])

/** Text as applications send it: compressible, and never twice the same. */
function json(size, seed) {
  let out = '4['
  for (let i = 0; out.length < size; i++)
    out += `{"id":${(seed * 7919 + i * 104729) % 1_000_003},"name":"user ${i % 17}","ok":${i % 2 === 0}},`
  return out.slice(0, size)
}

/** Bytes that zlib cannot make smaller. */
function noise(size, seed) {
  const out = Buffer.alloc(size)
  let state = seed * 2_654_435_761 + 1
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    out[i] = state >>> 24
  }
  return out
}

const compressedText = (deflater, message) => frame('text', deflater.deflate(message), { rsv: 4 })
const compressedBinary = (deflater, message) => frame('binary', deflater.deflate(message), { rsv: 4 })

const SIZES = [16, 64, 256, 1024, 4096, 16_384, 65_536, 131_072]
/** Every parameter alone, with every value, and together. */
const TERMS = [
  '',
  '; client_no_context_takeover',
  '; server_no_context_takeover',
  '; client_no_context_takeover; server_no_context_takeover',
  '; client_max_window_bits',
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((bits) => `; client_max_window_bits=${bits}`),
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((bits) => `; server_max_window_bits=${bits}`),
  '; client_max_window_bits=9; server_max_window_bits=9; client_no_context_takeover; server_no_context_takeover',
  '; client_max_window_bits=10; server_max_window_bits=12',
]

const whole = (message) => new Deflater('').deflate(message)

/** [options of the server, offer] */
const NEGOTIATIONS = [
  [true, ''],
  [true, 'permessage-deflate'],
  [true, 'x-webkit-deflate-frame'],
  [true, 'x-foo, permessage-deflate'],
  [true, 'permessage-deflate, permessage-deflate; client_no_context_takeover'],
  [true, 'permessage-deflate; client_no_context_takeover, permessage-deflate'],
  [true, 'permessage-deflate; server_no_context_takeover'],
  [true, 'permessage-deflate; client_no_context_takeover'],
  [true, 'permessage-deflate; client_max_window_bits'],
  [true, 'permessage-deflate; client_max_window_bits=10'],
  [true, 'permessage-deflate; client_max_window_bits="10"'],
  [true, 'permessage-deflate; server_max_window_bits=10'],
  [true, 'permessage-deflate; server_max_window_bits'],
  [true, 'permessage-deflate; server_max_window_bits=7'],
  [true, 'permessage-deflate; server_max_window_bits=16'],
  [true, 'permessage-deflate; client_max_window_bits=16'],
  [true, 'permessage-deflate; client_max_window_bits=x'],
  [true, 'permessage-deflate; client_max_window_bits=10.5'],
  [true, 'permessage-deflate; unknown'],
  [true, 'permessage-deflate; unknown=1, permessage-deflate'],
  [true, 'permessage-deflate; client_no_context_takeover; client_no_context_takeover'],
  [true, 'permessage-deflate; client_no_context_takeover=1'],
  [true, 'permessage-deflate; server_no_context_takeover='],
  [true, 'permessage-deflate;'],
  [true, ';permessage-deflate'],
  [true, 'permessage-deflate; ='],
  [true, 'permessage-deflate, '],
  [true, 'permessage-deflate; client_max_window_bits="10'],
  [true, 'Permessage-Deflate'],
  [true, 'permessage-deflate  ;  client_no_context_takeover  ,  x-foo'],
  [{ serverNoContextTakeover: true }, 'permessage-deflate'],
  [{ serverNoContextTakeover: false }, 'permessage-deflate; server_no_context_takeover'],
  [{ serverNoContextTakeover: false }, 'permessage-deflate; server_no_context_takeover, permessage-deflate'],
  [{ clientNoContextTakeover: true }, 'permessage-deflate'],
  [{ clientNoContextTakeover: false }, 'permessage-deflate; client_no_context_takeover'],
  [{ serverMaxWindowBits: 12 }, 'permessage-deflate'],
  [{ serverMaxWindowBits: 12 }, 'permessage-deflate; server_max_window_bits=10'],
  [{ serverMaxWindowBits: 12 }, 'permessage-deflate; server_max_window_bits=14'],
  [{ serverMaxWindowBits: false }, 'permessage-deflate; server_max_window_bits=14'],
  [{ clientMaxWindowBits: 12 }, 'permessage-deflate'],
  [{ clientMaxWindowBits: 12 }, 'permessage-deflate; client_max_window_bits'],
  [{ clientMaxWindowBits: 12 }, 'permessage-deflate; client_max_window_bits=10'],
  [{ clientMaxWindowBits: 12 }, 'permessage-deflate; client_max_window_bits=14'],
  [{ clientMaxWindowBits: false }, 'permessage-deflate; client_max_window_bits=14'],
  [false, 'permessage-deflate'],
  [false, 'permessage-deflate; unknown='],
]

const shownOptions = (options) => (typeof options === 'object' ? JSON.stringify(options) : options ? 'on' : 'off')

/** Categories 11 to 14: permessage-deflate. */
module.exports = [
  ...NEGOTIATIONS.map(([options, offer], i) => ({
    id: `11.1.${i + 1}`,
    what: `server ${shownOptions(options)}, offer: ${offer}`,
    negotiate: [offer, options],
  })),
  ...SIZES.flatMap((size, i) => [
    {
      id: `12.1.${i + 1}`,
      what: `50 compressed texts of ${size} bytes`,
      bytes: (header, deflater = new Deflater(header)) =>
        Array.from({ length: 50 }, (_, n) => compressedText(deflater, json(size, n))),
    },
    {
      id: `12.2.${i + 1}`,
      what: `50 compressed binaries of ${size} bytes of noise`,
      bytes: (header, deflater = new Deflater(header)) =>
        Array.from({ length: 50 }, (_, n) => compressedBinary(deflater, noise(size, n))),
    },
    {
      id: `12.3.${i + 1}`,
      what: `10 compressed texts of ${size} bytes in fragments of 100 bytes`,
      bytes: (header, deflater = new Deflater(header)) =>
        Array.from({ length: 10 }, (_, n) =>
          fragments('text', cut(deflater.deflate(json(size, n)), 100), { rsv: 4 }),
        ).flat(),
    },
  ]),
  ...TERMS.map((terms, i) => ({
    id: `13.1.${i + 1}`,
    what: `20 compressed texts of 8 KiB with the offer ${OFFER}${terms}`,
    offer: OFFER + terms,
    bytes: (header, deflater = new Deflater(header)) =>
      Array.from({ length: 20 }, (_, n) => compressedText(deflater, json(8192, n % 4))),
  })),
  { id: '14.1.1', what: 'a text that is not compressed', bytes: [text(json(2000, 1))] },
  {
    id: '14.1.2',
    what: 'compressed and plain messages by turns',
    bytes: (header, deflater = new Deflater(header)) =>
      Array.from({ length: 10 }, (_, n) =>
        n % 2 === 0 ? compressedText(deflater, json(3000, n)) : text(json(3000, n)),
      ),
  },
  {
    id: '14.1.3',
    what: 'compressed text in TCP segments of 1 byte',
    bytes: [frame('text', whole(json(500, 1)), { rsv: 4 })],
    chop: 1,
  },
  {
    id: '14.1.4',
    what: 'ping between compressed fragments',
    bytes: () => {
      const [first, ...rest] = fragments('text', cut(whole(json(500, 1)), 40), { rsv: 4 })
      return [first, ping('p'), ...rest]
    },
  },
  {
    id: '14.1.5',
    what: 'compressed text whose first fragment is empty',
    bytes: fragments('text', ['', whole('4hello')], { rsv: 4 }),
  },
  {
    id: '14.1.6',
    what: 'compressed text whose last fragment is empty',
    bytes: fragments('text', [whole('4hello'), ''], { rsv: 4 }),
  },
  {
    id: '14.1.7',
    what: 'stored, not compressed (zlib level 0)',
    bytes: [frame('text', new Deflater('', { level: 0 }).deflate('4hello'), { rsv: 4 })],
  },
  {
    id: '14.1.8',
    what: 'two deflate blocks in one message',
    bytes: [frame('text', Buffer.concat([whole('4hel'), TRAILER, whole('lo')]), { rsv: 4 })],
  },
  {
    id: '14.1.9',
    what: 'a final block, then another message',
    bytes: [
      frame('text', zlib.deflateRawSync(Buffer.from('4hello')), { rsv: 4 }),
      frame('text', whole('4again'), { rsv: 4 }),
    ],
  },
  {
    id: '14.1.10',
    what: 'the trailer is not left out',
    bytes: [
      frame('text', zlib.deflateRawSync(Buffer.from('4hello'), { finishFlush: zlib.constants.Z_SYNC_FLUSH }), {
        rsv: 4,
      }),
    ],
  },
  { id: '14.2.1', what: 'empty compressed text', bytes: [frame('text', '', { rsv: 4 })] },
  {
    id: '14.2.2',
    what: 'compressed text that inflates to nothing',
    bytes: [frame('text', Buffer.from([0x00]), { rsv: 4 })],
  },
  { id: '14.2.3', what: 'empty compressed binary', bytes: [frame('binary', '', { rsv: 4 })] },
  {
    id: '14.2.4',
    what: 'compressed binary that inflates to nothing',
    bytes: [frame('binary', Buffer.from([0x00]), { rsv: 4 })],
  },
  {
    id: '14.3.1',
    what: 'RSV1 on a continuation',
    bytes: [frame('text', whole('4a'), { rsv: 4, fin: false }), frame('continuation', '', { rsv: 4 })],
  },
  { id: '14.3.2', what: 'RSV1 on a ping', bytes: [ping('p', { rsv: 4 })] },
  { id: '14.3.3', what: 'RSV1 on a close frame', bytes: [close(1000, '', { rsv: 4 })] },
  { id: '14.3.4', what: 'RSV2 with permessage-deflate', bytes: [text('4a', { rsv: 2 })] },
  {
    id: '14.3.5',
    what: 'RSV1 without permessage-deflate',
    bytes: [frame('text', whole('4a'), { rsv: 4 })],
    offer: undefined,
    plain: true,
  },
  { id: '14.4.1', what: 'invalid block type', bytes: [frame('binary', Buffer.from([0x07, 0x00]), { rsv: 4 })] },
  {
    id: '14.4.2',
    what: 'invalid stored block length',
    bytes: [frame('binary', Buffer.from([0x00, 0x01, 0x02, 0x03, 0x04]), { rsv: 4 })],
  },
  {
    id: '14.4.3',
    what: 'too many code lengths',
    bytes: [frame('binary', Buffer.from([0xfc, 0xff, 0xff, 0xff]), { rsv: 4 })],
  },
  {
    id: '14.4.4',
    what: 'invalid distance',
    bytes: [frame('binary', Buffer.from([0x02, 0x7e, 0xff, 0xff]), { rsv: 4 })],
  },
  {
    id: '14.4.5',
    what: 'compressed data cut off',
    bytes: [frame('binary', whole(json(500, 1)).subarray(0, 60), { rsv: 4 })],
  },
  {
    id: '14.4.6',
    what: 'invalid data in the second fragment',
    bytes: [...fragments('binary', [whole('a'), Buffer.from([0x07, 0xff])], { rsv: 4 })],
  },
  {
    id: '14.4.7',
    what: 'compressed text that is not UTF-8',
    bytes: [frame('text', whole(Buffer.from([0x34, 0xed, 0xa0, 0x80])), { rsv: 4 })],
  },
  {
    id: '14.4.8',
    what: 'compressed character cut between two fragments',
    bytes: fragments('text', cut(whole('4€€€€'), 2), { rsv: 4 }),
  },
  {
    id: '14.4.9',
    what: 'a reference before the window that was agreed',
    offer: `${OFFER}; client_max_window_bits=9`,
    bytes: () => [
      frame('binary', new Deflater('', { bits: 15 }).deflate(Buffer.concat([noise(2000, 1), noise(2000, 1)])), {
        rsv: 4,
      }),
    ],
  },
  {
    id: '14.4.10',
    what: 'a reference to a message before, though contexts are not taken over',
    offer: `${OFFER}; client_no_context_takeover`,
    bytes: (header, deflater = new Deflater('')) => [
      compressedBinary(deflater, noise(600, 1)),
      compressedBinary(deflater, noise(600, 1)),
    ],
  },
  {
    id: '14.5.1',
    what: 'inflates to exactly the limit',
    bytes: [frame('binary', whole(Buffer.alloc(10_000)), { rsv: 4 })],
    opts: SMALL,
  },
  {
    id: '14.5.2',
    what: 'inflates to one byte more',
    bytes: [frame('binary', whole(Buffer.alloc(10_001)), { rsv: 4 })],
    opts: SMALL,
  },
  {
    id: '14.5.3',
    what: 'a bomb of 10 MB in 10 KB',
    bytes: [frame('binary', whole(Buffer.alloc(9_700_000)), { rsv: 4 })],
    opts: SMALL,
  },
  {
    id: '14.5.4',
    what: 'a bomb in fragments',
    bytes: fragments('binary', cut(whole(Buffer.alloc(1_000_000)), 300), { rsv: 4 }),
    opts: SMALL,
  },
  {
    id: '14.5.5',
    what: 'compressed to more than the limit',
    bytes: [frame('binary', whole(noise(10_000, 1)), { rsv: 4 })],
    opts: SMALL,
  },
  {
    id: '14.5.6',
    what: 'compressed binary of 1 MiB',
    bytes: () => [frame('binary', whole(Buffer.alloc(1_048_576, '0123456789abcdef')), { rsv: 4 })],
  },
].map((script) => (script.negotiate ? script : { offer: script.plain ? undefined : OFFER, opts: ON, ...script }))
