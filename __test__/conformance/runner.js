'use strict'

/**
 * Runs a case against the engine and says in one line what came of it: the messages that the application heard, the pongs,
 * and how the connection stands afterwards. What the application's echo sends back must be what it heard; of a connection
 * that ends it may be less, since an engine with threads of its own need not wait for the application.
 */

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const http = require('node:http')
const { after } = require('node:test')
const { deadline, engine, once, RawWebSocket, upstream } = require('../support')
const { text, close } = require('./frames')
const { Inflater } = require('./deflate')

/** The last message of a case: its echo shows that everything before has been dealt with. */
const LAST = '4~'
/** Messages longer than this are named by their length and hash. */
const SHOWN = 40
/** Compression is looked at for messages that are worth it. */
const WORTH_COMPRESSING = 1024

const contexts = new Map()

/** An echo server with these options, shared by all cases that want the same. */
async function contextFor(opts) {
  const key = JSON.stringify(opts)
  if (!contexts.has(key)) contexts.set(key, start(opts))
  return contexts.get(key)
}

async function start(opts) {
  const server = http.createServer()
  const attached = engine.attach(server, opts)
  const heard = new Map()
  attached.on('connection', (socket) => {
    const session = { heard: [], closed: new Promise((resolve) => socket.once('close', (...args) => resolve(args))) }
    heard.set(socket.id, session)
    socket.on('message', (data) => {
      if (`4${data}` !== LAST) session.heard.push(message(data))
      socket.send(data)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { engine: attached, server, heard, port: server.address().port, path: '/engine.io/?EIO=4&transport=websocket' }
}

/** A message as it stands on the wire. */
function message(data) {
  return Buffer.isBuffer(data)
    ? { isText: false, payload: data }
    : { isText: true, payload: Buffer.from(`4${data ?? ''}`) }
}

after(async () => {
  for (const context of await Promise.all(contexts.values())) {
    context.engine.close()
    context.server.closeAllConnections()
    context.server.close()
  }
})

/**
 * Plays the bytes of a case on a new session.
 *
 * @param {{ bytes: Buffer[] | ((peer) => Buffer[]), opts?: object, chop?: number, offer?: string, early?: 'ours' | 'none' }} script
 *   `chop`: the bytes arrive in TCP segments of that size; `offer`: a Sec-WebSocket-Extensions header;
 *   `early`: who ends it before the last of the buffers is sent
 */
async function play({ bytes, opts = {}, chop, offer, early }) {
  const context = await contextFor(opts)
  const headers = offer === undefined ? {} : { 'Sec-WebSocket-Extensions': offer }
  const peer = await RawWebSocket.open(context.port, context.path, { headers })
  assert.equal(peer.status, 101)
  const extensions = peer.headers['sec-websocket-extensions']
  const session = {
    messages: [],
    pongs: [],
    inflater: new Inflater(extensions),
    compressed: new Set(),
    deflates: extensions !== undefined,
  }
  const { sid } = JSON.parse(content(await peer.frame(), session).subarray(1))
  const served = context.heard.get(sid) ?? (await appears(context, sid))
  const parts = typeof bytes === 'function' ? bytes(extensions) : bytes

  let ended = false
  if (early) {
    // everything but the last part; then it must end by itself
    await write(peer, parts.slice(0, -1), chop)
    const ms = early === 'ours' && !upstream ? 10_000 : 150
    ended = await Promise.race([watch(peer, session), new Promise((resolve) => setTimeout(resolve, ms, false))])
    session.early = Boolean(ended)
    if (!ended) peer.write(parts[parts.length - 1])
  } else {
    await write(peer, parts, chop)
  }
  if (!ended) {
    peer.write(text(LAST))
    ended = await watch(peer, session)
  }
  if (ended === 'open') {
    assert.deepEqual(session.messages, served.heard, 'the echo is not what the application heard')
    return describe(session, served.heard, 'open')
  }
  if (ended.opcode === 8) peer.write(close())
  await peer.end()
  const [reason, description] = await deadline(served.closed, 'close of the session')
  assert.deepEqual(
    session.messages,
    served.heard.slice(0, session.messages.length),
    'the echo is not what the application heard',
  )
  const why = description instanceof Error ? `${reason}: ${description.message}` : reason
  const when = early ? (session.early ? ', at once' : ', when complete') : ''
  return describe(session, served.heard, `${ended.opcode === 8 ? nameOf(ended) : 'no close frame'}${when}, ${why}`)
}

async function write(peer, parts, chop) {
  if (chop === undefined) {
    for (const part of parts) peer.write(part)
    return
  }
  const all = Buffer.concat(parts)
  for (let at = 0; at < all.length; at += chop) {
    peer.write(all.subarray(at, at + chop))
    await new Promise(setImmediate)
  }
}

/** Takes frames until the last message comes back ("open") or the connection ends (its close frame, or {}). */
async function watch(peer, session) {
  if (session.watching) return session.watching
  session.watching = (async () => {
    for (;;) {
      let frame
      try {
        frame = await peer.frame(20_000)
      } catch (error) {
        if (peer.isClosed) return {}
        throw error
      }
      if (frame.masked || !frame.fin) throw new Error('a server neither masks nor fragments here')
      if (frame.opcode === 8) return frame
      if (frame.opcode === 10) session.pongs.push(frame.payload)
      if (frame.opcode > 2) continue
      const payload = content(frame, session)
      if (frame.opcode === 1 && payload.toString() === LAST) return 'open'
      if (session.deflates && payload.length >= WORTH_COMPRESSING) session.compressed.add(frame.rsv === 4)
      session.messages.push({ isText: frame.opcode === 1, payload })
    }
  })()
  return session.watching
}

function content({ rsv, payload }, session) {
  return rsv === 4 ? session.inflater.inflate(payload) : payload
}

/** The server's end of a session whose open packet came before its `connection` event. */
async function appears({ engine, heard }, sid) {
  while (!heard.has(sid)) await once(engine, 'connection')
  return heard.get(sid)
}

function nameOf({ payload }) {
  if (payload.length === 0) return 'close'
  const reason = payload.subarray(2).toString()
  return `close ${payload.readUInt16BE(0)}${reason === '' ? '' : ` ${show(Buffer.from(reason))}`}`
}

function describe({ pongs, compressed }, messages, state) {
  const parts = []
  if (messages.length > 3) {
    const all = Buffer.concat(messages.map(({ payload }) => payload))
    parts.push(`${messages.length} messages of ${all.length} bytes #${hash(all)}`)
  } else {
    parts.push(...messages.map(({ isText, payload }) => (isText ? show(payload) : `binary ${showBytes(payload)}`)))
  }
  if (compressed.size > 0 && state === 'open') {
    parts.push(compressed.size === 2 ? 'some compressed' : compressed.has(true) ? 'compressed' : 'not compressed')
  }
  if (pongs.length > 3) parts.push(`${pongs.length} pongs #${hash(Buffer.concat(pongs))}`)
  else parts.push(...pongs.map((payload) => `pong ${showBytes(payload)}`))
  parts.push(state)
  return parts.join('; ')
}

function show(payload) {
  if (payload.length > SHOWN) return `text of ${payload.length} bytes #${hash(payload)}`
  // only printable ASCII stands in the file
  return JSON.stringify(payload.toString()).replace(
    /[^ -~]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function showBytes(payload) {
  return payload.length > SHOWN / 2 ? `${payload.length} bytes #${hash(payload)}` : `<${payload.toString('hex')}>`
}

function hash(payload) {
  return crypto.createHash('sha1').update(payload).digest('hex').slice(0, 8)
}

/** What a handshake with this offer is answered. */
async function negotiate(offer, perMessageDeflate) {
  const context = await contextFor({ perMessageDeflate })
  const peer = await RawWebSocket.open(context.port, context.path, { headers: { 'Sec-WebSocket-Extensions': offer } })
  if (peer.status !== 101) {
    await peer.end()
    return `HTTP ${peer.status}`
  }
  await peer.frame() // the open packet
  peer.write(close(1000))
  await peer.end()
  return peer.headers['sec-websocket-extensions'] ?? 'no extension'
}

module.exports = { play, negotiate }
