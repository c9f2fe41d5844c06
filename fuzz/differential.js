'use strict'

// Our decoders against those of the original, on random input: engine.io-parser (protocol 4), engine.io's own parser-v3
// and its JSONP form; frames and the headers of an upgrade as `ws` reads them. Both must make the same of the same bytes,
// and stop at the same place. (The fuzz target `frames_tungstenite` compares frames with tungstenite's.)
//
//   node fuzz/differential.js [--seconds 10] [--seed 1]

const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const querystring = require('node:querystring')
const readline = require('node:readline')
const { isDeepStrictEqual } = require('node:util')
const zlib = require('node:zlib')
const v4 = require('engine.io-parser')
// not exported
const v3 = require('../node_modules/engine.io/build/parser-v3')
const extension = require('../node_modules/ws/lib/extension')
const PerMessageDeflate = require('../node_modules/ws/lib/permessage-deflate')
const Receiver = require('../node_modules/ws/lib/receiver')
const subprotocol = require('../node_modules/ws/lib/subprotocol')

const BATCH = 1000
/** The largest message that the receivers of frames take, in bytes. */
const MAX_PAYLOAD = 1000
/** A request that has no answer but makes the others' answers come. */
const FLUSH = Buffer.alloc(5)

/** The decoders of the original, by the letter that names ours in `examples/decode.rs`. */
const DECODERS = {
  4: { name: 'payload, v4', decode: (bytes) => v4.decodePayload(bytes.toString()), seeds: 'payload_v4' },
  p: { name: 'packet, v4', decode: (bytes) => [v4.decodePacket(bytes.toString())], seeds: 'packet' },
  t: { name: 'text payload, v3', decode: (bytes) => all(bytes.toString()), seeds: 'payload_v3' },
  b: { name: 'binary payload, v3', decode: (bytes) => all(bytes), seeds: 'payload_v3' },
  q: { name: 'text packet, v3', decode: (bytes) => [v3.decodePacket(bytes.toString())], seeds: 'packet' },
  B: { name: 'binary packet, v3', decode: (bytes) => [v3.decodePacket(bytes)], seeds: 'packet' },
  f: { name: 'JSONP form', decode: form, seeds: 'jsonp', isValue: true },
  e: { name: 'extensions', decode: extensions, input: extensionsInput, isValue: true },
  s: { name: 'subprotocols', decode: protocols, input: protocolsInput, isValue: true },
  w: { name: 'frames', decode: (bytes) => frames(bytes, false), input: (random) => framesInput(random, false) },
  z: {
    name: 'compressed frames',
    decode: (bytes) => frames(bytes, true),
    input: (random) => framesInput(random, true),
  },
}

const TOKENS = [
  ...[
    '4',
    '2probe',
    '1',
    '0',
    '6',
    'b',
    'b4',
    '9',
    '\x1e',
    ':',
    'd=',
    '&',
    '=',
    '+',
    '%',
    '%0a',
    '%5Cn',
    '\\n',
    '\\\\n',
    '%e2%82%ac',
    '%ff',
    '%u20ac',
  ],
  ...[
    '0:',
    '1:4',
    '2:4a',
    '3:4😀',
    '2:😀',
    '6:b4AQID',
    ' 2:',
    '0x2:',
    '1e0:',
    '2.5:',
    '-1:',
    'Infinity:',
    'NaN:',
    '\u00a0',
    '\ufeff',
    '\u2028',
    '0b1:',
    '0o7:',
    '10:',
  ],
  ...['hello', 'é', '€', '😀', 'AQID', 'AQ==', '-_', '=', '!', '\u0000', '\ufffd', 'Ł'],
].map((text) => Buffer.from(text))
TOKENS.push(
  ...[
    [0, 2, 255],
    [1, 4, 255],
    [0, 1, 0, 255],
    [1, 12, 255],
    [1, 100, 255],
    [255],
    [0],
    [1],
    [2],
    [9],
    [0xed, 0xa0, 0x80],
    [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80],
  ].map((bytes) => Buffer.from(bytes)),
  ...[[0xc3], [0xe2, 0x82], [0xf0, 0x9f, 0x98], [0xff], [0x80], [0xf4, 0x90, 0x80, 0x80], [0xc0, 0x80]].map((bytes) =>
    Buffer.from(bytes),
  ),
)

async function main() {
  const { seconds, seed } = readArguments(process.argv.slice(2))
  const ours = start()
  const random = generator(seed)
  const counts = Object.fromEntries(
    Object.keys(DECODERS).map((letter) => [letter, { inputs: 0, packets: 0, errors: 0 }]),
  )
  const end = Date.now() + seconds * 1000
  while (Date.now() < end) {
    for (const [letter, { name, decode, seeds, isValue, input: make = input }] of Object.entries(DECODERS)) {
      const inputs = Array.from({ length: BATCH }, () => make(random, seeds))
      const answers = await ours(letter, inputs)
      const all = []
      for (const bytes of inputs) all.push(await decode(bytes))
      inputs.forEach((bytes, i) => {
        const expected = all[i]
        const theirs = isValue ? expected : expected.map(plain)
        if (!isDeepStrictEqual(answers[i], theirs) && !isKnown[letter]?.(bytes, answers[i], theirs))
          differ(name, bytes, answers[i], theirs)
        counts[letter].inputs++
        if (isValue) {
          counts[letter].packets += theirs ? 1 : 0
          return
        }
        counts[letter].packets += theirs.length
        counts[letter].errors += theirs.some(([type]) => type === 'error') ? 1 : 0
      })
    }
  }
  ours.end()
  console.log(`seed ${seed}`)
  for (const [letter, { inputs, packets, errors }] of Object.entries(counts)) {
    const { name, isValue } = DECODERS[letter]
    const made = isValue ? `${packets} accepted` : `${packets} packets, ${errors} errors`
    console.log(`${name.padEnd(20)}${inputs} inputs, ${made}: no difference`)
  }
}

function readArguments(args) {
  const options = { seconds: 10, seed: 1 }
  while (args.length > 0) {
    const name = args.shift().slice(2)
    if (!(name in options)) throw new Error(`what is --${name}?`)
    options[name] = Number(args.shift())
  }
  return options
}

function differ(name, bytes, ours, theirs) {
  console.error(`\n${name}: the decoders differ on ${bytes.length} bytes`)
  console.error(`  hex     ${bytes.toString('hex')}\n  text    ${JSON.stringify(bytes.toString())}`)
  console.error(`  ours    ${JSON.stringify(ours)}\n  theirs  ${JSON.stringify(theirs)}`)
  process.exit(1)
}

// ---- the original --------------------------------------------------------------------------

/**
 * The packets that the callback of parser-v3 sees. From a binary payload it goes on after a packet that is broken, to a
 * session that has just been closed for it and hears no more: ours stops.
 */
function all(data) {
  const packets = []
  v3.decodePayload(data, (packet) => {
    packets.push(packet)
  })
  const error = packets.findIndex(({ type }) => type === 'error')
  return error === -1 ? packets : packets.slice(0, error + 1)
}

/** As `transports/polling-jsonp.js` reads a form. */
function form(bytes) {
  const { d } = querystring.parse(bytes.toString())
  if (typeof d !== 'string') return null
  const text = d.replace(/(\\)?\\n/g, (match, slashes) => (slashes ? match : '\n')).replace(/\\\\n/g, '\\n')
  return wellFormed(text)
}

/** Differences that are meant to be, by decoder. */
const isKnown = { f: isCutEscape, w: isEarly, z: isEarly }

/** Ours finds what is no UTF-8 in the fragment where it comes, `ws` at the end of the message, if that comes. */
function isEarly(bytes, ours, theirs) {
  const [type, message] = ours.at(-1) ?? []
  const before = ours.slice(0, -1)
  return (
    type === 'error' &&
    (message === undefined || message.endsWith('invalid UTF-8 sequence')) &&
    isDeepStrictEqual(theirs.slice(0, before.length), before) &&
    theirs.slice(before.length).every(([type]) => type !== 'text')
  )
}

/**
 * Node's querystring takes `%4+1` for an escape cut in two by the plus: it then falls back to reading the low bytes of all
 * characters. Ours does not.
 */
function isCutEscape(bytes) {
  return /%[0-9a-f]?\+/i.test(bytes.toString('latin1'))
}

/** As `ws` answers an offer: the header, null without one, false for a refusal. */
function extensions(bytes) {
  const [first, second] = bytes
  const takeover = [false, true, undefined, undefined]
  const window = (bits) => (bits === 0 ? false : bits >= 8 ? bits : undefined)
  const deflate = new PerMessageDeflate({
    isServer: true,
    serverNoContextTakeover: takeover[first & 3],
    clientNoContextTakeover: takeover[(first >> 2) & 3],
    serverMaxWindowBits: window(second & 15),
    clientMaxWindowBits: window(second >> 4),
  })
  try {
    const offers = extension.parse(bytes.subarray(2).toString())
    if (!offers[PerMessageDeflate.extensionName]) return null
    return extension.format({
      [PerMessageDeflate.extensionName]: [deflate.accept(offers[PerMessageDeflate.extensionName])],
    })
  } catch {
    return false
  }
}

function protocols(bytes) {
  try {
    const [first] = subprotocol.parse(bytes.toString())
    return first
  } catch {
    return false
  }
}

/** What the receiver of `ws` makes of a stream of frames. */
async function frames(bytes, compressed) {
  const list = []
  const extensions = {}
  if (compressed) {
    const deflate = new PerMessageDeflate({ isServer: true, maxPayload: MAX_PAYLOAD })
    deflate.accept([{}])
    extensions[PerMessageDeflate.extensionName] = deflate
  }
  const receiver = new Receiver({ isServer: true, maxPayload: MAX_PAYLOAD, extensions })
  receiver.on('error', () => {})
  receiver.on('message', (data, binary) =>
    list.push({ type: binary ? 'binary' : 'text', data: binary ? data : data.toString() }),
  )
  receiver.on('ping', (data) => list.push({ type: 'ping', data }))
  receiver.on('pong', (data) => list.push({ type: 'pong', data }))
  receiver.on('conclude', (code, reason) => list.push({ type: `close ${code}`, data: reason }))
  const error = await new Promise((resolve) => receiver.write(bytes, resolve))
  // which of several faults of a compressed message is found first depends on how far it was inflated
  if (error) list.push({ type: 'error', data: compressed ? undefined : `${error.name}: ${error.message}` })
  if (compressed) extensions[PerMessageDeflate.extensionName].cleanup()
  return list
}

/** A packet in the form in which ours is printed. */
function plain({ type, data }) {
  if (type === 'error') return data === undefined || data === 'parser error' ? ['error'] : ['error', data]
  if (data === undefined) return [type ?? null]
  return [type ?? null, typeof data === 'string' ? wellFormed(data) : [...data]]
}

/** Lone surrogates become U+FFFD as soon as they are written anywhere. */
function wellFormed(text) {
  return Buffer.from(text).toString()
}

// ---- ours ----------------------------------------------------------------------------------

/** Builds and starts our decoders: `ours(letter, inputs)` resolves with what they make of the inputs. */
function start() {
  // unoptimised: overflow checks are on
  const build = ['build', '--quiet', '--example', 'decode', '--message-format=json']
  // in the directory of the package's own tests cargo would put this engine, of other features, in the place of theirs
  const directory = path.resolve(process.env.CARGO_TARGET_DIR || path.join(__dirname, 'target'), 'decode')
  const env = { ...process.env, CARGO_TARGET_DIR: directory }
  const built = spawnSync('cargo', build, {
    cwd: __dirname,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
  })
  if (built.status !== 0) throw new Error('the build failed')
  const messages = built.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const { executable } = messages.find((message) => message.executable && message.target.name === 'decode')
  const child = spawn(executable, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ours = async (letter, inputs) => {
    for (const bytes of inputs) {
      const head = Buffer.alloc(5)
      head.write(letter, 0)
      head.writeUInt32LE(bytes.length, 1)
      child.stdin.write(Buffer.concat([head, bytes]))
    }
    child.stdin.write(FLUSH)
    const answers = []
    while (answers.length < inputs.length) answers.push(JSON.parse((await lines.next()).value))
    return answers
  }
  ours.end = () => child.stdin.end()
  return ours
}

// ---- input ---------------------------------------------------------------------------------

/** SplitMix64, like the simulator: the same seed gives the same inputs everywhere. */
function generator(seed) {
  let state = BigInt.asUintN(64, BigInt(seed) * 0x9e3779b97f4a7c15n)
  return (end) => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n)
    let z = state
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n)
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn)
    return Number((z ^ (z >> 31n)) % BigInt(end))
  }
}

const corpora = {}

function input(random, seeds) {
  const whole = seeds === 'payload_v3' && random(2) === 0
  return mutate(random, whole ? payloadV3(random) : tokens(random, seeds))
}

/** Packets of protocol 3 with the lengths they need. */
function payloadV3(random) {
  const binary = random(2) === 0
  const packets = Array.from({ length: 1 + random(3) }, () => {
    const type = Buffer.from(random(4) === 0 ? `b${random(8)}` : `${random(8)}`)
    const packet = Buffer.concat([type, ...Array.from({ length: random(4) }, () => TOKENS[random(TOKENS.length)])])
    if (!binary) return [Buffer.from(`${packet.toString().length}:`), packet]
    return [Buffer.from([random(2), ...String(packet.length).split('').map(Number), 255]), packet]
  })
  return Buffer.concat(packets.flat())
}

function tokens(random, seeds) {
  corpora[seeds] ??= fs
    .readdirSync(path.join(__dirname, 'seeds', seeds))
    .map((file) => fs.readFileSync(path.join(__dirname, 'seeds', seeds, file)))
  const parts = []
  if (random(3) === 0) parts.push(corpora[seeds][random(corpora[seeds].length)])
  for (let left = random(8); left > 0; left--) parts.push(TOKENS[random(TOKENS.length)])
  if (seeds === 'jsonp' && random(2) === 0) parts.unshift(Buffer.from('d='))
  return Buffer.concat(parts)
}

const EXTENSION_TOKENS = [
  ...[
    'permessage-deflate',
    'x-foo',
    'server_no_context_takeover',
    'client_no_context_takeover',
    'server_max_window_bits',
  ],
  ...[
    'client_max_window_bits',
    '=8',
    '=9',
    '=15',
    '=16',
    '="10"',
    '="1\\0"',
    '=0xa',
    '=1e1',
    '=',
    '"',
    ';',
    ';',
    '; ',
    ',',
    ', ',
    ' ',
    '\t',
    '\\',
    'é',
  ],
].map((text) => Buffer.from(text))

function extensionsInput(random) {
  const parts = [Buffer.from([random(256), random(256)])]
  for (let offers = 1 + random(2); offers > 0; offers--) {
    parts.push(EXTENSION_TOKENS[random(8) === 0 ? 1 : 0])
    for (let params = random(4); params > 0; params--) {
      parts.push(Buffer.from('; '), EXTENSION_TOKENS[2 + random(4)])
      if (random(2) === 0) parts.push(EXTENSION_TOKENS[6 + random(8)])
    }
    if (offers > 1) parts.push(Buffer.from(', '))
  }
  for (let left = random(3); left > 0; left--)
    parts.splice(1 + random(parts.length), 0, EXTENSION_TOKENS[random(EXTENSION_TOKENS.length)])
  return Buffer.concat(parts)
}

const PROTOCOL_TOKENS = [
  'a',
  'b',
  'chat',
  'super-chat',
  'a',
  ',',
  ', ',
  ' ,',
  ',,',
  ' ',
  '\t',
  ';',
  '"',
  'é',
  '\u00a0',
  '!#$%&',
  '(',
  '\u0000',
].map((text) => Buffer.from(text))

function protocolsInput(random) {
  return Buffer.concat(Array.from({ length: random(8) }, () => PROTOCOL_TOKENS[random(PROTOCOL_TOKENS.length)]))
}

const OPCODES = [0, 1, 1, 1, 2, 2, 8, 9, 10]
const CLOSES = [
  [],
  [3, 232],
  [3, 237],
  [3, 246],
  [3, 247],
  [11, 183],
  [15, 160],
  [19, 136],
  [3],
  [3, 232, 255],
  [3, 232, 111, 107],
]

/** Frames of a client; with a mask of zeros, so that mutations hit what they aim at. */
function framesInput(random, compressed) {
  const parts = []
  for (let left = 1 + random(4); left > 0; left--) {
    const opcode = random(20) === 0 ? random(16) : OPCODES[random(OPCODES.length)]
    let payload = Buffer.concat(Array.from({ length: random(4) }, () => TOKENS[random(TOKENS.length)]))
    if (opcode === 8) payload = Buffer.from(CLOSES[random(CLOSES.length)])
    else if (random(12) === 0) payload = Buffer.alloc(random(3) === 0 ? 990 + random(20) : 120 + random(10), 'x')
    let first = opcode | (random(5) === 0 ? 0 : 0x80) | (random(30) === 0 ? 0x10 << random(compressed ? 2 : 3) : 0)
    if (compressed && opcode > 0 && opcode < 3 && random(4) > 0) {
      first |= 0x40
      payload = zlib.deflateRawSync(payload, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4)
    }
    const masked = random(30) === 0 ? 0 : 0x80
    const long = random(40) === 0 ? 127 : payload.length > 125 || random(40) === 0 ? 126 : payload.length
    const length =
      long === 127
        ? [random(9) === 0 ? 128 : 0, random(9) === 0 ? 32 : 0, 0, 0, 0, 0, payload.length >> 8, payload.length & 255]
        : long === 126
          ? [payload.length >> 8, payload.length & 255]
          : []
    parts.push(Buffer.from([first, masked | long, ...length, ...(masked ? [0, 0, 0, 0] : [])]), payload)
  }
  const bytes = Buffer.concat(parts)
  if (random(2) === 0) return bytes
  // what garbage inflates to is anybody's guess, and so is all that comes after it
  return compressed ? bytes.subarray(0, random(bytes.length + 1)) : mutate(random, bytes)
}

function mutate(random, bytes) {
  for (let left = random(3); left > 0 && bytes.length > 0; left--) {
    const at = random(bytes.length)
    const cut = random(4)
    if (cut === 0) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
    else if (cut === 1) bytes[at] = random(256)
    else if (cut === 2)
      bytes = Buffer.concat([bytes.subarray(0, at), TOKENS[random(TOKENS.length)], bytes.subarray(at)])
    else bytes = bytes.subarray(0, at)
  }
  return bytes
}

main()
