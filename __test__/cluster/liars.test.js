'use strict'

// A peer that has the key, but does not keep to what members say to each other. It is a member of this process.

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { test } = require('node:test')
const tls = require('node:tls')
const bridge = require('../../lib/native/bridge')
const { kFlushPeers, kOnPeers } = require('../../lib/base/symbols')
const { headOf } = require('../../lib/cluster/head')
const { PeerMessage } = require('../../lib/native/contract')
const { RawWebSocket, deadline, defer, once } = require('../support')
const { openSession, poll, post, startCluster, target } = require('./support')

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}'
const BAD_REQUEST = '[3,{"name":"TRANSPORT_HANDSHAKE_ERROR"}]'
const NAMES = Object.fromEntries(Object.entries(PeerMessage).map(([name, kind]) => [kind, name]))

/** A member that sends what it is told to. It emits the messages that come, by the names of their kinds. */
class Liar extends EventEmitter {
  constructor(directory) {
    super()
    this.engine = bridge.getEngine()
    this.handle = this.engine.joinCluster(directory, undefined, false, false, false)
    bridge.members.set(this.handle, this)
    defer(() => this.leave())
  }

  leave() {
    if (!bridge.members.delete(this.handle)) return
    this.engine.leaveCluster(this.handle)
  }

  [kOnPeers]() {
    const meta = new Uint32Array(4 * 64)
    let contents
    while ((contents = this.engine.takeFromPeers(this.handle, meta)).length > 0) {
      for (let at = 0; at < contents.length / 2; at++) {
        const [link, kind, number, descriptor] = meta.slice(4 * at)
        const [head, body] = contents.slice(2 * at)
        if (descriptor > 0) fs.closeSync(descriptor - 1)
        this.emit(NAMES[kind], { link, kind, number, head, body })
      }
    }
  }

  [kFlushPeers]() {
    this.engine.flushPeers(this.handle)
  }

  send(link, kind, number, head, body, descriptor = -1) {
    assert.ok(this.engine.sendToPeer(this.handle, link, kind, number, head, body, descriptor))
    this[kFlushPeers]()
  }

  /** Makes a link to the first of the others. */
  async link() {
    const [peer] = this.engine.peersOf(this.handle)
    const up = once(this, 'UP')
    const link = this.engine.linkTo(this.handle, peer)
    await up
    return link
  }

  /** The id of a session that this member seems to have. */
  issueId() {
    return this.engine.issueId(this.handle)
  }
}

async function startWithLiar(settings) {
  const { members, directory } = await startCluster(1, settings)
  return { member: members[0], liar: new Liar(directory), directory }
}

/** The member goes on: an exception would have ended its process. */
async function serves(member) {
  const sid = await openSession(member)
  await post(member, sid, '4still here')
  assert.equal((await poll(member, sid)).body, '4still here')
}

const ANSWERS = [
  '',
  'not JSON',
  'null',
  '{}',
  '[]',
  '[200]',
  '[200,null]',
  '[200,[]]',
  '["200",{}]',
  '[200.5,{}]',
  '[100,{}]',
  '[1000,{}]',
  '[200,{"":"a"}]',
  '[200,{"a b":"c"}]',
  '[200,{"a":"b\\r\\nc: d"}]',
  '[200,{"a":{"toString":1}}]',
  '[200,{"a":null}]',
  '[200,{"a":[["b"]]}]',
  '[200,{"Content-Length":"9"}]',
  '[200,{"Trailer":"a"}]',
  '[200,{"Transfer-Encoding":"gzip"}]',
]

const REFUSALS = ['', '7', '[]', '["1",{}]', '[1]', '[1,null]', '[1,[]]', '[1,{"message":{"toString":1}}]']

test('answers that cannot be written: the client gets 400, and the owner hears that it does not have them', async () => {
  const { member, liar } = await startWithLiar()
  const lies = [...ANSWERS.map((head) => ['ANSWER', head]), ...REFUSALS.map((head) => ['REFUSAL', head])]
  for (const [kind, lie] of lies) {
    const asked = once(liar, 'REQUEST')
    const answer = poll(member, liar.issueId())
    const [{ link, number }] = await asked
    const aborted = once(liar, 'ABORT')
    liar.send(link, PeerMessage[kind], number, lie, 'body')
    const { status, body } = await answer
    assert.deepEqual([status, body], [400, UNKNOWN], `${kind} ${lie}`)
    assert.equal((await aborted)[0].number, number)
  }
  await serves(member)
})

test('an answer that keeps to the rules is written', async () => {
  const { member, liar } = await startWithLiar()
  const asked = once(liar, 'REQUEST')
  const answer = poll(member, liar.issueId())
  const [{ link, number }] = await asked
  const done = once(liar, 'DONE')
  liar.send(link, PeerMessage.ANSWER, number, '[201,{"Content-Length":4,"a":["b","c"],"d":true}]', 'body')
  const { status, headers, body } = await answer
  assert.deepEqual([status, headers.a, headers.d, body], [201, 'b, c', 'true', 'body'])
  await done
})

for (const isTls of [false, true]) {
  const how = isTls ? 'relayed' : 'moved'
  test(`a refusal, readable or not: a connection that would be ${how} gets 400, and no descriptor stays open`, async () => {
    const { member, liar } = await startWithLiar({ tls: isTls })
    /** Refuses one upgrade so. */
    const upgrade = async (refusal) => {
      const asked = once(liar, 'MOVE')
      const path = target({ sid: liar.issueId(), transport: 'websocket' })
      let response
      if (isTls) {
        const stream = tls.connect({ port: member.port, host: '127.0.0.1', rejectUnauthorized: false })
        defer(() => stream.destroy())
        response = RawWebSocket.over(stream, path, {}).response()
      } else {
        response = RawWebSocket.open(member.port, path)
      }
      const [{ link, number }] = await asked
      liar.send(link, PeerMessage.REFUSAL, number, refusal)
      const websocket = await response
      assert.equal(websocket.status, 400, refusal)
    }
    await upgrade(REFUSALS[0])
    const open = () => (process.platform === 'linux' ? fs.readdirSync(`/proc/${member.pid}/fd`).length : 0)
    const before = open()
    for (const refusal of [...REFUSALS, '[1,{"sid":"a"}]']) await upgrade(refusal)
    for (let i = 0; i < 1000 && open() > before; i++) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.ok(open() <= before, `${open()} descriptors are open, before it were ${before}`)
  })
}

/** The head of a request, as a front sends it. */
function requestHead(query, { method = 'GET', rawHeaders = ['Host', 'a'], httpVersion = '1.1' } = {}) {
  return headOf({ socket: {}, method, url: target(query), httpVersion, rawHeaders }, query.sid)
}

test('requests that cannot be read are refused', async () => {
  const { member, liar } = await startWithLiar()
  const sid = await openSession(member)
  const link = await liar.link()
  const right = requestHead({ sid })
  const lies = [
    '',
    'a',
    '\0'.repeat(5),
    right.slice(0, -1),
    `${right}\0`,
    `${right}name\0`,
    requestHead({ sid }, { rawHeaders: ['', ''] }),
    requestHead({ sid }, { httpVersion: '' }),
    requestHead({ sid }, { httpVersion: '3.0' }),
    right.replace('/engine.io/', 'http://['),
  ]
  for (const [number, lie] of lies.entries()) {
    const refused = once(liar, 'REFUSAL')
    liar.send(link, PeerMessage.REQUEST, number, lie)
    const [{ number: of, head }] = await refused
    assert.deepEqual([of, head], [number, BAD_REQUEST], JSON.stringify(lie))
  }
  await serves(member)
})

test('what belongs to no request, or comes before an answer, does no harm', async () => {
  const { member, liar } = await startWithLiar()
  const sid = await openSession(member)
  const link = await liar.link()
  for (const kind of Object.values(PeerMessage)) {
    if (kind < PeerMessage.UP) liar.send(link, kind, 1000, 'a')
  }
  liar.send(link, PeerMessage.FAIL, 0, sid)
  liar.send(link, PeerMessage.REQUEST, 1, requestHead({ sid }))
  const closed = once(member, 'close')
  // the answer has not been made: its packets are lost to a client that has gone
  liar.send(link, PeerMessage.DONE, 1, '')
  assert.equal((await closed)[0].sid, sid)
  await serves(member)
})

test('a process without a bus does not hand requests on, and nothing stays open', async () => {
  const { member, liar } = await startWithLiar()
  const link = await liar.link()
  const query = { sid: liar.issueId(), transport: 'websocket' }
  const unavailable = '[3,{"name":"OWNER_UNAVAILABLE","message":"Session owner unavailable","retryAfter":1}]'
  const [ours, theirs] = liar.engine.socketPair()
  const socket = new net.Socket({ fd: ours, readable: true, writable: true })
  defer(() => socket.destroy())
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.resume()
  for (const [kind, head, descriptor] of [
    ['ASK', requestHead(query)],
    ['ASK_MOVE', `{}\0${requestHead(query)}`, theirs],
  ]) {
    const refused = once(liar, 'REFUSAL')
    liar.send(link, PeerMessage[kind], 1, head, undefined, descriptor)
    assert.equal((await refused)[0].head, unavailable)
  }
  fs.closeSync(theirs)
  await deadline(closed, 'end of the connection')
  await serves(member)
})

test('an answer for another machine that is never settled: the next poll waits, until the link ends and the session with it', async () => {
  const { member, liar } = await startWithLiar()
  const sid = await openSession(member)
  const link = await liar.link()
  const answered = once(liar, 'ANSWER')
  liar.send(link, PeerMessage.SERVE, 1, requestHead({ sid }))
  await member.ask('send', { sid, data: 'a' })
  assert.equal((await answered)[0].body, '4a')
  const next = poll(member, sid)
  await member.ask('send', { sid, data: 'b' })
  const closed = once(member, 'close')
  liar.leave()
  assert.equal((await closed)[0].why, 'poll connection closed prematurely')
  assert.equal((await next).body, UNKNOWN)
})

test('a number that is in use is refused', async () => {
  const { member, liar } = await startWithLiar()
  const sid = await openSession(member)
  const link = await liar.link()
  const refused = once(liar, 'REFUSAL')
  liar.send(link, PeerMessage.REQUEST, 1, requestHead({ sid }))
  liar.send(link, PeerMessage.REQUEST, 1, requestHead({ sid }))
  assert.equal((await refused)[0].head, BAD_REQUEST)
  const answered = once(liar, 'ANSWER')
  await member.ask('send', { sid, data: 'a' })
  assert.equal((await answered)[0].body.toString(), '4a')
})

test('connections that come with something else are refused and closed', async () => {
  const { member, liar } = await startWithLiar()
  const sid = await openSession(member)
  const link = await liar.link()
  const head = requestHead({ sid, transport: 'websocket' })
  const lies = [
    ['', BAD_REQUEST],
    ['\0', BAD_REQUEST],
    [`not JSON\0${head}`, BAD_REQUEST],
    [`null\0${head}`, BAD_REQUEST],
    [`[]\0${head}`, BAD_REQUEST],
    [`{"a":{"toString":1}}\0${head}`, BAD_REQUEST],
    [`{"a":"b\\r\\nc"}\0${head}`, BAD_REQUEST],
    ['{}\0a', BAD_REQUEST],
    [`{}\0${head.replace('/engine.io/', 'http://[')}`, BAD_REQUEST],
    [`{}\0${requestHead({ sid, transport: 'constructor' })}`, '[0,{"transport":"constructor"}]'],
    [`{}\0${requestHead({ sid: 'unknown', transport: 'websocket' })}`, '[1,{"sid":"unknown"}]'],
  ]
  for (const [number, [lie, answer]] of lies.entries()) {
    const [ours, theirs] = liar.engine.socketPair()
    const refused = once(liar, 'REFUSAL')
    liar.send(link, PeerMessage.MOVE, number, lie, undefined, theirs)
    fs.closeSync(theirs)
    const socket = new net.Socket({ fd: ours, readable: true, writable: true })
    defer(() => socket.destroy())
    socket.on('error', () => {})
    const closed = new Promise((resolve) => socket.on('close', resolve))
    socket.resume()
    assert.equal((await refused)[0].head, answer, JSON.stringify(lie))
    await deadline(closed, `end of the connection of ${JSON.stringify(lie)}`)
  }
  const file = fs.openSync(__filename)
  for (const descriptor of [file, -1]) {
    const refused = once(liar, 'REFUSAL')
    liar.send(link, PeerMessage.MOVE, 100, `{}\0${head}`, undefined, descriptor)
    assert.equal((await refused)[0].head, BAD_REQUEST)
  }
  fs.closeSync(file)
  await serves(member)
})

test('a front that waits at no place, or answers with another secret, gets its upgrade back', async () => {
  const { member, liar, directory } = await startWithLiar()
  const sid = await openSession(member)
  const link = await liar.link()
  const head = `{}\0${requestHead({ sid, transport: 'websocket' })}`
  const secret = 'a'.repeat(32)
  const door = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', () => socket.write('b'.repeat(32)))
  })
  await new Promise((resolve) => door.listen(path.join(directory, '.12345678'), resolve))
  defer(() => door.close())
  const places = ['', '12345678', `../12345678 ${secret} ${secret}`, `87654321 ${secret} ${secret}`]
  for (const [number, terms] of [...places, `12345678 ${secret} ${secret}`].entries()) {
    const refused = once(liar, 'REFUSAL')
    liar.send(link, PeerMessage.CARRY, number, head, terms)
    const [{ number: of, head: why }] = await refused
    assert.deepEqual([of, why], [number, BAD_REQUEST], JSON.stringify(terms))
  }
  await serves(member)
})

test('an owner that takes a connection without coming for it: the client is cut off', async () => {
  const { member, liar } = await startWithLiar({ carries: true })
  const asked = once(liar, 'CARRY')
  const path = target({ sid: liar.issueId(), transport: 'websocket' })
  const websocket = RawWebSocket.open(member.port, path)
  const [{ link, number, body }] = await asked
  assert.match(String(body), /^[0-9a-f]{8} [0-9a-f]{32} [0-9a-f]{32}$/)
  liar.send(link, PeerMessage.TAKEN, number, '')
  await assert.rejects(websocket)
  await serves(member)
})

test('a connection that comes as an answer is closed', async () => {
  const { member, liar } = await startWithLiar()
  const asked = once(liar, 'REQUEST')
  const answer = poll(member, liar.issueId())
  const [{ link, number }] = await asked
  const [ours, theirs] = liar.engine.socketPair()
  liar.send(link, PeerMessage.MOVE, number, '', undefined, theirs)
  fs.closeSync(theirs)
  const socket = new net.Socket({ fd: ours, readable: true, writable: true })
  defer(() => socket.destroy())
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.resume()
  await deadline(closed, 'end of the connection')
  liar.send(link, PeerMessage.ANSWER, number, '[200,{}]', 'body')
  assert.equal((await answer).body, 'body')
})
