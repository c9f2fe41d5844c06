'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { headerNames, listen, once, path, record, request, probe, PollingPeer } = require('../support')

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }

/** The payload in a script, which must be a call with a string. */
function unwrapped(body, index) {
  const [, found, literal] = /^___eio\[(\d*)\]\((".*")\);$/.exec(body)
  assert.equal(found, index)
  return JSON.parse(literal)
}

/** A JSONP session: `{ peer, socket, response }`. */
async function open(query = {}, options = {}) {
  const context = await listen({ allowEIO3: true, ...options })
  const connected = once(context.engine, 'connection')
  const all = { j: '0', ...query }
  const response = await request({ port: context.port, path: path(context, all) })
  const index = all.j.replace(/[^0-9]/g, '')
  const payload = unwrapped(response.body, index)
  const packet = payload.slice(payload.indexOf('0{'))
  const peer = new PollingPeer(context, all, { body: packet.slice(0, packet.indexOf('}') + 1) })
  const [socket] = await connected
  return { context, peer, socket, response, index }
}

const V4 = {}
const V3 = { EIO: '3', b64: '1' }

/** What a browser sends for the field d of a form. */
const form = (payload) => `d=${encodeURIComponent(payload.replace(/\\n/g, '\\\\n').replace(/\n/g, '\\n'))}`

for (const [revision, query] of [
  ['4', V4],
  ['3', V3],
]) {
  const frame = (packet) => (revision === '3' ? `${packet.length}:${packet}` : packet)

  test(`revision ${revision}: the handshake and polls are scripts, of type text/plain`, async () => {
    const { peer, socket, response } = await open(query)
    assert.equal(response.headers['content-type'], 'text/plain; charset=UTF-8')
    assert.deepEqual(headerNames(response).slice(0, 3), ['Content-Type', 'Content-Length', 'cache-control'])
    socket.send('€ </script> / \u2028\u2029 \\ " \n\r\t\u0000')
    const polled = await peer.poll()
    assert.equal(polled.headers['content-length'], String(polled.buffer.length))
    assert.match(polled.body, /<\/script> \/ \\u2028\\u2029 /)
    assert.equal(unwrapped(polled.body, '0'), frame('4€ </script> / \u2028\u2029 \\ " \n\r\t\u0000'))
  })

  test(`revision ${revision}: binary messages are base64 in both directions`, async () => {
    const { peer, socket } = await open(query)
    socket.send(Buffer.from([1, 2, 3]))
    assert.equal(unwrapped((await peer.poll()).body, '0'), revision === '3' ? '6:b4AQID' : 'bAQID')
    const message = once(socket, 'message')
    await peer.post(form(revision === '3' ? '6:b4AQID' : 'bAQID'), FORM)
    assert.deepEqual(await message, [Buffer.from([1, 2, 3])])
  })

  test(`revision ${revision}: a form post brings its field d and is answered with ok`, async () => {
    const { peer, socket } = await open(query)
    const message = once(socket, 'message')
    const response = await peer.post(`a=1&${form(frame('4€ + & = %'))}&b=2`, FORM)
    assert.deepEqual([response.status, response.body, response.headers['content-type']], [200, 'ok', 'text/html'])
    assert.deepEqual(await message, ['€ + & = %'])
  })

  for (const text of ['a\nb', 'a\\nb', '\n\n', '\\n\n\\n', 'a\\\\b', '\n\\']) {
    test(`revision ${revision}: ${JSON.stringify(text)} survives a form`, async () => {
      const { peer, socket } = await open(query)
      const message = once(socket, 'message')
      await peer.post(form(frame(`4${text}`)), FORM)
      assert.deepEqual(await message, [text])
    })
  }

  test(`revision ${revision}: a form without d, or with two, is passed over and answered with ok`, async () => {
    const { peer, socket } = await open(query)
    const packets = record(socket, 'packet')
    for (const body of ['', 'x=1', 'd=4a&d=4b', 'D=4a', 'd[]=4a']) {
      const response = await peer.post(body, FORM)
      assert.deepEqual([response.status, response.body], [200, 'ok'])
    }
    assert.deepEqual([packets, socket.readyState], [[], 'open'])
  })

  test(`revision ${revision}: an invalid payload in a form is a parse error`, async () => {
    const { peer, socket } = await open(query)
    const closed = once(socket, 'close')
    assert.equal((await peer.post('d=x', FORM)).body, 'ok')
    assert.deepEqual(await closed, ['parse error', undefined])
  })

  test(`revision ${revision}: a pending poll is told of the end in a script`, async () => {
    const { peer, socket } = await open(query)
    const { response } = await peer.pendingPoll()
    socket.close()
    assert.equal(unwrapped((await response).body, '0'), frame('1'))
  })
}

for (const [j, index] of [
  ['alert(1)//', '1'],
  ['', ''],
  ['12a3', '123'],
  ['-5', '5'],
  ['٣', ''],
  ['00', '00'],
]) {
  test(`of j=${j} the digits are kept`, async () => {
    const context = await listen()
    const { body } = await request({ port: context.port, path: path(context, { j }) })
    assert.match(unwrapped(body, index), /^0\{/)
  })
}

test('the index of the handshake counts, later ones do not, nor does their absence', async () => {
  const { context, peer, socket } = await open({ j: '7' })
  for (const target of [peer.path.replace('j=7', 'j=8'), peer.path.replace('j=7&', '')]) {
    socket.send('a')
    assert.equal(unwrapped((await request({ port: context.port, path: target })).body, '7'), '4a')
  }
})

test('a session that was opened without j stays one of XHR', async () => {
  const context = await listen()
  const connected = once(context.engine, 'connection')
  const response = await request({ port: context.port, path: path(context) })
  const { sid } = JSON.parse(response.body.slice(1))
  const [socket] = await connected
  socket.send('a')
  assert.equal((await request({ port: context.port, path: path(context, { sid, j: '1' }) })).body, '4a')
})

test("the type of a form's request is not looked at", async () => {
  const { peer, socket } = await open(V4)
  const message = once(socket, 'message')
  await peer.post('d=4a', { 'Content-Type': 'text/plain' })
  assert.deepEqual(await message, ['a'])
})

test('a form over maxHttpBufferSize is a 413 and ends the session', async () => {
  const { peer, socket } = await open(V4, { maxHttpBufferSize: 20 })
  const closed = once(socket, 'close')
  assert.equal((await peer.post(`d=4${'x'.repeat(18)}`, FORM)).status, 413)
  assert.equal((await closed)[1].message, 'payload too large')
})

test('a JSONP session can be upgraded', async () => {
  const { context, peer: polling, socket } = await open(V4)
  const peer = await probe(context, polling.sid)
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  socket.send('plain')
  assert.equal(await peer.packet(), '4plain')
})

test('errors are JSON, not scripts', async () => {
  const context = await listen()
  const response = await request({ port: context.port, path: path(context, { j: '1', sid: 'x' }) })
  assert.deepEqual([response.status, response.body], [400, '{"code":1,"message":"Session ID unknown"}'])
})

test('the transport of a JSONP session is called polling', async () => {
  const { socket } = await open(V4)
  assert.equal(socket.transport.name, 'polling')
})

test('a client of revision 3 that does not ask for base64 gets a binary payload as JSON has it', async () => {
  const { peer, socket } = await open({ EIO: '3' })
  socket.send('a')
  socket.send(Buffer.from([7]))
  const { body, headers } = await peer.poll()
  const bytes = [0, 2, 255, 52, 97, 1, 2, 255, 4, 7]
  assert.equal(body, `___eio[0](${JSON.stringify(Buffer.from(bytes))});`)
  assert.equal(headers['content-type'], 'text/plain; charset=UTF-8')
})

test('an onData that was replaced gets the form as it came', async () => {
  const { peer, socket } = await open()
  const seen = []
  const { onData } = socket.transport
  socket.transport.onData = function (data) {
    seen.push(data)
    return onData.call(this, data)
  }
  const messages = record(socket, 'message', (event, data) => data)
  await peer.post('d=4one', FORM)
  await peer.post('x=4two', FORM)
  assert.deepEqual([seen, messages], [['d=4one', 'x=4two'], ['one']])
})
