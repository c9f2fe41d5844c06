'use strict'

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const eio = require('engine.io-client')
const { defer } = require('./cleanup')
const { deadline, once } = require('./events')
const { request } = require('./http')
const { arrived } = require('./server')
const { RawWebSocket } = require('./websocket')

/** `/engine.io/?EIO=4&transport=…` with `query` on top; a value of `undefined` removes a key. */
function path(context, query = {}) {
  const all = { EIO: '4', transport: 'polling', ...query }
  const kept = Object.entries(all).filter(([, value]) => value !== undefined)
  return `${context.path}?${new URLSearchParams(kept)}`
}

/** A client of the polling transport that does one request at a time, when told to. */
class PollingPeer {
  constructor(context, query, response) {
    this.context = context
    this.response = response
    this.open = JSON.parse(response.body.split('\x1e')[0].slice(1))
    this.sid = this.open.sid
    this.path = path(context, { ...query, sid: this.sid })
  }

  request(options) {
    const response = request({ port: this.context.port, path: this.path, ...options })
    response.catch(() => {})
    return response
  }

  poll(headers) {
    return this.request({ headers })
  }

  post(body, headers = { 'Content-Type': 'text/plain;charset=UTF-8' }) {
    return this.request({ method: 'POST', headers, body })
  }

  /**
   * Starts a request and waits until the engine has it: `{ response, req }`, the response still to come.
   * A body given as `begin` is left open; end it through `req`.
   */
  async start({ begin, ...options } = {}) {
    const method = options.method ?? 'GET'
    const seen = arrived(this.context.server, (req) => req.method === method && req.url.includes(this.sid))
    const response = this.request(begin === undefined ? options : { ...options, body: null })
    if (begin !== undefined) response.req.write(begin)
    await deadline(seen, 'arrival of the request')
    return { response, req: response.req }
  }

  pendingPoll() {
    return this.start()
  }

  pendingPost(begin, headers) {
    return this.start({ method: 'POST', headers, begin })
  }
}

const watched = new WeakMap()

/** Starts to watch for `connection`; the function it returns resolves with the socket of a session id. */
function connections({ engine }) {
  let watch = watched.get(engine)
  if (watch === undefined) {
    watch = Object.assign(new EventEmitter().setMaxListeners(0), { sockets: new Map() })
    watched.set(engine, watch)
    engine.on('connection', (socket) => {
      watch.sockets.set(socket.id, socket)
      watch.emit('socket')
    })
  }
  return async (sid) => {
    while (!watch.sockets.has(sid)) await once(watch, 'socket')
    return watch.sockets.get(sid)
  }
}

/** The arguments of an `event` of the next session, however soon it comes. */
function onceOfNext({ engine }, event) {
  const seen = new Promise((resolve) => {
    engine.once('connection', (socket) => socket.once(event, (...args) => resolve(args)))
  })
  return deadline(seen, `event "${event}" of the next session`)
}

async function openPolling(context, query, headers) {
  const connected = connections(context)
  const response = await request({ port: context.port, path: path(context, query), headers })
  assert.equal(response.status, 200, response.body)
  const peer = new PollingPeer(context, query, response)
  const socket = await connected(peer.sid)
  defer(async () => {
    // a graceful close waits for the next poll, up to 30 s
    if (socket.readyState === 'closing') await peer.request({ ms: 1000 }).catch(() => {})
  })
  return { peer, socket }
}

/** A session opened by WebSocket: `{ peer, socket, open }`; the open packet has been read. */
async function openWebSocket(context, query, options) {
  const connected = connections(context)
  const peer = await RawWebSocket.open(context.port, path(context, { transport: 'websocket', ...query }), options)
  assert.equal(peer.status, 101)
  const open = JSON.parse((await peer.packet()).slice(1))
  return { peer, socket: await connected(open.sid), open }
}

/** A second connection for a session: a WebSocket that asks for an upgrade, before its probe. */
function upgradeTo(context, sid, options) {
  return RawWebSocket.open(context.port, path(context, { transport: 'websocket', sid }), options)
}

/** The same after its probe. */
async function probe(context, sid) {
  const peer = await upgradeTo(context, sid)
  peer.sendText('2probe')
  assert.equal(await peer.packet(), '3probe')
  return peer
}

/** A polling session and a WebSocket that has probed for it: `{ peer, polling, socket }`. */
async function openProbing(context, query) {
  const { peer: polling, socket } = await openPolling(context, query)
  const peer = await probe(context, polling.sid)
  return { peer, polling, socket }
}

/** A polling session moved to a WebSocket: `{ peer, socket }`. */
async function openUpgraded(context, query) {
  const { peer, polling, socket } = await openProbing(context, query)
  const upgraded = once(socket, 'upgrade')
  peer.sendText('5')
  await upgraded
  return { peer, polling, socket }
}

/**
 * Resolves when what the session was sent before has been written, and its events have come: a message of the client has
 * been read behind it, and heard.
 */
async function settled({ peer, socket }) {
  const heard = once(socket, 'message')
  peer.sendText('4settled')
  await heard
  await new Promise(setImmediate)
}

/** The real client; closed after the test. */
function client(context, options) {
  const socket = new eio.Socket(`ws://127.0.0.1:${context.port}`, { path: context.path, ...options })
  defer(() => socket.close())
  return socket
}

module.exports = {
  path,
  PollingPeer,
  onceOfNext,
  openPolling,
  openWebSocket,
  upgradeTo,
  probe,
  openProbing,
  openUpgraded,
  settled,
  client,
}
