'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { headerNames, improvement, engine, listen, openPolling, openUpgraded, openWebSocket } = require('../support')

/** The cookie of a handshake, with the session id in place of the real one. */
async function cookieOf(cookie, prepare = () => {}) {
  const context = await listen({ cookie })
  prepare(context.engine)
  const { peer } = await openPolling(context)
  const lines = peer.response.headers['set-cookie']
  return lines && lines.map((line) => line.replace(encodeURIComponent(peer.sid), 'SID'))
}

const expires = new Date(Date.UTC(2030, 0, 2, 3, 4, 5))

for (const [what, cookie, expected] of [
  ['true', true, 'io=SID; Path=/; HttpOnly; SameSite=Lax'],
  ['an empty object', {}, 'io=SID; Path=/; HttpOnly; SameSite=Lax'],
  ['a name', { name: 'mine' }, 'mine=SID; Path=/; HttpOnly; SameSite=Lax'],
  ['a path', { path: '/x' }, 'io=SID; Path=/x; HttpOnly; SameSite=Lax'],
  ['path: false', { path: false }, 'io=SID; HttpOnly; SameSite=Lax'],
  ['httpOnly: false', { httpOnly: false }, 'io=SID; Path=/; SameSite=Lax'],
  ['another truthy httpOnly', { httpOnly: 'yes' }, 'io=SID; Path=/; HttpOnly; SameSite=Lax'],
  ['sameSite: true', { sameSite: true }, 'io=SID; Path=/; HttpOnly; SameSite=Strict'],
  ['sameSite: none and secure', { sameSite: 'none', secure: true }, 'io=SID; Path=/; HttpOnly; Secure; SameSite=None'],
  ['sameSite: false', { sameSite: false }, 'io=SID; Path=/; HttpOnly'],
  ['maxAge in seconds', { maxAge: 86400 }, 'io=SID; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax'],
  ['an encoding of its own', { encode: (id) => `<${id}>` }, 'io=<SID>; Path=/; HttpOnly; SameSite=Lax'],
  [
    'every option',
    {
      maxAge: 1,
      domain: 'example.org',
      path: '/p',
      expires,
      secure: true,
      partitioned: true,
      priority: 'high',
      sameSite: 'strict',
    },
    'io=SID; Max-Age=1; Domain=example.org; Path=/p; Expires=Wed, 02 Jan 2030 03:04:05 GMT; HttpOnly; Secure; Partitioned; ' +
      'Priority=High; SameSite=Strict',
  ],
]) {
  test(`the cookie with ${what}`, async () => {
    assert.deepEqual(await cookieOf(cookie), [expected])
  })
}

for (const cookie of [false, undefined, null]) {
  test(`cookie: ${cookie} sets none`, async () => {
    assert.equal(await cookieOf(cookie), undefined)
  })
}

test('an id with special characters is encoded in the cookie', async () => {
  const [line] = await cookieOf({}, (eio) => (eio.generateId = () => 'a;b c\r\n'))
  assert.equal(line, 'io=SID; Path=/; HttpOnly; SameSite=Lax')
})

test('a listener of initial_headers sees the cookie as an array and may add another', async () => {
  const context = await listen({ cookie: true })
  let seen
  context.engine.on('initial_headers', (headers) => {
    seen = headers['Set-Cookie']
    headers['Set-Cookie'].push('mine=1')
  })
  const { peer } = await openPolling(context)
  assert.ok(Array.isArray(seen))
  assert.deepEqual(
    peer.response.headers['set-cookie'].map((line) => line.split('=')[0]),
    ['io', 'mine'],
  )
})

test("the cookie follows the other headers of the engine, the application's follow the cookie", async () => {
  const context = await listen({ cookie: true })
  context.engine.on('headers', (headers) => (headers['X-Mine'] = '1'))
  const { peer } = await openPolling(context)
  const names = headerNames(peer.response).slice(0, 5)
  assert.deepEqual(names, ['Content-Type', 'Content-Length', 'cache-control', 'Set-Cookie', 'X-Mine'])
})

test('polls, POSTs, websocket handshakes and upgrades set no cookie', async () => {
  const context = await listen({ cookie: true })
  const { peer, socket } = await openPolling(context)
  socket.send('a')
  assert.equal((await peer.poll()).headers['set-cookie'], undefined)
  assert.equal((await peer.post('4a')).headers['set-cookie'], undefined)
  assert.equal((await openWebSocket(context)).peer.headers['set-cookie'], undefined)
  assert.equal((await openUpgraded(context)).peer.headers['set-cookie'], undefined)
})

for (const [what, cookie] of [
  ['a name with a line break', { name: 'a\r\nb' }],
  ['a path with a line break', { path: '/\r\nX: 1' }],
  ['an invalid domain', { domain: 'a b' }],
  ['a maxAge that is no number', { maxAge: 'soon' }],
]) {
  improvement('B-11: unhandledRejection at the first client', `${what} is refused by the constructor`, () => {
    assert.throws(() => new engine.Server({ cookie }), TypeError)
  })
}
