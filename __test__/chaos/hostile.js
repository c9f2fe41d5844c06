'use strict'

// Clients that do what they must not, over sockets of their own. What they have asked for in full, and left the
// connection open for, must be answered or the connection ended.

const crypto = require('node:crypto')
const net = require('node:net')
const tls = require('node:tls')

/** Three times the ping limits: no answer that depends on a session may take longer. */
const PATIENCE = 15_000

/** Ids of sessions that have ended, for use after that. */
const dead = []

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

class Connection {
  constructor({ door, port }) {
    this.socket = door === 'https' ? tls.connect({ port, rejectUnauthorized: false }) : net.connect(port, '127.0.0.1')
    this.got = ''
    this.over = false
    this.socket.on('error', () => {})
    this.socket.on('data', (data) => {
      this.got += data.toString('latin1')
      if (this.got.length > 300_000) this.got = this.got.slice(-100_000)
      if (this.waiter) this.waiter()
    })
    this.closed = new Promise((resolve) => this.socket.on('close', resolve)).then(() => {
      this.over = true
      if (this.waiter) this.waiter()
    })
    this.socket.on('end', () => (this.ended = true))
    this.open = new Promise((resolve) => {
      this.socket.once(door === 'https' ? 'secureConnect' : 'connect', resolve)
      this.socket.once('close', resolve)
    })
  }

  write(bytes) {
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(bytes)
  }

  /** Resolves with whether `test(got)` came to hold before the end or so many ms; the end counts, too. */
  async until(test, ms = PATIENCE) {
    const end = performance.now() + ms
    while (!test(this.got) && !this.over && !this.ended) {
      const left = end - performance.now()
      if (left <= 0) return false
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left)
        this.waiter = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return true
  }

  reset() {
    if (
      typeof this.socket.resetAndDestroy === 'function' &&
      this.socket instanceof net.Socket &&
      !this.socket.encrypted
    ) {
      this.socket.resetAndDestroy()
    } else {
      this.socket.destroy()
    }
  }

  destroy() {
    this.socket.destroy()
  }
}

function frame(op, payload, { fin = true, rsv = 0, masked = true, length } = {}) {
  payload = Buffer.from(payload)
  const size = length === undefined ? payload.length : length
  const first = (fin ? 0x80 : 0) | (rsv << 4) | op
  const flag = masked ? 0x80 : 0
  let head
  if (size < 126) head = Buffer.from([first, flag | size])
  else if (size < 65536) head = Buffer.from([first, flag | 126, size >> 8, size & 255])
  else {
    head = Buffer.alloc(10)
    head[0] = first
    head[1] = flag | 127
    head.writeBigUInt64BE(BigInt(size), 2)
  }
  if (!masked) return Buffer.concat([head, payload])
  const mask = crypto.randomBytes(4)
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i & 3])])
}

const path = (query) => `/engine.io/?${query}`
const base = (name, protocol, transport, sid) =>
  `EIO=${protocol}&transport=${transport}&name=${name}${sid ? `&sid=${sid}` : ''}`
const get = (query, extra = '') => `GET ${path(query)} HTTP/1.1\r\nHost: x\r\n${extra}\r\n`
const post = (query, body, extra = '', length = Buffer.byteLength(body)) =>
  `POST ${path(query)} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\n${extra}\r\n${body}`
const upgrade = (query, extra = '') =>
  `GET ${path(query)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
  `Sec-WebSocket-Key: ${crypto.randomBytes(16).toString('base64')}\r\n${extra}\r\n`

const answers = (got) => (got.match(/HTTP\/1\.1 \d/g) || []).length

/** The things that go wrong, each as a function of the attack's means. */
const ATTACKS = {
  /** Comes and says nothing, or half a request. */
  async abandon({ connect, random, name }) {
    const c = await connect()
    const whole = random.pick([
      get(base(name, 4, 'polling')),
      upgrade(base(name, 4, 'websocket')),
      post(base(name, 4, 'polling'), '4x'),
    ])
    c.write(whole.slice(0, random.below(whole.length)))
    await delay(random.below(300))
    leave(c, random)
  },

  /** Opens a session and goes without a word. */
  async vanish({ connect, random, name, protocol }) {
    const c = await connect()
    c.write(random.chance(0.5) ? get(base(name, protocol, 'polling')) : upgrade(base(name, protocol, 'websocket')))
    if (random.chance(0.7)) await c.until((got) => answers(got) > 0)
    leave(c, random)
  },

  /** Polls twice, or posts twice, at once. */
  async overlap({ session, connect, random, expect }) {
    const { sid, query } = await session('polling')
    if (!sid) return
    const posts = random.chance(0.5)
    const [a, b] = [await connect(), await connect()]
    const first = posts ? post(query, '4slow', '', 4000) : get(query)
    a.write(first)
    await delay(random.below(20))
    b.write(posts ? post(query, '4x') : get(query))
    await expect(b, 1, 'the second of two requests at once')
    if (!posts) await expect(a, 1, 'the first of two polls at once')
    dead.push(sid)
    leave(a, random)
    leave(b, random)
  },

  /** Uses the id of a session that is over, by every method. */
  async replay({ connect, random, name, protocol, expect }) {
    const sid = dead.length > 0 ? random.pick(dead) : 'AAAAAAAAAAAAAAAAAAAA'
    const c = await connect()
    const query = base(name, protocol, 'polling', sid)
    c.write(random.pick([get(query), post(query, '4replayed'), upgrade(base(name, protocol, 'websocket', sid))]))
    await expect(c, 1, 'a request with an old id')
    leave(c, random)
  },

  /** Sends a poll, a POST and an upgrade in one piece. */
  async pipeline({ session, connect, random, name, protocol, expect }) {
    const { sid, query } = await session('polling')
    if (!sid) return
    const c = await connect()
    const message = protocol === 4 ? '4piped' : '6:4piped'
    const parts = [get(query), post(query, message), get(query), post(query, message)].slice(0, 1 + random.below(4))
    if (random.chance(0.5)) parts.reverse()
    if (random.chance(0.3)) parts.push(upgrade(base(name, protocol, 'websocket', sid)))
    c.write(parts.join(''))
    await expect(c, 1, 'the first of several requests in one piece')
    dead.push(sid)
    leave(c, random)
  },

  /** Posts what is no payload, too much, or less than was announced. */
  async badPosts({ session, connect, random, expect }) {
    const { sid, query } = await session('polling')
    if (!sid) return
    const c = await connect()
    const kind = random.below(6)
    if (kind === 0) c.write(post(query, '\u001e\u001e9?b!'))
    else if (kind === 1) c.write(post(query, '4'.repeat(1_200_000)))
    else if (kind === 2) c.write(post(query, '4short', '', 60))
    else if (kind === 3)
      c.write(post(query, '').replace('Content-Length: 0', 'Transfer-Encoding: chunked') + '3\r\n4ab\r\n0\r\n\r\n')
    else if (kind === 4) c.write(post(query, '4x').replace('text/plain', 'application/octet-stream'))
    else c.write(post(query, '1'))
    if (kind !== 2) await expect(c, 1, `a bad POST of kind ${kind}`)
    else await delay(random.below(200))
    dead.push(sid)
    leave(c, random)
  },

  /** Polls and goes, in many ways. */
  async leavePoll({ session, connect, random }) {
    const { sid, query } = await session('polling')
    if (!sid) return
    const c = await connect()
    c.write(get(query))
    await delay(random.below(60))
    dead.push(sid)
    leave(c, random)
  },

  /** Frames that no client may send, after a valid one. */
  async badFrames({ websocket, random }) {
    const c = await websocket()
    if (!c) return
    const bad = random.pick([
      () => frame(1, '4x', { masked: false }),
      () => frame(3, '4x'),
      () => frame(1, '4x', { rsv: 2 }),
      () => frame(1, '4x', { rsv: 4 }),
      () => frame(1, Buffer.from([0x34, 0xff, 0xfe])),
      () => frame(9, 'p'.repeat(126)),
      () => frame(8, Buffer.from([0x03])),
      () => frame(8, Buffer.from([0x03, 0xed])),
      () => frame(0, '4x'),
      () => frame(1, '4', { length: 10_000_000 }),
      () => Buffer.concat(Array.from({ length: 300 }, () => frame(1, '', { fin: false }))),
      () => Buffer.concat(Array.from({ length: 300 }, () => frame(9, 'ping'))),
      () => random.bytes(200),
      () => frame(1, '9unknown'),
      () => frame(1, ''),
      () => frame(1, '5'),
      () => frame(1, '2probe'),
    ])
    c.write(random.chance(0.5) ? Buffer.concat([frame(1, '4valid'), bad()]) : bad())
    await delay(random.below(100))
    leave(c, random)
  },

  /** Goes on after the end. */
  async late({ websocket, random }) {
    const c = await websocket()
    if (!c) return
    c.write(Buffer.concat([frame(1, '4x'), frame(8, Buffer.from([3, 232])), frame(1, '4too late'), frame(2, 'late')]))
    await delay(random.below(50))
    c.write(frame(1, '4too late again'))
    leave(c, random)
  },

  /** Upgrades a session more than once, or leaves it in the midst of it. */
  async upgradeTwice({ session, connect, random, name, protocol, expect }) {
    const { sid, query } = await session('polling')
    if (!sid) return
    const both = [await connect(), await connect()]
    const poll = await connect()
    if (random.chance(0.7)) poll.write(get(query))
    for (const c of both) c.write(upgrade(base(name, protocol, 'websocket', sid)))
    await expect(both[0], 1, 'an upgrade')
    await expect(both[1], 1, 'a second upgrade')
    const [first] = both
    if (random.chance(0.7)) first.write(frame(1, random.pick(['2probe', '2probe', '2probe', '4x', '5', 'junk'])))
    if (random.chance(0.5)) await delay(random.below(30))
    if (random.chance(0.6)) first.write(frame(1, '5'))
    if (random.chance(0.6)) both[1].write(frame(1, '5'))
    if (random.chance(0.5)) first.write(frame(1, '4after the upgrade'))
    await delay(random.below(80))
    dead.push(sid)
    for (const c of [...both, poll]) leave(c, random)
  },

  /** Talks as an honest client would, whose session the application then ends in some way. */
  async provoke({ websocket, session, connect, random, protocol }) {
    if (random.chance(0.6)) {
      const c = await websocket()
      if (!c) return
      for (let i = random.below(5); i >= 0; i--) c.write(frame(1, '4provoked'))
      await delay(random.below(100))
      return leave(c, random)
    }
    const { sid, query } = await session('polling')
    if (!sid) return
    const c = await connect()
    if (random.chance(0.5)) c.write(get(query))
    const p = await connect()
    p.write(post(query, protocol === 4 ? '4provoked' : '9:4provoked'))
    await delay(random.below(100))
    dead.push(sid)
    leave(c, random)
    leave(p, random)
  },

  /** Reads nothing of what it asked for. */
  async deaf({ websocket, random }) {
    const c = await websocket()
    if (!c) return
    c.socket.pause()
    for (let i = 0; i < 30; i++) c.write(frame(2, Buffer.alloc(20_000)))
    await delay(random.below(1500))
    leave(c, random)
  },

  /** Small frames that grow when they are inflated, where the server agrees to that. */
  async bomb({ websocket, random }) {
    const c = await websocket('Sec-WebSocket-Extensions: permessage-deflate\r\n')
    if (!c) return
    const { deflateRawSync } = require('node:zlib')
    const packed = deflateRawSync(Buffer.concat([Buffer.from('4'), Buffer.alloc(90_000, 0x61)]), {
      finishFlush: 2,
    }).subarray(0, -4)
    c.write(Buffer.concat(Array.from({ length: 1 + random.below(60) }, () => frame(1, packed, { rsv: 4 }))))
    await delay(random.below(300))
    leave(c, random)
  },

  /** Requests that are none of an engine's. */
  async nonsense({ connect, random, name, expect }) {
    const c = await connect()
    const ask = random.pick([
      () => get(base(name, 4, 'carrier-pigeon')),
      () => get(base(name, 9, 'polling')),
      () => get(`EIO=4&transport=polling&sid=${'x'.repeat(2000)}`),
      () => get('transport=polling&EIO=4&EIO=3&sid=__proto__'),
      () => `PUT ${path(base(name, 4, 'polling'))} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc`,
      () => `OPTIONS ${path(base(name, 4, 'polling'))} HTTP/1.1\r\nHost: x\r\n\r\n`,
      () => upgrade(base(name, 4, 'polling')),
      () => upgrade(base(name, 4, 'websocket')).replace('13', '7'),
      () => upgrade(`${base(name, 4, 'websocket')}&forbidden=1`),
      () => `GET // HTTP/1.1\r\nHost: x\r\n\r\n`,
      () => `\u0000\u0001\u0002\r\n\r\n`,
      () => `GET ${path(base(name, 4, 'polling'))} HTTP/1.1\r\n\r\n`,
    ])()
    c.write(ask)
    await expect(c, 1, JSON.stringify(ask.slice(0, 60)))
    leave(c, random)
  },
}

function leave(c, random) {
  const way = random.below(4)
  if (way === 0) c.reset()
  else if (way === 1) c.destroy()
  else if (way === 2) {
    // half-closed, and the rest of it is the server's affair for a while
    c.socket.end()
    c.socket.resume()
    setTimeout(() => c.destroy(), 4000)
  } else {
    c.socket.resume()
    setTimeout(() => c.destroy(), 50 + random.below(4000))
  }
}

/** One attack of the random kind. Resolves when it has left, or soon before. */
async function attack({ random, door, port, name, tell, totals }) {
  const kind = random.pick(Object.keys(ATTACKS))
  const protocol = random.chance(0.25) ? 3 : 4
  totals.attacks[kind] = (totals.attacks[kind] || 0) + 1
  const connect = async () => {
    const c = new Connection({ door, port })
    await c.open
    return c
  }
  const session = async () => {
    const c = await connect()
    c.write(get(base(name, protocol, 'polling'), 'Connection: close\r\n'))
    await c.until((got) => /"sid":"[^"]+"/.test(got) && got.includes('}'))
    const sid = (/"sid":"([^"]+)"/.exec(c.got) || [])[1]
    c.destroy()
    return { sid, query: base(name, protocol, 'polling', sid) }
  }
  const websocket = async (extra) => {
    const c = await connect()
    c.write(upgrade(base(name, protocol, 'websocket'), extra))
    await c.until((got) => got.includes('\r\n\r\n'))
    if (c.got.includes(' 101 ')) return c
    c.destroy()
  }
  const expect = async (c, count, what) => {
    if (!(await c.until((got) => answers(got) >= count))) {
      tell(
        `${door}: ${what} (${name}, attack ${kind}, protocol ${protocol}) is neither answered nor its connection ended`,
      )
    }
  }
  await ATTACKS[kind]({ random, name, protocol, connect, session, websocket, expect })
  if (dead.length > 500) dead.splice(0, 250)
}

module.exports = { attack }
