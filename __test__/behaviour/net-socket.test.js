'use strict'

// The net.Socket below a websocket is one that applications can use: each of its public members and events, on a connection
// that nobody has a hand in, and on one that somebody watches from the start.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const net = require('node:net')
const { PassThrough } = require('node:stream')
const { test } = require('node:test')
const {
  RawWebSocket,
  defer,
  delay,
  engine,
  eventually,
  frame,
  improvement,
  listen,
  never,
  once,
  openWebSocket,
  path,
  record,
} = require('../support')
const { EVENTS, WAYS } = require('../support/net-socket')

/** A session by WebSocket and its net.Socket: `{ context, peer, socket, stream }`. */
async function opened({ prepare = () => {}, open = openWebSocket, ...opts } = {}) {
  const context = await listen(opts)
  prepare(context.server)
  const { peer, polling, socket } = await open(context)
  if (polling !== undefined) context.server.closeIdleConnections()
  return {
    context,
    peer,
    socket,
    stream: open === openWebSocket ? socket.request.socket : socket.transport.socket._socket,
  }
}

const count = (context) => new Promise((resolve) => context.server.getConnections((_, n) => resolve(n)))

/** The frame of a text message from the server. */
const plain = (text) => frame({ payload: text, mask: false })

/** Has `action` done, and waits until the socket is closed; what its events were by then. */
async function endOf({ stream, socket }, action) {
  const log = record(stream, EVENTS, (event, arg) => (arg === undefined ? event : [event, arg.code || arg]))
  const ended = once(socket, 'close')
  const closed = once(stream, 'close')
  await action()
  await closed
  const [reason] = await ended
  return { log, reason }
}

/**
 * By name: the members that a row covers, and a function that gets `opened()` and fails if they do not do what they say. Every
 * row runs on each of the `WAYS`.
 */
const ROWS = {
  'write() sends its bytes behind what the session has sent, and calls back': {
    members: ['write', '_writeGeneric', '_write', '_writev'],
    async run({ peer, socket, stream }) {
      socket.send('before')
      const written = new Promise((resolve) => stream.write(plain('raw'), resolve))
      socket.send('after')
      assert.deepEqual([await peer.packet(), await peer.packet(), await peer.packet()], ['4before', 'raw', '4after'])
      assert.ok(!(await written))
    },
  },
  'write() takes strings with an encoding': {
    members: ['write'],
    async run({ peer, stream }) {
      stream.write(plain('hex').toString('hex'), 'hex')
      stream.write(plain('text').toString('latin1'), 'latin1')
      assert.deepEqual([await peer.packet(), await peer.packet()], ['hex', 'text'])
    },
  },
  'cork() and uncork() send several writes together and in order': {
    members: ['cork', 'uncork', 'writableCorked'],
    async run({ peer, stream }) {
      stream.cork()
      for (let i = 0; i < 5; i++) stream.write(plain(String(i)))
      assert.equal(stream.writableCorked, 1)
      stream.uncork()
      for (let i = 0; i < 5; i++) assert.equal(await peer.packet(), String(i))
    },
  },
  'write() tells when there is too much, and drain when it is written': {
    members: ['writableLength', 'writableNeedDrain', 'writableHighWaterMark', 'bufferSize', 'event drain'],
    async run({ peer, stream }) {
      peer.socket.pause()
      const drained = once(stream, 'drain')
      const chunk = plain('x'.repeat(60_000))
      let writes = 1
      while (stream.write(chunk) || writes < 100) writes++
      assert.equal(stream.writableNeedDrain, true)
      assert.ok(stream.writableLength > stream.writableHighWaterMark)
      assert.equal(stream.bufferSize, stream.writableLength)
      peer.socket.resume()
      for (let i = 0; i < writes; i++) await peer.frame()
      await drained
      assert.equal(stream.writableNeedDrain, false)
      assert.equal(stream.writableLength, 0)
    },
  },
  'end(data) sends the data and the end of the stream': {
    members: ['end', '_final', 'writable', 'writableEnded', 'writableFinished', 'event finish'],
    async run({ peer, socket, stream }) {
      socket.send('before')
      const finished = once(stream, 'finish')
      stream.end(plain('last'))
      assert.equal(stream.writableEnded, true)
      assert.equal(stream.writable, false)
      assert.deepEqual([await peer.packet(), await peer.packet()], ['4before', 'last'])
      await finished
      assert.equal(stream.writableFinished, true)
      await peer.closed
    },
  },
  'end() ends the session when the peer has ended, too': {
    members: ['end', 'event end', 'event close', 'readableEnded', 'closed'],
    async run(context) {
      const { log, reason } = await endOf(context, () => context.stream.end())
      assert.deepEqual(log.map(String), ['finish', 'end', 'close,false'])
      assert.equal(reason, 'transport close')
      assert.equal(context.stream.readableEnded, true)
    },
  },
  'what the session sends after end() is a transport error': {
    members: ['end'],
    async run({ socket, stream }) {
      const closed = once(socket, 'close')
      stream.end()
      socket.send('late')
      assert.equal((await closed)[0], 'transport error')
    },
  },
  'destroySoon() sends what waits, and closes': {
    members: ['destroySoon'],
    async run(context) {
      context.socket.send('before')
      const { log } = await endOf(context, () => {
        context.stream.write(plain('last'))
        context.stream.destroySoon()
      })
      assert.deepEqual([await context.peer.packet(), await context.peer.packet()], ['4before', 'last'])
      assert.deepEqual(log.map(String), ['finish', 'close,false'])
    },
  },
  'destroy() closes at once, and ends the session': {
    members: ['destroy', '_destroy', 'destroyed', 'errored'],
    async run(context) {
      const { stream, peer } = context
      const { log, reason } = await endOf(context, () => {
        assert.equal(stream.destroy(), stream)
        assert.equal(stream.destroyed, true)
      })
      assert.deepEqual(log.map(String), ['close,false'])
      assert.equal(reason, 'transport close')
      assert.equal(stream.errored, null)
      await peer.closed
    },
  },
  'destroy(error) emits it to those who listen': {
    members: ['destroy', 'errored', 'event error'],
    async run(context) {
      const error = Object.assign(new Error('mine'), { code: 'MINE' })
      const { log, reason } = await endOf(context, () => context.stream.destroy(error))
      assert.deepEqual(log.map(String), ['error,MINE', 'close,true'])
      assert.equal(reason, 'transport close')
      assert.equal(context.stream.errored, error)
    },
  },
  'destroy(error) that nobody listens for is not uncaught': {
    members: ['destroy', 'errored'],
    async run({ socket, stream }) {
      const error = new Error('mine')
      const closed = once(stream, 'close')
      const ended = once(socket, 'close')
      stream.destroy(error)
      assert.deepEqual(await closed, [true])
      assert.equal((await ended)[0], 'transport close')
      assert.equal(stream.errored, error)
    },
  },
  'a socket that is destroyed before what the session sent is written is a transport error': {
    members: ['destroy'],
    async run({ peer, socket, stream }) {
      peer.socket.pause()
      const closed = once(socket, 'close')
      for (let i = 0; i < 200; i++) socket.send('x'.repeat(100_000))
      await delay(20)
      stream.destroy()
      assert.equal((await closed)[0], 'transport error')
    },
  },
  'resetAndDestroy() resets the connection': {
    members: ['resetAndDestroy', '_reset'],
    async run(context) {
      const reset = once(context.peer.socket, 'error')
      const { log } = await endOf(context, () => assert.equal(context.stream.resetAndDestroy(), context.stream))
      assert.equal((await reset)[0].code, 'ECONNRESET')
      assert.deepEqual(log.map(String), ['close,false'])
    },
  },
  'calls after the end do nothing': {
    members: [
      'write',
      'end',
      'destroy',
      'destroySoon',
      'resetAndDestroy',
      'setKeepAlive',
      'setNoDelay',
      'setTimeout',
      'ref',
      'unref',
    ],
    async run(context) {
      const { stream } = context
      await endOf(context, () => stream.destroy())
      stream.on('error', () => {})
      const error = await new Promise((resolve) => stream.write('late', resolve))
      assert.equal(error.code, 'ERR_STREAM_DESTROYED')
      stream.end()
      stream.destroySoon()
      stream.resetAndDestroy()
      stream.setKeepAlive(true)
      stream.setNoDelay(true)
      stream.setTimeout(10)
      stream.ref()
      stream.unref()
      stream.pause()
      stream.resume()
      assert.equal(stream.read(), null)
      assert.equal(stream.destroy(), stream)
    },
  },
  'bytesRead and bytesWritten count what passes': {
    members: ['bytesRead', 'bytesWritten', '_bytesDispatched'],
    async run(context) {
      const { peer, socket, stream } = context
      const [read, written] = [stream.bytesRead, stream.bytesWritten]
      assert.ok(read > 100 && written > 100, `${read}, ${written}`)
      const up = frame({ payload: '4' + 'x'.repeat(20_000) })
      const message = once(socket, 'message')
      peer.write(up)
      await message
      assert.equal(stream.bytesRead - read, up.length)
      socket.send('y'.repeat(30_000))
      await peer.frame()
      assert.equal(stream.bytesWritten - written, plain('4' + 'y'.repeat(30_000)).length)
      stream.write(plain('z'))
      await peer.frame()
      assert.equal(stream.bytesWritten - written, plain('4' + 'y'.repeat(30_000)).length + 3)
      const last = stream.bytesRead
      await endOf(context, () => stream.destroy())
      assert.equal(stream.bytesRead, last)
      assert.equal(stream.bytesWritten - written, plain('4' + 'y'.repeat(30_000)).length + 3)
    },
  },
  'readyState and its like follow the connection': {
    members: ['readyState', 'pending', 'connecting', '_connecting', 'readable', 'destroyed'],
    async run(context) {
      const { stream } = context
      const state = () => [
        stream.readyState,
        stream.pending,
        stream.connecting,
        stream.readable,
        stream.writable,
        stream.destroyed,
      ]
      assert.deepEqual(state(), ['open', false, false, true, true, false])
      await endOf(context, () => {
        stream.end()
        assert.deepEqual(state(), ['readOnly', false, false, true, false, false])
      })
      assert.deepEqual(state(), ['closed', true, false, false, false, true])
    },
  },
  'addresses are those of both ends': {
    members: [
      'address',
      'localAddress',
      'localPort',
      'localFamily',
      'remoteAddress',
      'remotePort',
      'remoteFamily',
      '_getpeername',
      '_getsockname',
    ],
    async run({ context, peer, stream }) {
      const { port } = context
      assert.deepEqual(stream.address(), { address: '127.0.0.1', family: 'IPv4', port })
      assert.deepEqual([stream.localAddress, stream.localPort, stream.localFamily], ['127.0.0.1', port, 'IPv4'])
      const far = [stream.remoteAddress, stream.remotePort, stream.remoteFamily]
      assert.deepEqual(far, ['127.0.0.1', peer.socket.localPort, 'IPv4'])
    },
  },
  'setTimeout() counts traffic, and tells once of silence': {
    members: ['setTimeout', 'timeout', '_onTimeout', '_unrefTimer', 'event timeout'],
    async run({ peer, socket, stream }) {
      socket.on('message', () => {})
      let told = 0
      assert.equal(
        stream.setTimeout(600, () => told++),
        stream,
      )
      assert.equal(stream.timeout, 600)
      for (let i = 0; i < 12; i++) {
        peer.sendText('4up')
        await delay(60)
      }
      assert.equal(told, 0)
      for (let i = 0; i < 12; i++) {
        socket.send('down')
        await delay(60)
      }
      assert.equal(told, 0)
      await eventually(() => told, 1)
      await delay(900)
      assert.equal(told, 1)
      const again = once(stream, 'timeout')
      peer.sendText('4up')
      await again
      stream.setTimeout(0)
      await never(stream, 'timeout', 700)
      assert.equal(socket.readyState, 'open')
    },
  },
  'setTimeout() counts a write of nothing': {
    members: ['setTimeout', 'write'],
    async run({ stream }) {
      let told = 0
      stream.setTimeout(400, () => told++)
      for (let i = 0; i < 8; i++) {
        stream.write('')
        await delay(100)
      }
      assert.equal(told, 0)
      await eventually(() => told, 1)
    },
  },
  'it tells of the bytes that have been read, and of those that wait': {
    members: ['readableFlowing', 'readableDidRead', 'writableLength', 'bufferSize'],
    async run(context) {
      const { peer, socket, stream } = context
      const states = () => [stream.readableFlowing, stream.readableDidRead, stream.writableLength, stream.bufferSize]
      socket.send('written at once')
      const [flowing, , ...waiting] = states()
      assert.deepEqual([flowing, ...waiting], [true, 0, 0])
      const message = once(socket, 'message')
      peer.sendText('4up')
      await message
      assert.deepEqual(states(), [true, true, 0, 0])
      await endOf(context, () => peer.socket.end())
      assert.deepEqual([stream.readableFlowing, stream.readableDidRead], [true, true])
    },
  },
  'it has the server that counts it': {
    members: ['_server', 'server'],
    async run(context) {
      const { stream } = context
      assert.equal(stream._server, context.context.server)
      await endOf(context, () => stream.destroy())
      assert.equal(stream._server, context.context.server)
      assert.equal(await count(context.context), 0)
    },
  },
  'setNoDelay(), setKeepAlive(), ref() and unref() return the socket': {
    members: ['setNoDelay', 'setKeepAlive', 'ref', 'unref'],
    async run({ peer, socket, stream }) {
      for (const on of [true, false, undefined]) {
        assert.equal(stream.setNoDelay(on), stream)
        assert.equal(stream.setKeepAlive(on, 60_000), stream)
      }
      assert.equal(stream.unref(), stream)
      assert.equal(stream.ref(), stream)
      assert.equal(stream.unref(), stream)
      socket.send('still')
      assert.equal(await peer.packet(), '4still')
    },
  },
  'setKeepAlive() reaches the kernel': {
    members: ['setKeepAlive'],
    async run({ stream }) {
      if (process.platform !== 'linux') return
      assert.equal(hasKeepAliveTimer(stream), false)
      stream.setKeepAlive(true, 60_000)
      await eventually(() => hasKeepAliveTimer(stream), true)
      stream.setKeepAlive(false)
      await eventually(() => hasKeepAliveTimer(stream), false)
    },
  },
  'pause() has the peer not heard, and resume() heard again': {
    members: ['pause', 'resume', 'isPaused', 'readableFlowing', 'event pause', 'event resume'],
    async run({ peer, socket, stream }) {
      const messages = record(socket, 'message', (_, data) => data)
      assert.equal(stream.pause(), stream)
      assert.equal(stream.isPaused(), true)
      await delay(30)
      peer.sendText('4a')
      await delay(50)
      assert.deepEqual(messages, [])
      assert.equal(stream.resume(), stream)
      assert.equal(stream.isPaused(), false)
      peer.sendText('4b')
      await eventually(() => messages, ['a', 'b'])
    },
  },
  'who begins to listen to data gets the bytes, and the session its messages': {
    members: ['on', 'addListener', 'prependListener', 'read', '_read', 'push', 'event data', 'readableDidRead'],
    async run({ peer, socket, stream }) {
      const chunks = []
      stream.on('data', (chunk) => chunks.push(chunk))
      const sent = frame({ payload: '4up' })
      const message = once(socket, 'message')
      peer.write(sent)
      assert.deepEqual(await message, ['up'])
      // of `ws`, which unmasks in place, these may be other bytes
      await eventually(() => Buffer.concat(chunks).length, sent.length)
      assert.equal(stream.readableDidRead, true)
    },
  },
  'who listens to readable, or iterates, gets the bytes': {
    members: ['read', 'readableLength', 'event readable', 'iterator'],
    async run({ peer, stream }) {
      const sent = frame({ opcode: 9, payload: 'ping' })
      const read = new Promise((resolve) => stream.once('readable', () => resolve(stream.read())))
      peer.write(sent)
      assert.equal((await read).length, sent.length)
      const iterated = (async () => {
        // eslint-disable-next-line no-unreachable-loop -- a loop that is left at once
        for await (const chunk of stream) return chunk.length
      })()
      peer.write(sent)
      assert.equal(await iterated, sent.length)
      assert.equal(stream.destroyed, true)
    },
  },
  'pipe() gets the bytes': {
    members: ['pipe', 'unpipe'],
    async run({ peer, socket, stream }) {
      const copy = new PassThrough()
      stream.pipe(copy)
      const sent = frame({ payload: '4up' })
      const message = once(socket, 'message')
      peer.write(sent)
      assert.deepEqual(await message, ['up'])
      await eventually(() => copy.readableLength, sent.length)
      stream.unpipe(copy)
      peer.sendText('4more')
      await delay(20)
      assert.equal(copy.readableLength, sent.length)
    },
  },
  'who wraps write() later sees what is sent from then on': {
    members: ['write'],
    async run({ peer, socket, stream }) {
      socket.send('before')
      assert.equal(await peer.packet(), '4before')
      const seen = []
      const { write } = stream
      stream.write = function (chunk, ...rest) {
        seen.push(Buffer.from(chunk))
        return write.call(this, chunk, ...rest)
      }
      for (const data of ['one', 'x'.repeat(70_000), Buffer.from([1])]) {
        socket.send(data)
        await peer.frame()
      }
      const frames = [plain('4one'), plain('4' + 'x'.repeat(70_000)), frame({ opcode: 2, payload: [1], mask: false })]
      assert.ok(Buffer.concat(seen).equals(Buffer.concat(frames)))
      const closed = once(stream, 'close')
      socket.close()
      assert.equal((await peer.closeFrame()).opcode, 8)
      peer.sendClose(1000)
      await closed
    },
  },
  'who wraps emit() later sees data': {
    members: ['emit'],
    async run({ peer, socket, stream }) {
      const seen = []
      const { emit } = stream
      stream.emit = function (event, ...args) {
        if (event === 'data') seen.push(args[0])
        return emit.call(this, event, ...args)
      }
      const sent = frame({ payload: '4up' })
      const message = once(socket, 'message')
      peer.write(sent)
      assert.deepEqual(await message, ['up'])
      await eventually(() => Buffer.concat(seen).length, sent.length)
    },
  },
  'setEncoding() throws, as for all sockets of an HTTP server': {
    members: ['setEncoding'],
    async run({ stream }) {
      assert.throws(() => stream.setEncoding('utf8'), { code: 'ERR_HTTP_SOCKET_ENCODING' })
    },
  },
  'it is a net.Socket and nothing else': {
    members: ['constructor'],
    async run({ stream }) {
      assert.ok(stream instanceof net.Socket)
      assert.equal(stream.constructor, net.Socket)
      assert.equal(stream.constructor.name, 'Socket')
    },
  },
  "the end of the peer's side ends ours": {
    members: ['event end', 'event finish', 'event close'],
    async run(context) {
      const { log, reason } = await endOf(context, () => context.peer.socket.end())
      assert.deepEqual(log.map(String), ['end', 'finish', 'close,false'])
      assert.equal(reason, 'transport close')
    },
  },
  'a reset by the peer is an error': {
    members: ['event error', 'event close'],
    async run(context) {
      const { log, reason } = await endOf(context, () => context.peer.socket.resetAndDestroy())
      assert.deepEqual(log.map(String), ['error,ECONNRESET', 'close,true'])
      assert.equal(reason, 'transport close')
    },
  },
  "a closing handshake of the session's ends both sides": {
    members: ['event finish', 'event end', 'event close'],
    async run(context) {
      const { peer, socket } = context
      const { log, reason } = await endOf(context, async () => {
        socket.close()
        await peer.closeFrame()
        peer.sendClose(1000)
        await peer.closed
        peer.socket.end()
      })
      assert.deepEqual(log.map(String), ['finish', 'end', 'close,false'])
      assert.equal(reason, 'forced close')
    },
  },
  "a closing handshake of the peer's ends both sides": {
    members: ['event finish', 'event end', 'event close'],
    async run(context) {
      const { peer } = context
      const { log, reason } = await endOf(context, async () => {
        peer.sendClose(1000)
        await peer.closeFrame()
        await peer.closed
        peer.socket.end()
      })
      assert.deepEqual(log.map(String), ['finish', 'end', 'close,false'])
      assert.equal(reason, 'transport close')
    },
  },
  'it is counted by its server until it is destroyed': {
    members: ['server', 'destroy'],
    async run(context) {
      const { stream } = context
      assert.equal(stream.server, context.context.server)
      assert.equal(await count(context.context), 1)
      const counted = new Promise((resolve) => {
        stream.destroy()
        context.context.server.getConnections((_, n) => resolve(n))
      })
      assert.equal(await counted, 0)
    },
  },
}

/** Whether the kernel keeps a timer for an idle connection: that of keep-alive. */
function hasKeepAliveTimer({ localPort, remotePort }) {
  const [local, remote] = [localPort, remotePort].map((port) => port.toString(16).toUpperCase().padStart(4, '0'))
  const line = new RegExp(`:${local} [0-9A-F]{8}:${remote} 01 \\S+ (\\d\\d):`).exec(
    fs.readFileSync('/proc/net/tcp', 'utf8'),
  )
  assert.notEqual(line, null)
  return line[1] === '02'
}

for (const [way, options] of Object.entries(WAYS)) {
  for (const [name, { run }] of Object.entries(ROWS)) {
    test(`${way}: ${name}`, { timeout: 20_000 }, async () => run(await opened(options)))
  }
}

test("every public member of a net.Socket has its row, or is Node's own", async () => {
  const { stream } = await opened()
  const covered = new Set(Object.values(ROWS).flatMap(({ members }) => members))
  const missing = []
  for (
    let prototype = net.Socket.prototype;
    prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype)
  ) {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      if (covered.has(name) || name === '_handle') continue
      const [ours, nodes] = [descriptor(stream, name), descriptor(net.Socket.prototype, name)]
      if (
        ours.get !== nodes.get ||
        (ours.get === undefined && typeof nodes.value === 'function' && ours.value !== nodes.value)
      ) {
        missing.push(name)
      }
    }
  }
  assert.deepEqual(missing, [])
  const events = ['close', 'data', 'drain', 'end', 'error', 'finish', 'pause', 'resume', 'timeout']
  assert.deepEqual(
    events.filter((event) => !covered.has(`event ${event}`)),
    [],
  )
})

function descriptor(object, name) {
  for (let at = object; at !== null; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertyDescriptor(at, name)
    if (found !== undefined) return found
  }
  return {}
}

// ---- who has a hand in the bytes ---------------------------------------------------------------

const wrap = (object, name, see) => {
  const original = object[name]
  object[name] = function (...args) {
    see(args)
    return original.apply(this, args)
  }
  return () => (object[name] = original)
}

class Counting extends net.Socket {
  counted = { in: 0, out: 0 }

  push(chunk, ...rest) {
    if (chunk) this.counted.in += chunk.length
    return super.push(chunk, ...rest)
  }

  write(chunk, ...rest) {
    this.counted.out += chunk.length
    return super.write(chunk, ...rest)
  }
}

/** By name: has a connection watched, and counts in `seen`; which directions it sees. */
const WATCHERS = {
  'listens to data': ['in', (stream, seen) => stream.on('data', (chunk) => (seen.in += chunk.length))],
  'pipes it': ['in', (stream, seen) => stream.pipe(new PassThrough().on('data', (chunk) => (seen.in += chunk.length)))],
  'wraps emit()': [
    'in',
    (stream, seen) => wrap(stream, 'emit', ([event, chunk]) => event === 'data' && (seen.in += chunk.length)),
  ],
  'wraps push()': ['in', (stream, seen) => wrap(stream, 'push', ([chunk]) => chunk && (seen.in += chunk.length))],
  'wraps write()': ['out', (stream, seen) => wrap(stream, 'write', ([chunk]) => (seen.out += chunk.length))],
  'wraps _write() and _writev()': [
    'out',
    (stream, seen) => {
      wrap(stream, '_write', ([chunk]) => (seen.out += chunk.length))
      wrap(stream, '_writev', ([chunks]) => chunks.forEach(({ chunk }) => (seen.out += chunk.length)))
    },
  ],
  "wraps its handle's reading": [
    'in',
    (stream, seen) => {
      const { onread } = stream._handle
      stream._handle.onread = function (buffer) {
        if (buffer) seen.in += buffer.byteLength
        return onread.call(this, buffer)
      }
    },
  ],
}

/** As `shimmer` and its like do. */
const define = (object, name, see) => {
  const original = object[name]
  const value = function (...args) {
    see(args)
    return original.apply(this, args)
  }
  Object.defineProperty(object, name, { configurable: true, enumerable: true, writable: true, value })
}

Object.assign(WATCHERS, {
  'defines a write() of its own': [
    'out',
    (stream, seen) => define(stream, 'write', ([chunk]) => (seen.out += chunk.length)),
  ],
  'defines _write() and _writev() of its own': [
    'out',
    (stream, seen) => {
      define(stream, '_write', ([chunk]) => (seen.out += chunk.length))
      define(stream, '_writev', ([chunks]) => chunks.forEach(({ chunk }) => (seen.out += chunk.length)))
    },
  ],
})

/** When somebody begins to. */
const TIMES = {
  'from the start': (context, watch) => context.server.on('connection', watch),
  'while the upgrade is judged': (context, watch) =>
    (context.engine.opts.allowRequest = (req, done) => {
      watch(req.socket)
      done(null, true)
    }),
  'in the tick of the upgrade': (context, watch) => context.server.on('upgrade', (_req, stream) => watch(stream)),
  'at the connection event': (context, watch) =>
    context.engine.on('connection', (socket) => watch(socket.request.socket)),
}

/** What nobody does to a socket of Node's later, and ours cannot notice. */
const UNNOTICED = new Set([
  "wraps its handle's reading: in the tick of the upgrade",
  "wraps its handle's reading: at the connection event",
])

for (const [who, [direction, watch]] of Object.entries(WATCHERS)) {
  for (const [when, begin] of Object.entries(TIMES)) {
    if (UNNOTICED.has(`${who}: ${when}`)) continue
    test(`who ${who} ${when} sees the bytes`, async () => {
      const seen = { in: 0, out: 0 }
      const context = await listen()
      begin(context, (stream) => watch(stream, seen))
      const { peer, socket } = await openWebSocket(context)
      socket.on('message', (data) => socket.send(data))
      const before = seen[direction]
      peer.sendText(`4${'x'.repeat(70_000)}`)
      assert.equal((await peer.frame()).payload.length, 70_001)
      await eventually(() => seen[direction] - before, direction === 'in' ? 70_001 + 14 : 70_001 + 10)
      const closed = once(socket, 'close')
      peer.sendClose(1000)
      await closed
    })
  }
}

for (const how of [wrap, define]) {
  for (const [name, send] of Object.entries({
    'a message': (socket) => socket.send('now'),
    'a message with a callback': (socket) => socket.send('now', () => {}),
  })) {
    test(`who has a write() of its own, by ${how.name}(), sees ${name} of the same tick, and none before it`, async () => {
      const { peer, socket, stream } = await opened()
      const seen = []
      socket.send('before')
      how(stream, 'write', ([chunk]) => seen.push(Buffer.from(chunk)))
      send(socket)
      assert.deepEqual([await peer.packet(), await peer.packet()], ['4before', '4now'])
      assert.equal(Buffer.concat(seen).toString(), plain('4now').toString())
    })
  }
}

test('a subclass of net.Socket keeps its methods', async () => {
  const context = await listen()
  const front = net.createServer({ pauseOnConnect: true }, (accepted) => {
    const { _handle: handle } = accepted
    // so that its end does not take the connection away
    accepted._handle = null
    const stream = new Counting({ handle })
    context.server.emit('connection', stream)
  })
  const port = await require('../support').bind(front)
  const { peer, socket } = await openWebSocket({ ...context, port })
  socket.on('message', (data) => socket.send(data))
  const { counted } = socket.request.socket
  const before = { ...counted }
  peer.sendText('4hello')
  assert.equal(await peer.packet(), '4hello')
  assert.deepEqual([counted.in - before.in, counted.out - before.out], [12, 8])
})

test('who patches the prototype of net.Socket sees the bytes of later connections', async () => {
  const seen = { out: 0 }
  const undo = wrap(net.Socket.prototype, 'write', ([chunk]) => (seen.out += chunk.length))
  defer(undo)
  const { peer, socket } = await opened()
  undo()
  const before = seen.out
  socket.send('hello')
  assert.equal(await peer.packet(), '4hello')
  assert.ok(before > 0)
})

test('a websocket over a UNIX socket has a socket that works', async () => {
  const http = require('node:http')
  const file = require('node:path').join(require('node:os').tmpdir(), `net-socket-${process.pid}-${Date.now()}.sock`)
  const server = http.createServer()
  const attached = engine.attach(server)
  await new Promise((resolve) => server.listen(file, resolve))
  defer(() => server.close())
  defer(() => attached.close())
  const connected = once(attached, 'connection')
  const peer = await RawWebSocket.over(net.connect(file), '/engine.io/?EIO=4&transport=websocket').response()
  await peer.packet()
  const [socket] = await connected
  const { socket: stream } = socket.request
  assert.deepEqual([stream.remoteAddress, stream.localAddress, stream.address()], [undefined, undefined, {}])
  stream.write(plain('raw'))
  assert.equal(await peer.packet(), 'raw')
  const closed = once(socket, 'close')
  stream.end()
  await closed
})

// ---- ends in the tick of the upgrade ---------------------------------------------------------

/** What a second listener of `upgrade` may do at once. */
const AT_ONCE = {
  'destroy()': (stream) => stream.destroy(),
  'destroy(error)': (stream) => stream.destroy(new Error('no')),
  'resetAndDestroy()': (stream) => stream.resetAndDestroy(),
  'end(a response)': (stream) => stream.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  'destroySoon()': (stream) => stream.destroySoon(),
}

for (const [name, act] of Object.entries(AT_ONCE)) {
  for (const [way, { prepare = () => {} }] of Object.entries(WAYS).slice(0, 2)) {
    test(`${name} of ${way} in the tick of the upgrade ends the session, which is told like any other`, async () => {
      const context = await listen()
      prepare(context.server)
      context.server.on('upgrade', (_req, stream) => act(stream))
      const log = []
      context.engine.on('connection', (socket) => {
        log.push(['connection', socket.readyState, context.engine.clientsCount])
        socket.on('close', (reason) => log.push(['close', reason]))
      })
      const peer = await RawWebSocket.request(context.port, path(context, { transport: 'websocket' }))
      peer.socket.on('error', () => {})
      await eventually(() => log.length, 2)
      assert.deepEqual(log, [
        ['connection', 'open', 1],
        ['close', 'transport error'],
      ])
      assert.equal(context.engine.clientsCount, 0)
      assert.deepEqual(Object.keys(context.engine.clients), [])
    })
  }
}

test('finished(), pipeline() and an AbortSignal work on it', async () => {
  const { finished, pipeline, Writable, addAbortSignal } = require('node:stream')
  const one = await opened()
  const done = new Promise((resolve) => finished(one.stream, resolve))
  one.peer.socket.end()
  assert.equal(await done, undefined)

  const two = await opened()
  let bytes = 0
  const slow = new Writable({ write: (chunk, _, callback) => setTimeout(callback, 1, (bytes += chunk.length) && null) })
  const piped = new Promise((resolve) => pipeline(two.stream, slow, resolve))
  const sent = frame({ payload: `4${'x'.repeat(200_000)}` })
  const message = once(two.socket, 'message')
  two.peer.write(sent)
  await message
  two.peer.socket.end()
  assert.equal(await piped, undefined)
  assert.equal(bytes, sent.length)

  const three = await opened()
  const abort = new AbortController()
  addAbortSignal(abort.signal, three.stream)
  const closed = once(three.socket, 'close')
  abort.abort()
  assert.equal((await closed)[0], 'transport close')
  assert.equal(three.stream.errored.name, 'AbortError')
})

test('it can be inspected', async () => {
  const { stream } = await opened()
  assert.match(require('node:util').inspect(stream), /Socket \{/)
})

// ---- collected, held -------------------------------------------------------------------------

test('close is emitted after any garbage collection, whoever listens', async () => {
  const { collect } = collector()
  const context = await listen()
  const log = { all: 0, once: 0, late: 0 }
  context.server.on('connection', (stream) => stream.on('close', () => log.all++))
  context.engine.on('connection', (socket) => {
    socket.request.socket.once('close', () => log.once++)
    socket.request = null
  })
  const peers = []
  for (let i = 0; i < 10; i++) peers.push((await openWebSocket(context)).peer)
  await collect()
  for (const peer of peers) peer.socket.end()
  await eventually(() => [log.all, log.once], [10, 10])
})

test('sockets that nobody has are counted until their connections end', async () => {
  const { collect } = collector()
  const context = await listen()
  context.engine.on('connection', (socket) => (socket.request = null))
  const peers = []
  for (let i = 0; i < 5; i++) peers.push((await openWebSocket(context)).peer)
  await collect()
  assert.equal(await count(context), 5)
  for (const peer of peers) peer.socket.end()
  for (let tries = 0; (await count(context)) > 0 && tries < 100; tries++) await delay(10)
  assert.equal(await count(context), 0)
})

function collector() {
  require('node:v8').setFlagsFromString('--expose-gc')
  const gc = require('node:vm').runInNewContext('gc')
  return {
    async collect() {
      for (let i = 0; i < 4; i++) {
        gc()
        await delay(10)
      }
    },
  }
}

// ---- the order of ends -----------------------------------------------------------------------

test("the session closes before its websocket, with the peer's code and reason", async () => {
  const { peer, socket } = await opened()
  const log = []
  socket.transport.socket.on('close', (code, reason) => log.push(['websocket', code, String(reason)]))
  socket.on('close', (reason) => log.push(['session', reason]))
  const closed = once(socket.transport.socket, 'close')
  peer.sendClose(4001, 'bye')
  await peer.closeFrame()
  peer.socket.end()
  await closed
  assert.deepEqual(log, [
    ['session', 'transport close'],
    ['websocket', 4001, 'bye'],
  ])
})

const CODES = {
  'without a code': [(peer) => peer.sendClose(), 1005],
  'that breaks off': [(peer) => peer.socket.end(), 1006],
  'that is reset': [(peer) => peer.socket.resetAndDestroy(), 1006],
}

for (const [name, [act, code]] of Object.entries(CODES)) {
  test(`transport.socket emits close with ${code} for a connection ${name}`, async () => {
    const { peer, socket } = await opened()
    const closed = once(socket.transport.socket, 'close')
    act(peer)
    peer.socket.end()
    const [received, reason] = await closed
    assert.deepEqual([received, reason.length], [code, 0])
  })
}

test("transport.socket emits close with the peer's answer to the session's close", async () => {
  const { peer, socket } = await opened()
  const { socket: websocket } = socket.transport
  const closed = once(websocket, 'close')
  socket.close()
  await peer.closeFrame()
  peer.sendClose(1001, 'too')
  peer.socket.end()
  assert.deepEqual(await closed, [1001, Buffer.from('too')])
  assert.equal(websocket.readyState, websocket.CLOSED)
})

// ---- a socket that goes to another process ---------------------------------------------------

improvement(
  'a socket of a websocket cannot be sent to another process',
  'child.send(socket) throws and does no harm',
  async () => {
    const { fork } = require('node:child_process')
    const { peer, socket, stream } = await opened()
    const child = fork(require('node:path').join(__dirname, '..', 'fixtures', 'idle.js'))
    defer(() => child.kill())
    const failed = await new Promise((resolve) => {
      try {
        child.send('socket', stream, (error) => resolve(error))
      } catch (error) {
        resolve(error)
      }
    })
    assert.equal(failed.code, 'ERR_INVALID_HANDLE_TYPE')
    socket.send('still')
    assert.equal(await peer.packet(), '4still')
  },
)

for (const [name, options] of Object.entries(WAYS)) {
  test(`${name}: prependListener("data") gets the bytes, and the session goes on`, async () => {
    const { peer, socket, stream } = await opened(options)
    let read = 0
    stream.prependListener('data', (chunk) => (read += chunk.length))
    socket.on('message', (data) => socket.send(data))
    for (let i = 0; i < 4; i++) {
      peer.write(frame({ payload: '4' + 'x'.repeat(50000) }))
      await once(socket, 'message')
    }
    await eventually(() => read > 200000, true)
    const closed = once(socket, 'close')
    peer.socket.end()
    await closed
  })

  test(`${name}: an error event that nobody listens to is not uncaught, and ends the session`, async () => {
    const { socket, stream } = await opened(options)
    const closed = once(socket, 'close')
    stream.emit('error', new Error("of the application's"))
    await closed
    assert.equal(stream.destroyed, true)
  })

  test(`${name}: end() that is replaced is called at the connection's end`, async () => {
    const { peer, stream } = await opened(options)
    const { end } = stream
    const called = new Promise((resolve) => {
      stream.end = function (...args) {
        resolve()
        return end.apply(this, args)
      }
    })
    peer.socket.end()
    await called
  })

  test(`${name}: both sides have ended once the peer has ended its side, though nobody listens`, async () => {
    const { peer, socket, stream } = await opened(options)
    const closed = once(socket, 'close')
    peer.socket.end()
    await closed
    await eventually(() => stream.closed, true)
    assert.deepEqual([stream.readableEnded, stream.writableFinished, stream.readableAborted], [true, true, false])
  })
}

test('a listener of end that was there before the upgrade hears it after a collection', async () => {
  let ended = false
  const { peer } = await opened({
    prepare: (server) => server.prependListener('upgrade', (req, stream) => stream.once('end', () => (ended = true))),
  })
  peer.socket.end()
  await eventually(() => ended, true)
})
