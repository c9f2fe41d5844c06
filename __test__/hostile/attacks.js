'use strict'

// The columns of the table. An attack `needs` what a door may lack: `http` (requests of its own), `polling` (sessions by them),
// `channel` (a WebSocket or a WebTransport stream), `frames` (of WebSockets), `upgrade` (from polling to a channel), `hooks`
// (requests that the application sees), `compression`. `fault` names what the application does wrong, see faults.js, with
// `thrown: false` where it throws nothing. `opts` go to the engine. Beyond the promises that every cell is held to, an attack
// may assert what it gets.

const zlib = require('node:zlib')
const { closePayload } = require('../support/websocket')
const { streamed, frame } = require('./peer')

const attacks = []

function attack(kind, name, { needs, ...rest }, run) {
  attacks.push({ kind, name, needs, run, ...rest })
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// ---- a client that is gone -------------------------------------------------------------------------

const POST_HEAD = (a, sid, length) =>
  `POST ${a.target({ sid })} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`

const STAGES = [
  ['after the connection', ['http'], (a) => a.connect()],
  ['within the request line', ['http'], async (a) => (await a.connect()).write('GET /engine.io/?EIO')],
  [
    'within the head',
    ['http'],
    async (a) => (await a.connect()).write(`GET ${a.target()} HTTP/1.1\r\nHost: x\r\nX-Ha`),
  ],
  ['after the handshake request', ['polling'], (a) => a.request()],
  ['in a pending poll', ['polling'], async (a) => a.poll(await a.handshake())],
  [
    'after the head of a POST',
    ['polling'],
    async (a) => (await a.connect()).write(POST_HEAD(a, await a.handshake(), 100)),
  ],
  [
    "within a POST's body",
    ['polling'],
    async (a) => (await a.connect()).write(`${POST_HEAD(a, await a.handshake(), 100)}4half`),
  ],
  [
    'within a chunked body',
    ['polling'],
    async (a) => {
      const target = a.target({ sid: await a.handshake() })
      return (await a.connect()).write(
        `POST ${target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n4ha`,
      )
    },
  ],
  [
    'within the body of a refused request',
    ['http'],
    async (a) => (await a.connect()).write(`${POST_HEAD(a, 'nope', 100_000)}${'4'.repeat(50_000)}`),
  ],
  [
    "within an upgrade's head",
    ['frames'],
    async (a) =>
      (await a.connect()).write(`GET ${a.target({ transport: 'websocket' })} HTTP/1.1\r\nUpgrade: websocket\r\nConn`),
  ],
  ['after the upgrade request', ['frames'], (a) => a.upgrade()],
  ['after the protocol is switched', ['frames'], (a) => a.switched()],
  ['after the stream is opened', ['streams'], (a) => a.stream()],
  ["within the first packet's header", ['streams'], async (a) => (await a.stream()).write(Buffer.from([126, 0]))],
  ['after the open packet', ['channel'], async (a) => (await a.session()).peer],
  [
    "within a frame's header",
    ['frames'],
    async (a) => (await a.session()).peer.write(frame({ payload: '4x' }).subarray(0, 3)),
  ],
  [
    "within a frame's payload",
    ['frames'],
    async (a) => (await a.session()).peer.write(frame({ payload: '4'.repeat(5000) }).subarray(0, 2000)),
  ],
  [
    'within a packet of a stream',
    ['streams'],
    async (a) => (await a.session()).peer.write(streamed(Buffer.from('4half'), false, 100)),
  ],
  [
    'within a fragmented message',
    ['frames'],
    async (a) => (await a.session()).peer.write(frame({ fin: false, payload: '4half' })),
  ],
  [
    'in the echoes',
    ['channel'],
    async (a) => {
      const channel = await a.session()
      for (let i = 0; i < 20; i++) channel.send(`4${'x'.repeat(10_000)}`)
      return channel.peer
    },
  ],
  ['before the probe', ['upgrade'], async (a) => (await a.channel(await a.handshake())).peer],
  ['after the probe', ['upgrade'], async (a) => (await a.probing()).peer],
  ['after the upgrade', ['upgrade'], async (a) => (await a.upgraded()).peer],
  [
    'in the closing handshake',
    ['frames'],
    async (a) => (await a.session()).peer.write(Buffer.concat([frame({ opcode: 8 }), Buffer.from([0x81])])),
  ],
  ['after a protocol error', ['frames'], async (a) => (await a.session()).peer.write(frame({ opcode: 3 }))],
]

const ENDINGS = [
  ['abort', (peer) => peer.destroy()],
  ['half-close', (peer) => peer.halfClose()],
  ['reset', (peer) => peer.reset()],
]

for (const [stage, needs, bring] of STAGES) {
  for (const [ending, end] of ENDINGS) {
    attack(ending, `${ending} ${stage}`, { needs }, async (a) => {
      const peer = await bring(a)
      // what has been written is to arrive first, sometimes
      await sleep(a.row.protocol === 3 ? 0 : 15)
      // of half a request nothing is owed
      if (ending !== 'half-close') peer.owed = 0
      end(peer)
    })
  }
}

// ---- requests that must not meet ---------------------------------------------------------------------

attack('overlap poll', 'overlapping polls', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  for (let i = 0; i < 3; i++) await a.poll(sid)
})

attack('overlap poll', 'overlapping polls on one connection', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const peer = await a.poll(sid)
  await a.poll(sid, { peer })
  await a.poll(sid, { peer })
})

attack('overlap POST', 'overlapping POSTs', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const first = (await a.connect()).write(`${POST_HEAD(a, sid, 100)}4half`)
  await sleep(20)
  const second = await a.post(sid, a.payload('4x'))
  const response = await second.answer()
  if (response !== undefined && response.status === 200) throw new Error('an overlapping POST was taken')
  first.destroy()
})

attack('replay of a dead sid', "a dead session's id in every request", { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const poll = await a.poll(sid)
  await (await a.post(sid, a.payload('1'))).answer()
  await poll.settled()
  for (const peer of [await a.poll(sid), await a.post(sid, a.payload('4x'))]) {
    const response = await peer.answer()
    if (response?.status !== 400) throw new Error(`expected 400, got ${JSON.stringify(response)}`)
  }
})

attack('replay of a dead sid', 'an upgrade of a dead session', { needs: ['channel'] }, async (a) => {
  const session = await a.session()
  session.close()
  session.peer.destroy()
  for (let i = 0; (await a.act('sessions')).includes(session.sid) && i < 200; i++) await sleep(5)
  await replay(a, session.sid)
})

/** An upgrade that must not be accepted, or must not be answered as one. */
async function replay(a, sid, server) {
  let channel
  try {
    channel = await a.channel(sid, server)
  } catch {
    return
  }
  const packet = await channel.send('2probe').packet()
  if (packet === '3probe') throw new Error('an upgrade was let in that must not be')
  channel.peer.destroy()
}

attack(
  "another's sid across servers",
  "the id of another server's session",
  { needs: ['polling'], other: true },
  async (a) => {
    const sid = await a.handshake({}, a.other)
    for (const peer of [await a.poll(sid), await a.post(sid, a.payload('4x'))]) {
      const response = await peer.answer()
      if (response?.status !== 400) throw new Error(`expected 400, got ${JSON.stringify(response)}`)
    }
    await replay(a, sid)
    const poll = await a.poll(sid, { server: a.other })
    const post = await a.post(sid, a.payload('4x'), { server: a.other })
    if ((await post.answer())?.status !== 200) throw new Error("the other server's session was disturbed")
    await poll.settled()
  },
)

attack(
  "another's sid across servers",
  "an upgrade with the id of another server's session",
  { needs: ['upgrade'], other: true },
  async (a) => {
    const sid = await a.handshake({}, a.other)
    await replay(a, sid)
  },
)

attack("another's sid", 'the id of a session of another transport', { needs: ['channel', 'polling'] }, async (a) => {
  const session = await a.session()
  for (const peer of [await a.poll(session.sid), await a.post(session.sid, a.payload('4x'))]) {
    const response = await peer.answer()
    if (response?.status !== 400) throw new Error(`expected 400, got ${JSON.stringify(response)}`)
  }
  if ((await session.send('4x').message()) !== '4x') throw new Error('the session was disturbed')
})

attack("another's sid", 'forged ids', { needs: ['polling'] }, async (a) => {
  for (const sid of ['__proto__', 'constructor', 'x'.repeat(4000), '\u0000', '%', ' ', '0']) {
    const response = await (await a.poll(sid)).answer()
    if (response !== undefined && response.status < 400) throw new Error(`the id ${sid} was taken`)
  }
})

attack("another's sid", 'forged ids of upgrades', { needs: ['channel'] }, async (a) => {
  for (const sid of ['__proto__', 'constructor', 'x'.repeat(4000), '0']) await replay(a, sid)
})

attack("another's sid", 'the other revision of the protocol for a session', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const EIO = a.protocol === 4 ? '3' : '4'
  const response = await (await a.request({ query: { sid, EIO } })).answer()
  if (response?.status !== 400) throw new Error(`expected 400, got ${JSON.stringify(response)}`)
  if (a.row.lacks?.frames === undefined) await (await a.upgrade({ query: { sid, EIO } })).answer()
})

// ---- upgrades ------------------------------------------------------------------------------------------

attack('upgrade twice', 'a second upgrade of an upgraded session', { needs: ['upgrade'] }, async (a) => {
  const channel = await a.upgraded()
  await replay(a, channel.sid)
  if ((await channel.send('4still').message()) !== '4still') throw new Error('the session was disturbed')
})

attack('upgrade while upgrading', 'a second upgrade beside one under way', { needs: ['upgrade'] }, async (a) => {
  const channel = await a.probing()
  await replay(a, channel.sid)
  if ((await channel.send('5').send('4moved').message()) !== '4moved')
    throw new Error('the first upgrade was disturbed')
})

attack('upgrade while upgrading', 'ten upgrades at once', { needs: ['upgrade'] }, async (a) => {
  const sid = await a.handshake()
  const channels = await Promise.allSettled(Array.from({ length: 10 }, () => a.channel(sid)))
  const open = channels.filter(({ status }) => status === 'fulfilled').map(({ value }) => value.send('2probe'))
  const pongs = await Promise.all(open.map((channel) => channel.packet()))
  if (pongs.filter((packet) => packet === '3probe').length > 1) throw new Error('more than one probe was answered')
})

attack('upgrade while upgrading', 'polls and POSTs in the midst of an upgrade', { needs: ['upgrade'] }, async (a) => {
  const channel = await a.probing()
  const poll = await a.poll(channel.sid)
  const post = await a.post(channel.sid, a.payload('4x'))
  channel.send('5')
  await Promise.all([poll.settled(), post.settled()])
  // the session may have been moved before the POST
  await a.poll(channel.sid)
})

for (const [what, packets] of [
  ['with other data', ['2wrong']],
  ['that is a message', ['4x']],
  ['that is a pong', ['3probe']],
  ['that is the upgrade itself', ['5']],
  ['that is a close', ['1']],
  ['that is an open', ['0']],
  ['that is nothing', ['']],
  ['that comes hundreds of times', Array(300).fill('2probe')],
]) {
  attack('wrong probe', `a probe ${what}`, { needs: ['upgrade'] }, async (a) => {
    const sid = await a.handshake()
    const channel = await a.channel(sid)
    for (const packet of packets) channel.send(packet)
    await channel.packet()
  })
}

attack('wrong probe', 'an upgrade that never comes', { needs: ['upgrade'] }, async (a) => {
  const channel = await a.probing()
  if ((await channel.packet()) !== undefined) throw new Error('expected the end of the upgrade')
})

attack('wrong probe', 'an upgrade in binary', { needs: ['upgrade'] }, async (a) => {
  const sid = await a.handshake()
  ;(await a.channel(sid)).sendBinary(Buffer.from('2probe')).sendBinary(Buffer.from([5]))
})

// ---- frames ------------------------------------------------------------------------------------------

const BAD_FRAMES = [
  ['an unknown opcode', [{ opcode: 3 }]],
  ['an unknown control opcode', [{ opcode: 11 }]],
  ['a reserved bit', [{ rsv: 4, payload: '4x' }]],
  ['the other reserved bits', [{ rsv: 3, payload: '4x' }]],
  ['no mask', [{ mask: false, payload: '4x' }]],
  ['a fragmented ping', [{ fin: false, opcode: 9 }]],
  ['a ping of 126 bytes', [{ opcode: 9, payload: Buffer.alloc(126) }]],
  ['a close of one byte', [{ opcode: 8, payload: Buffer.from([3]) }]],
  ['a close with a forbidden code', [{ opcode: 8, payload: closePayload(1005) }]],
  ['a close with a code of nobody', [{ opcode: 8, payload: closePayload(5000) }]],
  ['a continuation of nothing', [{ opcode: 0, payload: '4x' }]],
  ['a message within a message', [{ fin: false, payload: '4a' }, { payload: '4b' }]],
  ['a length beyond 2^53', [{ payload: '4', length: 2n ** 62n, form: 64 }]],
  ['a length with its highest bit set', [{ payload: '4', length: 2n ** 63n, form: 64 }]],
]

for (const [what, frames] of BAD_FRAMES) {
  attack('bad frames', `a frame with ${what}`, { needs: ['frames'] }, async (a) => {
    const { peer } = await a.session()
    for (const one of frames) peer.write(frame(one))
    await peer.end()
  })
}

attack('bad frames', 'a bad frame as a probe', { needs: ['frames', 'upgrade'] }, async (a) => {
  const sid = await a.handshake()
  const { peer } = await a.channel(sid)
  peer.write(frame({ opcode: 3 }))
  await peer.end()
})

attack('bad frames', 'bad frames behind the upgrade request', { needs: ['frames'] }, async (a) => {
  const peer = await a.upgrade({ head: Buffer.concat([frame({ payload: '4x' }), frame({ mask: false })]) })
  await peer.end()
})

attack('bad frames', 'frames behind a close', { needs: ['frames'] }, async (a) => {
  const { peer } = await a.session()
  peer.write(Buffer.concat([frame({ opcode: 8 }), frame({ payload: '4late' }), frame({ opcode: 3 })]))
  await peer.end()
})

attack('bad frames', 'a packet header without an end', { needs: ['streams'] }, async (a) => {
  const { peer } = await a.session()
  peer.write(Buffer.from([127, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2]))
})

const BAD_UTF8 = Buffer.from([0x34, 0xc3, 0x28])

attack('bad UTF-8', 'a text message of bad UTF-8', { needs: ['frames'] }, async (a) => {
  const { peer } = await a.session()
  peer.write(frame({ payload: BAD_UTF8 }))
  await peer.end()
})

attack('bad UTF-8', 'fragments of bad UTF-8', { needs: ['frames'] }, async (a) => {
  const { peer } = await a.session()
  peer.write(frame({ fin: false, payload: BAD_UTF8.subarray(0, 2) }))
  peer.write(frame({ opcode: 0, payload: BAD_UTF8.subarray(2) }))
  await peer.end()
})

attack('bad UTF-8', 'a close reason of bad UTF-8', { needs: ['frames'] }, async (a) => {
  const { peer } = await a.session()
  peer.write(frame({ opcode: 8, payload: Buffer.concat([closePayload(1000), BAD_UTF8]) }))
  await peer.end()
})

attack('bad UTF-8', 'a POST of bad UTF-8', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  await a.post(sid, Buffer.concat([Buffer.from(a.protocol === 3 ? '3:' : ''), BAD_UTF8]))
})

attack('bad UTF-8', 'a packet of bad UTF-8', { needs: ['streams'] }, async (a) => {
  const { peer } = await a.session()
  peer.write(streamed(BAD_UTF8))
})

// ---- too much ------------------------------------------------------------------------------------------

const LARGE = 25_000

attack('oversized message', 'a message beyond maxHttpBufferSize', { needs: ['channel'] }, async (a) => {
  const channel = await a.session()
  await channel.send(`4${'x'.repeat(LARGE)}`).peer.end()
})

attack('oversized message', 'a frame that announces more than it may', { needs: ['frames'] }, async (a) => {
  const { peer } = await a.session()
  peer.write(frame({ payload: '4', length: 1e9 }))
  await peer.end()
})

attack('oversized message', 'fragments that together are too large', { needs: ['frames'] }, async (a) => {
  const { peer } = await a.session()
  const part = 'x'.repeat(LARGE / 5)
  for (let i = 0; i < 6; i++) peer.write(frame({ fin: false, opcode: i === 0 ? 1 : 0, payload: part }))
  await peer.end()
})

attack('oversized message', 'an oversized probe', { needs: ['upgrade'] }, async (a) => {
  const sid = await a.handshake()
  await (await a.channel(sid)).send(`2${'x'.repeat(LARGE)}`).packet()
})

attack('oversized body', 'a POST beyond maxHttpBufferSize', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const peer = await a.post(sid, '4'.repeat(LARGE))
  const response = await peer.answer()
  if (response?.status !== 413) throw new Error(`expected 413, got ${JSON.stringify(response)}`)
})

attack('oversized body', 'a chunked POST beyond maxHttpBufferSize', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const peer = await a.request({ method: 'POST', query: { sid }, headers: { 'Transfer-Encoding': 'chunked' } })
  for (let i = 0; i < 10; i++) peer.write(`1388\r\n${'4'.repeat(5000)}\r\n`)
  peer.write('0\r\n\r\n')
})

attack(
  'oversized body',
  'a refused request with a large body, and another one behind it',
  { needs: ['http'] },
  async (a) => {
    for (const method of ['POST', 'PUT', 'OPTIONS']) {
      const peer = await a.request({ method, query: { sid: 'nope' }, body: '4'.repeat(300_000) })
      await a.request({ peer, query: { transport: 'none' } })
    }
  },
)

attack('oversized body', 'a body that goes on for ever behind a refusal', { needs: ['http'] }, async (a) => {
  const peer = await a.request({
    method: 'POST',
    query: { transport: 'none' },
    headers: { 'Transfer-Encoding': 'chunked' },
  })
  for (let i = 0; i < 20 && !peer.ended; i++) {
    peer.write(`8000\r\n${'4'.repeat(32_768)}\r\n`)
    await sleep(1)
  }
})

attack('oversized head', 'a head of 100 KB', { needs: ['http'] }, async (a) => {
  const peer = await a.request({ headers: { 'X-Large': 'x'.repeat(100_000) } })
  const response = await a.leniently(peer)
  if (response?.status === 200 && a.row.parser === undefined) throw new Error('a head of 100 KB was taken')
})

attack('oversized head', '3000 headers', { needs: ['http'] }, async (a) => {
  await a.request({ headers: Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`x${i}`, '1'])) })
})

attack('oversized head', 'a query of 60 KB', { needs: ['http'] }, async (a) => {
  await a.request({ query: { x: 'y'.repeat(60_000) } })
})

attack('oversized head', 'an upgrade with a head of 100 KB', { needs: ['frames'] }, async (a) => {
  await a.upgrade({ headers: { 'X-Large': 'x'.repeat(100_000) } })
})

attack('slow head', 'a head that comes byte by byte', { needs: ['http'] }, async (a) => {
  const peer = await a.connect()
  for (const byte of `GET ${a.target({ transport: 'none' })} HTTP/1.1\r\nHost: x\r\n\r\n`) {
    peer.write(byte)
    await sleep(2)
  }
  peer.owed = 1
})

attack('slow head', '50 heads that never end', { needs: ['http'] }, async (a) => {
  const peers = await Promise.all(Array.from({ length: 50 }, () => a.connect()))
  for (const peer of peers) peer.write(`GET ${a.target()} HTTP/1.1\r\nHost: x\r\nX-`)
  await sleep(50)
})

attack('slow body', 'a body that comes byte by byte', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const body = a.payload('4slowly')
  const peer = (await a.connect()).write(POST_HEAD(a, sid, body.length))
  for (const byte of body) {
    peer.write(byte)
    await sleep(2)
  }
  const response = await peer.answer()
  if (response?.status !== 200) throw new Error(`expected 200, got ${JSON.stringify(response)}`)
})

attack('slow body', 'a body whose session ends first', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const peer = (await a.connect()).write(`${POST_HEAD(a, sid, 1000)}4half`)
  // overlapping polls end it
  await a.poll(sid)
  const second = await a.poll(sid)
  if (a.row.door !== 'uServer') return peer.end()
  // there a POST goes on without its session, for httpRequestBodyTimeout at most
  await second.answer()
  peer.write('x'.repeat(995))
  await peer.answer()
})

attack('slow body', 'a message byte by byte', { needs: ['channel'] }, async (a) => {
  const channel = await a.session()
  const bytes = a.isStream ? streamed(Buffer.from('4slow')) : frame({ payload: '4slow' })
  for (let i = 0; i < bytes.length; i++) {
    channel.peer.write(bytes.subarray(i, i + 1))
    await sleep(2)
  }
  if ((await channel.message()) !== '4slow') throw new Error('a slow message was lost')
})

attack('fragments without end', 'empty fragments', { needs: ['frames'] }, async (a) => {
  const { peer } = await a.session()
  const fragments = Buffer.concat(Array(1000).fill(frame({ fin: false, opcode: 0 })))
  peer.write(frame({ fin: false, payload: '4' }))
  for (let i = 0; i < 5 && !peer.ended; i++) peer.write(fragments)
  await sleep(50)
})

attack('fragments without end', 'fragments of one byte with pings between them', { needs: ['frames'] }, async (a) => {
  const { peer } = await a.session()
  const fragments = Buffer.concat(
    Array(500)
      .fill([frame({ fin: false, opcode: 0, payload: 'x' }), frame({ opcode: 9 })])
      .flat(),
  )
  peer.write(frame({ fin: false, payload: '4' }))
  for (let i = 0; i < 4; i++) peer.write(fragments)
  await sleep(50)
})

attack('floods', 'pings of a client that reads nothing', { needs: ['frames'] }, async (a) => {
  const { peer } = await a.session()
  peer.socket.pause()
  const pings = Buffer.concat(Array(500).fill(frame({ opcode: 9, payload: Buffer.alloc(125) })))
  for (let i = 0; i < 4; i++) peer.write(pings)
  await sleep(50)
})

attack('floods', 'messages of a client that reads nothing', { needs: ['channel'] }, async (a) => {
  const channel = await a.session()
  channel.peer.socket.pause()
  for (let i = 0; i < 100; i++) channel.send(`4${'x'.repeat(10_000)}`)
  await sleep(50)
})

attack('floods', 'a POST of thousands of packets', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  await a.post(sid, a.payload(...Array(5000).fill('4')))
})

// ---- compression -----------------------------------------------------------------------------------------

const deflated = (data) => zlib.deflateRawSync(data, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4)

async function compressed(a) {
  const peer = await a.upgrade({ headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } })
  const response = await peer.answer()
  if (!/permessage-deflate/i.test(response?.head ?? '')) throw new Error(`no compression: ${JSON.stringify(response)}`)
  await peer.frame()
  return peer
}

const COMPRESSION = { needs: ['compression'], opts: { perMessageDeflate: true } }

attack('compressed bombs', 'a message that is 250 times what it may be when it is inflated', COMPRESSION, async (a) => {
  const peer = await compressed(a)
  peer.write(frame({ rsv: 4, payload: bomb() }))
  await peer.end()
})

let inflated
const bomb = () => (inflated ??= deflated(Buffer.alloc(5_000_000, '4')))

attack('compressed bombs', 'fragments of a bomb', COMPRESSION, async (a) => {
  const peer = await compressed(a)
  const bytes = bomb()
  for (let i = 0; i < 4; i++) {
    const part = bytes.subarray((bytes.length * i) / 4, (bytes.length * (i + 1)) / 4)
    peer.write(frame({ fin: i === 3, opcode: i === 0 ? 1 : 0, rsv: i === 0 ? 4 : 0, payload: part }))
  }
  await peer.end()
})

attack('compressed bombs', 'what is no deflate stream', COMPRESSION, async (a) => {
  const peer = await compressed(a)
  peer.write(frame({ rsv: 4, payload: Buffer.alloc(50, 0xff) }))
  await peer.end()
})

attack('compressed bombs', 'a bomb of a client that is gone', COMPRESSION, async (a) => {
  const peer = await compressed(a)
  peer.write(frame({ rsv: 4, payload: bomb() }))
  await sleep(1)
  peer.reset()
})

/** Waits for the end of a session: the last packet of its channel. */
async function over(channel) {
  while ((await channel.packet()) !== undefined);
}

// ---- packets -----------------------------------------------------------------------------------------

attack('unknown packet types', 'packets of unknown types', { needs: ['channel'] }, async (a) => {
  for (const packet of ['9', '7x', 'x', '\u{1f600}']) await over((await a.session()).send(packet))
})

attack('unknown packet types', 'binary packets of unknown types', { needs: ['channel'] }, async (a) => {
  const channel = await a.session()
  channel
    .sendBinary(Buffer.from([9, 1, 2]))
    .sendBinary(Buffer.alloc(0))
    .sendBinary(Buffer.from([255]))
  await sleep(20)
})

attack('unknown packet types', 'a POST of packets of unknown types', { needs: ['polling'] }, async (a) => {
  for (const packet of ['9', '7x', 'x', 'b!!']) {
    const sid = await a.handshake()
    const poll = await a.poll(sid)
    await (await a.post(sid, a.payload(packet))).settled()
    await poll.settled()
  }
})

for (const [what, packet] of [
  ['an open packet', '0{}'],
  ['a close packet', '1'],
  ['a heartbeat in the wrong direction', { 3: '3', 4: '2' }],
  ['an upgrade packet without an upgrade', '5'],
  ['a noop packet', '6'],
  ['a probe without an upgrade', '2probe'],
  ['an empty packet', ''],
]) {
  const of = (a) => packet[a.protocol] ?? packet
  attack('unknown packet types', `${what} by the channel`, { needs: ['channel'] }, async (a) => {
    ;(await a.session()).send(of(a))
    await sleep(20)
  })
  attack('unknown packet types', `${what} by POST`, { needs: ['polling'] }, async (a) => {
    const sid = await a.handshake()
    const poll = await a.poll(sid)
    await a.post(sid, a.payload(of(a)))
    await poll.settled()
  })
}

for (const [what, body] of [
  ['nothing', ''],
  ['separators', '\x1e'.repeat(5000)],
  ['lengths of protocol 3', '1:6'.repeat(5000)],
  ['a length without an end', '9'.repeat(15_000)],
  ['a negative length', '-1:4x'],
  ['bytes', Buffer.from([0, 255, 1, 9, 9, 9, 9, 255, 4])],
]) {
  attack('garbage', `a payload of ${what}`, { needs: ['polling'] }, async (a) => {
    const sid = await a.handshake()
    const poll = await a.poll(sid)
    await a.post(sid, body)
    await poll.settled()
  })
}

attack('garbage', 'a binary payload cut off in its header', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  await a.post(sid, Buffer.from([1, 9, 9, 9]), { headers: { 'Content-Type': 'application/octet-stream' } })
})

// ---- HTTP --------------------------------------------------------------------------------------------

attack('garbage', 'bytes that are no HTTP', { needs: ['http'] }, async (a) => {
  for (const bytes of [
    Buffer.alloc(1000, 0xff),
    Buffer.from([22, 3, 1, 2, 0, 1, 0]),
    Buffer.alloc(100),
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  ]) {
    ;(await a.connect()).write(bytes)
  }
  await sleep(20)
})

attack('garbage', 'garbage behind a request', { needs: ['http'] }, async (a) => {
  const peer = await a.request({ query: { transport: 'none' } })
  peer.write(Buffer.alloc(500, 0x80))
})

for (const [what, lines] of [
  ['no Host', []],
  ['two lengths', ['Host: x', 'Content-Length: 1', 'Content-Length: 2']],
  ['a length beside chunks', ['Host: x', 'Content-Length: 5', 'Transfer-Encoding: chunked']],
  ['a length that is none', ['Host: x', 'Content-Length: -1']],
  ['a header without a colon', ['Host: x', 'nonsense']],
  ['a folded header', ['Host: x', 'X-A: 1', ' folded']],
  ['an expectation', ['Host: x', 'Content-Length: 1', 'Expect: 100-continue']],
  ['an unknown expectation', ['Host: x', 'Content-Length: 1', 'Expect: wonders']],
]) {
  attack('garbage', `a POST with ${what}`, { needs: ['http'] }, async (a) => {
    const peer = await a.connect()
    peer.write(`POST ${a.target({ sid: 'nope' })} HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n4`)
    await sleep(20)
  })
}

attack('garbage', 'targets that are none', { needs: ['http'] }, async (a) => {
  for (const target of [
    '/engine.io/?%',
    '/engine.io/?transport=polling&EIO=4&sid[]=1',
    '/engine.io/?#',
    '/engine.io/?&&==&',
  ]) {
    await a.request({ target })
  }
  // of the others nothing is owed: who serves them is the application's to say
  for (const target of ['//engine.io/?transport=polling', '*', 'http://x/engine.io/?EIO=4', 'engine.io']) {
    ;(await a.connect()).write(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
  }
  await sleep(20)
})

attack('garbage', 'HTTP/1.0', { needs: ['http'] }, async (a) => {
  const peer = await a.connect()
  peer.owed++
  peer.write(`GET ${a.target({ transport: 'none' })} HTTP/1.0\r\n\r\n`)
  await a.leniently(peer)
})

attack('pipelined requests', 'handshakes one behind the other', { needs: ['polling'] }, async (a) => {
  const peer = await a.connect()
  for (let i = 0; i < 10; i++) await a.request({ peer })
})

attack('pipelined requests', 'a poll, a POST and another poll behind each other', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const peer = await a.poll(sid)
  await a.post(sid, a.payload('4x'), { peer })
  await a.poll(sid, { peer })
})

attack('pipelined requests', 'a refused request before a handshake', { needs: ['polling'] }, async (a) => {
  const peer = await a.request({ query: { transport: 'none' } })
  await a.request({ peer })
  await a.request({ peer, method: 'DELETE' })
})

attack('pipelined requests', 'an upgrade behind a poll', { needs: ['polling', 'frames'] }, async (a) => {
  const sid = await a.handshake()
  const peer = await a.poll(sid)
  await a.upgrade({ peer, query: { sid } })
})

attack('pipelined requests', 'a request behind an upgrade', { needs: ['frames'] }, async (a) => {
  const peer = await a.upgrade()
  peer.write(`GET ${a.target()} HTTP/1.1\r\nHost: x\r\n\r\n`)
})

attack('wrong methods', 'handshakes by every method', { needs: ['http'] }, async (a) => {
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD', 'TRACE', 'PROPFIND']) {
    await a.request({ method, body: method === 'HEAD' || method === 'TRACE' ? undefined : '4x' })
  }
})

attack('wrong methods', 'requests of a session by every method', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD']) {
    const peer = await a.request({ method, query: { sid }, body: method === 'HEAD' ? undefined : '4x' })
    await peer.settled()
  }
})

attack('wrong methods', 'CONNECT', { needs: ['http'] }, async (a) => {
  const peer = await a.connect()
  peer.write('CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n')
  await sleep(20)
})

attack('wrong methods', 'a GET with a body', { needs: ['polling'] }, async (a) => {
  const peer = await a.request({ body: '4x'.repeat(500) })
  await a.request({ peer, query: { transport: 'none' } })
})

attack('wrong methods', 'unknown transports', { needs: ['http'] }, async (a) => {
  for (const transport of [undefined, '', 'none', 'webtransport', '__proto__', 'websocket']) {
    const response = await (await a.request({ query: { transport } })).answer()
    if (response !== undefined && response.status < 400) throw new Error(`the transport ${transport} was taken`)
  }
})

attack('wrong methods', 'upgrades that are none', { needs: ['frames'] }, async (a) => {
  for (const headers of [
    { Upgrade: 'h2c' },
    { 'Sec-WebSocket-Version': '7' },
    { 'Sec-WebSocket-Key': 'short' },
    { 'Sec-WebSocket-Key': undefined },
    { 'Sec-WebSocket-Extensions': ';;;' },
    { 'Sec-WebSocket-Protocol': 'a,,b' },
    { Connection: 'close' },
  ]) {
    await a.upgrade({ headers })
  }
})

attack('wrong methods', 'an upgrade for the polling transport', { needs: ['frames'] }, async (a) => {
  const peer = await a.upgrade({ query: { transport: 'polling' } })
  await peer.answer()
})

attack('wrong methods', 'an upgrade with a body', { needs: ['frames'] }, async (a) => {
  await a.upgrade({ headers: { 'Content-Length': '5' }, head: '12345' })
})

for (const type of [
  'application/octet-stream',
  'multipart/form-data; boundary=x',
  'text/plain; charset=utf-16',
  'x'.repeat(2000),
  ';',
  '',
]) {
  attack(
    'bad content types',
    `a POST of type ${JSON.stringify(type.slice(0, 30))}`,
    { needs: ['polling'] },
    async (a) => {
      const sid = await a.handshake()
      await a.post(sid, a.payload('4x'), { headers: { 'Content-Type': type } })
    },
  )
}

attack('bad content types', 'a poll that takes no encoding there is', { needs: ['polling'] }, async (a) => {
  const sid = await a.handshake()
  const poll = await a.poll(sid, { headers: { 'Accept-Encoding': 'x;q=2,;,gzip;q=banana,*;q=0' } })
  await a.post(sid, a.payload(`4${'x'.repeat(5000)}`))
  await poll.settled()
})

attack('header injection', 'line breaks in query and headers', { needs: ['http'] }, async (a) => {
  const peers = [
    await a.request({ target: `${a.target({ transport: 'none' })}%0d%0aX-Injected:%201` }),
    await a.request({ query: { j: '0\r\nX-Injected: 1' } }),
    await a.request({ headers: { Origin: 'http://x\x7f\x01' } }),
    await a.request({ headers: { Origin: 'http://\xe9\xff' } }),
    await a.request({ headers: { 'X-A': 'a\rX-Injected: 1' } }),
  ]
  for (const peer of peers) {
    const response = await a.leniently(peer)
    if (/^x-injected/im.test(response?.head ?? '')) throw new Error(`injected: ${response.head}`)
  }
})

attack('header injection', 'an origin that is none, of an upgrade', { needs: ['frames'] }, async (a) => {
  await a.leniently(await a.upgrade({ headers: { Origin: 'http://x\x7f\x01' } }))
})

/** A client that does all that a client does, as far as it gets, and is in no hurry to go. */
async function wholeLife(a) {
  const step = (fn) => fn().catch(() => {})
  const sid = await step(() => a.handshake())
  if (sid !== undefined) {
    const poll = await a.poll(sid)
    const post = await a.post(sid, a.payload('4hello'))
    await step(() => post.settled())
    await step(() => poll.settled())
    const channel = await step(() => a.channel(sid))
    if (channel !== undefined) {
      const packet = await step(() => channel.send('2probe').packet())
      if (packet === '3probe') {
        channel.send('5').send('4moved')
        await step(() => heard(channel, '4moved', a))
      }
      channel.close()
      channel.peer.destroy()
    }
  }
  const other = await step(() => a.handshake())
  if (other !== undefined) {
    await a.poll(other)
    const refused = await a.post(other, a.payload('1'))
    await step(() => refused.settled())
  }
  await step(async () => (await a.request({ query: { sid: 'nope' } })).settled())
  const session = await step(() => a.session())
  if (session !== undefined) {
    session.send('4hello')
    await step(() => heard(session, '4hello', a))
    session.send('9')
  }
}

/** Waits for an echo, or for the second ping if there comes none; answers pings, and sends those of protocol 3. */
async function heard(channel, echo, a) {
  if (a.protocol === 3) channel.send('2')
  for (let heartbeats = 0; heartbeats < 2;) {
    const packet = await channel.packet()
    if (packet === undefined) return
    if (packet === '2') channel.send('3')
    if (packet === echo) echo = undefined
    if (packet === '2' || packet === '3') heartbeats++
    if (echo === undefined && heartbeats > 0) return
    if (packet === '3') setTimeout(() => channel.send('2'), 50)
  }
}

// ---- an application that makes mistakes --------------------------------------------------------------

for (const [fault, needs = ['channel'], rest = {}] of [
  ['connection listener'],
  ['data listener'],
  ['message listener'],
  ['packet listener'],
  ['packetCreate listener'],
  ['flush listener'],
  ['drain listener'],
  ['heartbeat listener'],
  ['close listener'],
  ['upgrading listener', ['upgrade']],
  ['upgrade listener', ['upgrade']],
  ['transport packet listener'],
  ['transport drain listener'],
  ['transport ready listener'],
  ['transport close listener'],
  ['transport error listener', ['channel'], { thrown: false }],
  ['send callback'],
  ['server flush listener', ['hooks']],
  ['server drain listener', ['hooks']],
  ['headers listener', ['hooks']],
  ['initial_headers listener', ['hooks']],
  ['connection_error listener', ['http']],
]) {
  attack('throwing listeners', `a ${fault} that throws`, { needs, fault, ...rest }, wholeLife)
}

for (const [fault, rest = {}] of [
  ['allowRequest throws'],
  ['allowRequest rejects'],
  ['allowRequest twice', { thrown: false }],
  ['generateId throws', { thrown: true, kept: true }],
  ['generateId rejects', { thrown: true, kept: true }],
  ['middleware throws', { thrown: true, kept: true }],
  ['middleware rejects', { thrown: true, kept: true }],
  ['middleware answers and goes on', { thrown: false }],
  ['header with a line break', { thrown: false }],
  ['header with an invalid name', { thrown: false }],
]) {
  attack('throwing hooks', fault, { needs: ['hooks'], fault, ...rest }, wholeLife)
}

for (const fault of ['closes in connection', 'closes in message']) {
  attack(
    'app calling every method on closed sessions',
    `an application that ${fault}`,
    { needs: ['channel'], fault, thrown: false },
    wholeLife,
  )
}

for (const fault of ['allowRequest late', 'allowRequest refuses late', 'generateId late', 'middleware late']) {
  for (const [ending, end] of [...ENDINGS, ['server.close()', (peer, a) => a.act('close')]]) {
    attack(
      'late answers of async hooks after the client is gone',
      `${fault}, after ${ending}`,
      { needs: ['hooks'], fault, thrown: false, closes: ending === 'server.close()' },
      async (a) => {
        const polling = await a.request()
        const channel = await a.upgrade()
        const posted = (await a.connect()).write(
          `POST ${a.target()} HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n${'4'.repeat(20_000)}`,
        )
        const expected = a.row.door === 'onWebSocket' && fault !== 'generateId late' ? 1 : 2
        for (let i = 0; (await a.act('kept')) < expected && i < 200; i++) await sleep(5)
        for (const peer of [polling, channel, posted]) {
          if (ending !== 'half-close') peer.owed = 0
          await end(peer, a)
        }
        await sleep(20)
        while ((await a.act('answer')) > 0) await sleep(5)
      },
    )
  }
}

attack(
  'app calling every method on closed sessions',
  'every method of sessions whose clients are gone',
  { needs: ['channel'], fault: 'keeps sockets', thrown: false },
  async (a) => {
    if (a.row.lacks?.polling === undefined) {
      const sid = await a.handshake()
      ;(await a.poll(sid)).destroy()
      ;(await a.upgraded()).peer.reset()
    }
    ;(await a.session()).peer.reset()
    ;(await a.session()).close()
    await sleep(50)
    await a.act('callEverything')
  },
)

attack(
  'app calling every method on closed sessions',
  'every method of sessions whose clients are there',
  { needs: ['channel'], fault: 'keeps sockets', thrown: false },
  async (a) => {
    if (a.row.lacks?.polling === undefined) {
      const sid = await a.handshake()
      await a.poll(sid)
      await a.upgraded()
      await a.handshake()
    }
    await a.session()
    await sleep(10)
    await a.act('callEverything')
  },
)

module.exports = { attacks }
