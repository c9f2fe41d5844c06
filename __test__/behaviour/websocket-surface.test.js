'use strict'

// `transport.socket`, the WebSocket below a session, has what one of `ws` has on a server.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { WebSocket } = require('ws')
const {
  delay,
  eventually,
  frame,
  listen,
  listenDirectly,
  once,
  openUpgraded,
  openWebSocket,
  record,
} = require('../support')

/** A session and its WebSocket: `{ peer, socket, ws }`. */
async function opened(opts, options) {
  const { peer, socket } = await openWebSocket(await listen(opts), {}, options)
  return { peer, socket, ws: socket.transport.socket }
}

test('it has every public member of a WebSocket of ws', async () => {
  const { ws } = await opened()
  const internal = ['constructor', 'setSocket', 'emitClose']
  const names = Object.getOwnPropertyNames(WebSocket.prototype).filter((name) => !internal.includes(name))
  assert.deepEqual(
    names.filter((name) => !(name in ws)),
    [],
  )
  const different = names.filter((name) => {
    const { value } = Object.getOwnPropertyDescriptor(WebSocket.prototype, name)
    return typeof value === 'function' && typeof ws[name] !== 'function'
  })
  assert.deepEqual(different, [])
})

test('its values are those of a connection on a server', async () => {
  const { ws } = await opened()
  const { binaryType, bufferedAmount, extensions, isPaused, protocol, readyState, url } = ws
  assert.deepEqual(
    { binaryType, bufferedAmount, extensions, isPaused, protocol, readyState },
    { binaryType: 'nodebuffer', bufferedAmount: 0, extensions: '', isPaused: false, protocol: '', readyState: 1 },
  )
  assert.ok(!url)
  assert.deepEqual([ws.CONNECTING, ws.OPEN, ws.CLOSING, ws.CLOSED], [0, 1, 2, 3])
  assert.deepEqual([ws.onclose, ws.onerror, ws.onmessage, ws.onopen], [null, null, null, null])
})

test('protocol is the subprotocol, extensions what was agreed on', async () => {
  // so that the open packet is not compressed
  const headers = {
    'Sec-WebSocket-Protocol': 'one, two',
    'Sec-WebSocket-Extensions': 'permessage-deflate; server_no_context_takeover',
  }
  const { ws } = await opened({ perMessageDeflate: true }, { headers })
  assert.deepEqual([ws.protocol, ws.extensions], ['one', 'permessage-deflate'])
})

test('ping() is answered, and emits pong with its data', async () => {
  const { peer, ws } = await opened()
  const answered = once(ws, 'pong')
  await new Promise((resolve) => ws.ping('here', resolve))
  const { opcode, text } = await peer.frame()
  assert.deepEqual([opcode, text], [9, 'here'])
  peer.sendFrame({ opcode: 10, payload: 'here' })
  assert.equal(String((await answered)[0]), 'here')
})

test('pings of the peer are shown to those who listen, and answered', async () => {
  const { peer, ws } = await opened()
  const pinged = once(ws, 'ping')
  peer.sendFrame({ opcode: 9, payload: 'there?' })
  assert.equal(String((await pinged)[0]), 'there?')
  const { opcode, text } = await peer.frame()
  assert.deepEqual([opcode, text], [10, 'there?'])
})

test('pong() sends a pong; a ping or pong of more than 125 bytes is refused', async () => {
  const { peer, ws } = await opened()
  ws.pong(Buffer.from([1, 2]))
  const { opcode, payload } = await peer.frame()
  assert.deepEqual([opcode, ...payload], [10, 1, 2])
  assert.throws(() => ws.ping('x'.repeat(126)), RangeError)
  assert.throws(() => ws.pong('x'.repeat(126)), RangeError)
})

const SENT = {
  'a string': ['text', undefined, 1, 'text'],
  'a number': [12, undefined, 1, '12'],
  'a Buffer': [Buffer.from('bytes'), undefined, 2, 'bytes'],
  'an ArrayBuffer': [new Uint8Array([65, 66]).buffer, undefined, 2, 'AB'],
  'a view': [new DataView(new Uint8Array([64, 65, 66]).buffer, 1), undefined, 2, 'AB'],
  'a string as binary': ['text', { binary: true }, 2, 'text'],
  'a Buffer as text': [Buffer.from('bytes'), { binary: false }, 1, 'bytes'],
}

for (const [name, [data, options, opcode, text]] of Object.entries(SENT)) {
  test(`send() sends ${name}, and calls back`, async () => {
    const { peer, ws } = await opened()
    const error = await new Promise((resolve) => ws.send(data, options, resolve))
    assert.ok(!error)
    const received = await peer.frame()
    assert.deepEqual([received.opcode, received.text], [opcode, text])
  })
}

test('send(), ping() and pong() after the end call back with an error', async () => {
  const { ws, socket } = await opened()
  const closed = once(socket, 'close')
  ws.terminate()
  await closed
  for (const method of ['send', 'ping', 'pong']) {
    const error = await new Promise((resolve) => ws[method]('late', resolve))
    assert.match(error.message, /not open/)
    ws[method]('late')
  }
})

test('pause() has the peer not heard, and resume() heard again', async () => {
  const { peer, socket, ws } = await opened()
  const messages = record(socket, 'message', (_, data) => data)
  ws.pause()
  assert.equal(ws.isPaused, true)
  await delay(30)
  peer.sendText('4a')
  await delay(50)
  assert.deepEqual(messages, [])
  ws.resume()
  assert.equal(ws.isPaused, false)
  await eventually(() => messages, ['a'])
})

for (const event of ['packet', 'message']) {
  test(`messages are shown to a listener that is added at ${event}, from the next one of the same segment on`, async () => {
    const { peer, socket, ws } = await opened()
    const seen = []
    socket.once(event, () => {
      ws.on('message', (data, isBinary) => seen.push([String(data), isBinary]))
    })
    const messages = record(socket, 'message', (_, data) => String(data))
    const frames = [
      { opcode: 1, payload: '4one' },
      { opcode: 1, payload: '4two' },
      { opcode: 2, payload: 'three' },
    ]
    peer.write(Buffer.concat(frames.map(frame)))
    await eventually(() => messages, ['one', 'two', 'three'])
    assert.deepEqual(seen, [
      ['4two', false],
      ['three', true],
    ])
  })
}

test('addEventListener() and removeEventListener() deal in event objects', async () => {
  const { peer, ws } = await opened()
  const log = []
  const onMessage = (event) => log.push([event.type, event.data, event.target === ws])
  ws.addEventListener('message', onMessage)
  ws.addEventListener('message', onMessage)
  ws.addEventListener('close', ({ type, code, reason, wasClean }) => log.push([type, code, reason, wasClean]), {
    once: true,
  })
  const heard = once(ws, 'message')
  peer.sendText('4one')
  await heard
  ws.removeEventListener('message', onMessage)
  const closed = once(ws, 'close')
  peer.sendText('4two')
  peer.sendClose(4000, 'bye')
  await peer.closeFrame()
  peer.socket.end()
  await closed
  assert.deepEqual(log, [
    ['message', '4one', true],
    ['close', 4000, 'bye', true],
  ])
})

test('onclose and its like are listeners, one at a time', async () => {
  const { peer, ws } = await opened()
  const log = []
  ws.onclose = () => log.push('first')
  const second = ({ wasClean }) => log.push(['second', wasClean])
  ws.onclose = second
  assert.equal(ws.onclose, second)
  assert.equal(ws.listenerCount('close') >= 1, true)
  const closed = once(ws, 'close')
  peer.socket.end()
  await closed
  assert.deepEqual(log, [['second', false]])
})

test('the WebSocket of an upgraded session emits close, after the session', async () => {
  const { peer, socket } = await openUpgraded(await listen())
  const log = []
  socket.on('close', (reason) => log.push(reason))
  socket.transport.socket.on('close', (code) => log.push(code))
  const closed = once(socket.transport.socket, 'close')
  peer.sendClose(1000)
  await peer.closeFrame()
  peer.socket.end()
  await closed
  assert.deepEqual(log, ['transport close', 1000])
})

test('the WebSocket of a session behind listen() has them, too', async () => {
  const { peer, socket } = await openWebSocket(await listenDirectly())
  const ws = socket.transport.socket
  const closed = once(ws, 'close')
  ws.ping()
  assert.equal((await peer.frame()).opcode, 9)
  peer.sendClose(1001)
  await peer.closeFrame()
  peer.socket.end()
  assert.equal((await closed)[0], 1001)
})

test('bufferedAmount is 0 in connection, and after each message while the client reads', async () => {
  const context = await listen()
  const amounts = []
  context.engine.on('connection', (socket) => {
    const ws = socket.transport.socket
    amounts.push(ws.bufferedAmount)
    for (const data of ['a', 'b', Buffer.alloc(1000)]) {
      socket.send(data)
      amounts.push(ws.bufferedAmount)
    }
    ws.send('4c')
    ws.ping()
    amounts.push(ws.bufferedAmount)
    socket.on('message', () => {
      socket.send('d')
      amounts.push(ws.bufferedAmount)
    })
  })
  const { peer } = await openWebSocket(context)
  peer.sendText('4x')
  await eventually(() => amounts, [0, 0, 0, 0, 0, 0])
})

test('bufferedAmount is 0 in upgrade, and after a message that follows', async () => {
  const { socket } = await openUpgraded(await listen())
  const ws = socket.transport.socket
  assert.equal(ws.bufferedAmount, 0)
  socket.send('a')
  assert.equal(ws.bufferedAmount, 0)
})

test('what is sent when the connection closes, and is not sent, counts as bufferedAmount', async () => {
  for (const [opts, expected] of [
    [{}, 12],
    [{ perMessageDeflate: true }, 12],
  ]) {
    const { peer, socket } = await openWebSocket(await listen(opts))
    const ws = socket.transport.socket
    const sent = new Promise((resolve) => {
      socket.transport.once('close', () => {
        socket.transport.send([{ type: 'message', data: 'text' }])
        socket.transport.send([
          { type: 'message', data: Buffer.from([1, 2, 3, 4]) },
          { type: 'ping', data: 'xx' },
        ])
        resolve()
      })
    })
    peer.sendClose()
    await sent
    assert.equal(ws.bufferedAmount, expected)
    await delay(5)
    assert.equal(ws.bufferedAmount, expected)
  }
})

test('what a client that does not read leaves behind counts as bufferedAmount, and no longer when it is gone', async () => {
  const { peer, ws } = await opened()
  peer.socket.pause()
  for (let n = 0; n < 32; n++) ws.send(Buffer.alloc(1 << 20))
  assert.ok(ws.bufferedAmount > 1 << 20)
  const closed = once(ws, 'close')
  peer.socket.destroy()
  await closed
  assert.equal(ws.bufferedAmount, 0)
})
