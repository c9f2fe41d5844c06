'use strict'

// A handle that has been given back reaches nobody, least of all what uses its slot next. Every function of the addon is
// called with old handles while the slots belong to victims, who must not notice.

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const path = require('node:path')
const { test } = require('node:test')
const bridge = require('../../lib/native/bridge')
const { INDEX_MASK, ReasonCode } = require('../../lib/native/contract')
const { scratchFolder } = require('../packaging/scratch')
const { forgiveStaleCalls, listen, listenNatively, openPolling, openWebSocket, once } = require('../support')

const engine = bridge.getEngine()
const { fast } = bridge
const slotOf = (handle) => handle & INDEX_MASK

/** The handles of sessions and connections, by their objects. */
const handles = new WeakMap()
for (const name of ['addSession', 'addConnection']) {
  const add = bridge[name]
  bridge[name] = (handle, object) => {
    handles.set(object, handle)
    add(handle, object)
  }
}

let timingHandle = 0
const timing = () => timingHandle || (timingHandle = engine.timing(25_000, 20_000, 10_000))

/** Ways to take a handle of each table, with nothing behind it, and to give it back. */
const tables = {
  session: {
    take: () => fast.openSession(timing(), 4, 0, true, undefined),
    giveBack(handle) {
      engine.fail(handle, ReasonCode.FORCED_CLOSE)
      fast.releaseSession(handle)
    },
  },
  connection: { take: () => engine.openChannel(), giveBack: (handle) => engine.dropChannel(handle) },
  timing: { take: () => engine.timing(1000, 1000, 1000), giveBack: (handle) => engine.dropTiming(handle) },
}

/** Gives back `count` handles in a row; their slots are the next to be taken. */
function oldHandles(kind, count) {
  const { take, giveBack } = tables[kind]
  const cycle = () => {
    const handle = take()
    giveBack(handle)
    return handle
  }
  /** After how many takes a slot comes again, where each is given back at once. */
  const lap = () => {
    const first = slotOf(cycle())
    let takes = 1
    while (slotOf(cycle()) !== first) takes++
    return takes
  }
  lap()
  // one more free slot for each that is to be taken
  Array.from({ length: count + 1 }, take).forEach(giveBack)
  const takes = lap()
  const old = Array.from({ length: count }, cycle)
  for (let i = count; i < takes; i++) cycle()
  return old
}

/** A WebSocket client and a polling client with a pending poll, in the slots of the old handles. */
async function openVictims() {
  const context = await listen({ pingInterval: 60_000 })
  const [forWebSocket, forPolling] = oldHandles('session', 2)
  const [connection] = oldHandles('connection', 1)
  const websocket = await openWebSocket(context)
  const polling = await openPolling(context)
  assert.equal(slotOf(handles.get(websocket.socket)), slotOf(forWebSocket))
  assert.equal(slotOf(handles.get(polling.socket)), slotOf(forPolling))
  assert.equal(slotOf(handles.get(websocket.socket.transport.socket)), slotOf(connection))
  const victims = { websocket, polling, sessions: [forWebSocket, forPolling], connection }
  victims.poll = (await polling.peer.pendingPoll()).response
  victims.session = handles.get(websocket.socket)
  victims.own = handles.get(websocket.socket.transport.socket)
  return victims
}

/** Both victims get what is sent to them and nothing else, and are heard. */
async function checkVictims({ websocket, polling, poll }, name) {
  const text = `after ${name}`
  websocket.socket.send(text)
  assert.equal(await websocket.peer.packet(), `4${text}`)
  const heard = once(websocket.socket, 'message')
  websocket.peer.sendText(`4${text}`)
  assert.deepEqual(await heard, [text])
  polling.socket.send(text)
  const { status, body } = await poll
  assert.deepEqual([status, body], [200, `4${text}`])
  const posted = once(polling.socket, 'message')
  assert.equal((await polling.peer.post(`4${text}`)).status, 200)
  assert.deepEqual(await posted, [text])
  assert.deepEqual([websocket.socket.readyState, polling.socket.readyState], ['open', 'open'], name)
}

/** Calls for each old session. */
const session = (call) => (v) => v.sessions.map((old) => () => call(old, v))
/** A call for the old connection. */
const connection = (call) => (v) => [() => call(v.connection, v)]
/** Takes no handle. */
const NONE = () => []
/** What is given an old handle must say so. */
const refuses = (call) => () => assert.throws(call)

const rows = {
  // sessions
  endPayload: session((old) => engine.endPayload(old)),
  endPastDeadline: session((old) => engine.endPastDeadline(old)),
  beginClose: session((old) => engine.beginClose(old)),
  channelClosed: (v) => [
    ...v.sessions.map((old) => () => engine.channelClosed(old, v.own)),
    uncounted(() => engine.channelClosed(v.session, v.connection)),
  ],
  closeTransport: session((old) => engine.closeTransport(old, undefined)),
  fail: session((old) => engine.fail(old, ReasonCode.FORCED_CLOSE)),
  hasMorePackets: session((old) => assert.equal(engine.hasMorePackets(old, Buffer.from('4a\x1e4b'), false, 1), false)),
  receive: (v) => [
    ...v.sessions.map((old) => () => engine.receive(old, v.own, 1, false)),
    ...v.sessions.map((old) => () => engine.receive(old, undefined, 1, false)),
    uncounted(() => engine.receive(v.session, v.connection, 1, false)),
  ],
  sendPackets: session((old) => engine.sendPackets(old, [4, 'for somebody else', 1, undefined], false)),
  setRelayed: session((old) => engine.setRelayed(old, 2)),
  takeHeartbeat: session((old) => assert.equal(engine.takeHeartbeat(old), null)),
  setVerbose: session((old) => engine.setVerbose(old, true)),
  startUpgrade: (v) => [
    ...v.sessions.map((old) => () => assert.equal(engine.startUpgrade(old, v.own), false)),
    () => assert.equal(engine.startUpgrade(v.session, v.connection), false),
  ],
  unreadAnswers: session((old) => assert.equal(engine.unreadAnswers(old), 0)),
  openSession: (v) => [
    refuses(() => fast.openSession(v.timing, 4, 0, true, undefined)),
    refuses(() => fast.openSession(timing(), 4, v.connection, true, undefined)),
  ],
  poll: session((old) => fast.poll(old, 1, false)),
  postFinished: session((old) => fast.postFinished(old, Buffer.from('4for somebody else'), false)),
  postStarted: session((old) => fast.postStarted(old)),
  releaseSession: session((old) => fast.releaseSession(old)),
  sendPacket: session((old) => fast.sendPacket(old, 4, 'for somebody else', false)),
  tick: session((old) => fast.tick(old)),

  // connections
  bindToOwner: connection((old) => assert.equal(engine.bindToOwner(old), false)),
  bufferedAmount: connection((old) => assert.equal(engine.bufferedAmount(old), 0)),
  refusedAmount: connection((old) => assert.equal(engine.refusedAmount(old), 0)),
  closeConnection: connection((old) => engine.closeConnection(old, 1000, 'for somebody else')),
  conclude: connection((old) => assert.equal(fast.conclude(old), 0)),
  flushConnection: connection((old) => assert.equal(engine.flushConnection(old), false)),
  connectionSendMessage: connection((old) => assert.equal(engine.connectionSendMessage(old, 'for somebody else'), 2)),
  dropChannel: connection((old) => engine.dropChannel(old)),
  isPaused: connection((old) => assert.equal(engine.isPaused(old), false)),
  peerClose: connection((old) => assert.equal(engine.peerClose(old), null)),
  pipeBlock: connection((old) => engine.pipeBlock(old)),
  pipeEnded: connection((old) => engine.pipeEnded(old, true)),
  pipeFinished: connection((old) => assert.equal(engine.pipeFinished(old), true)),
  // as if it had been taken
  pipeInput: connection((old) => assert.equal(fast.pipeInput(old, Buffer.from('x')), 1)),
  pipeTake: connection((old) => assert.equal(fast.pipeTake(old, Buffer.alloc(100), 0), 0xfffffffe)),
  pipeWritten: connection((old) => engine.pipeWritten(old)),
  refuseConnection: connection((old) => engine.refuseConnection(old, Buffer.from('for somebody else'))),
  releaseConnection: connection((old) => fast.releaseConnection(old)),
  reportDrain: connection((old) => engine.reportDrain(old)),
  send: connection((old) => assert.equal(fast.send(old, 'for somebody else', 4), 2)),
  sendFrame: connection((old) => assert.equal(fast.sendFrame(old, Buffer.from('\x81\x01x', 'latin1')), 2)),
  sendMany: connection((old) => assert.equal(fast.sendMany(old, 4, 2, 'for', 'somebody else'), 2)),
  sendShared: connection((old) => {
    fast.share('for somebody else', 4)
    assert.equal(fast.sendShared(old), 2)
  }),
  sendSharedTo: connection((old) => {
    fast.share('for somebody else', 4)
    const places = Uint32Array.of(old)
    fast.sendSharedTo(places)
    assert.deepEqual([...places], [2])
  }),
  terminateConnection: connection((old) => engine.terminateConnection(old)),
  throttle: connection((old) => engine.throttle(old)),
  watch: connection((old) => engine.watch(old)),

  // what the net.Socket of a connection asks for
  endStream: connection((old) => assert.equal(engine.endStream(old), false)),
  idle: connection((old) => engine.idle(old)),
  localName: connection((old) => assert.equal(engine.localName(old), null)),
  peerName: connection((old) => assert.equal(engine.peerName(old), null)),
  refuseFrames: connection((old) => engine.refuseFrames(old, true)),
  relay: connection((old) => engine.relay(old)),
  unrelay: connection((old) => engine.unrelay(old)),
  resetConnection: connection((old) => engine.resetConnection(old)),
  sendControlFrame: connection((old) => engine.sendControlFrame(old, 9, Buffer.from('x'))),
  setKeepAlive: connection((old) => engine.setKeepAlive(old, true, 1, 1, 1)),
  setNoDelay: connection((old) => engine.setNoDelay(old, false)),
  setTypeOfService: connection((old) => engine.setTypeOfService(old, 8)),
  showControlFrames: connection((old) => engine.showControlFrames(old)),
  showMessages: connection((old) => engine.showMessages(old)),
  stopReading: connection((old) => engine.stopReading(old, true)),
  takeRelayed: connection((old) => assert.equal(engine.takeRelayed(old).bytes.length, 0)),
  traffic: connection((old) => assert.equal(fast.traffic(old, 0), 0)),
  tap: connection((old) => engine.tap(old, true)),
  typeOfService: connection((old) => assert.ok(engine.typeOfService(old) < 0)),
  writeRaw: connection((old) => assert.equal(engine.writeRaw(old, Buffer.from('x')), false)),

  // listeners and timings
  closeListener: (v) => [() => engine.closeListener(v.listener)],
  bindListener: (v) => [
    refuses(() => engine.bindListener(v.listener, { port: 0, backlog: 1, ipv6Only: false, reusePort: false })),
  ],
  drainListener: (v) => [() => engine.drainListener(v.listener, 1000)],
  dropListener: (v) => [() => engine.dropListener(v.listener)],
  findSession: (v) => [() => assert.equal(engine.findSession(v.listener, 'an id'), null)],
  isAccepting: (v) => [() => assert.equal(engine.isAccepting(v.listener), false)],
  openConnections: (v) => [() => assert.equal(engine.openConnections(v.listener), 0)],
  openListener: (v) => [
    refuses(() =>
      engine.openListener({
        path: '/',
        timing: v.timing,
        allowsV3: false,
        maxHttpBufferSize: 1,
        maxBufferedChunks: 1,
        maxChunks: 1,
        httpRequestBodyTimeout: 1,
      }),
    ),
  ],
  refusals: (v) => [() => assert.deepEqual(engine.refusals(v.listener), [])],
  setTakesUpgrades: (v) => [() => engine.setTakesUpgrades(v.listener, false)],
  tellRefusals: (v) => [() => engine.tellRefusals(v.listener)],
  dropTiming: (v) => [() => engine.dropTiming(v.timing)],
  setTiming: (v) => [() => engine.setTiming(v.timing, 1, 1, 1)],

  // members of clusters
  changeNumber: (v) => [refuses(() => engine.changeNumber(v.member))],
  formerNode: (v) => [refuses(() => engine.formerNode(v.member, 'an id'))],
  noteNode: (v) => [refuses(() => engine.noteNode(v.member, '0123456789abcdef'))],
  issueId: (v) => [refuses(() => engine.issueId(v.member))],
  leaveCluster: (v) => [() => engine.leaveCluster(v.member)],
  countPeers: (v) => [refuses(() => engine.countPeers(v.member))],
  linkTo: (v) => [refuses(() => engine.linkTo(v.member, 0))],
  memberOf: (v) => [refuses(() => engine.memberOf(v.member))],
  ownerOf: (v) => [refuses(() => engine.ownerOf(v.member, 'an id'))],
  peersOf: (v) => [refuses(() => engine.peersOf(v.member))],
  sendToPeer: (v) => [refuses(() => engine.sendToPeer(v.member, 1, 1, 1, '', undefined, -1))],
  takeFromPeers: (v) => [refuses(() => engine.takeFromPeers(v.member, new Uint32Array(4)))],
  flushPeers: (v) => [refuses(() => engine.flushPeers(v.member))],
  joinCluster: NONE,
  // descriptors that are passed, which Windows does not have
  ...(process.platform !== 'win32' && { closeDescriptor: NONE, socketPair: NONE }),

  // what takes no handle
  adopt: NONE,
  checkUpgrade: NONE,
  compress: NONE,
  contentEncoding: NONE,
  drain: NONE,
  dropShared: NONE,
  limitContents: NONE,
  fast: NONE,
  finish: NONE,
  flush: NONE,
  generateId: NONE,
  hold: NONE,
  metrics: NONE,
  offerReading: NONE,
  openChannel: NONE,
  openPipe: NONE,
  pipeTakeLarge: NONE,
  readProxyHeader: NONE,
  share: NONE,
  shareFrame: NONE,
  staleCalls: NONE,
  timing: NONE,
  unwrapForm: NONE,
  upgrade: NONE,
  wrapJsonp: NONE,
}

/** A channel is compared with the session's own, and looked up nowhere. */
const uncounted = (call) => Object.assign(call, { isUncounted: true })

function end(handle) {
  engine.fail(handle, ReasonCode.FORCED_CLOSE)
  fast.releaseSession(handle)
}

test('every function of the addon has a row, and there is no row for anything else', () => {
  const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(engine)).filter((name) => name !== 'constructor')
  assert.deepEqual(Object.keys(rows).sort(), [...methods, ...Object.keys(fast)].sort())
})

test('no function reaches a victim by an old handle', { timeout: 60_000 }, async () => {
  const victims = await openVictims()
  const native = await listenNatively()
  // the victims' timing and listener in another generation of their slots: theirs is the first
  victims.ownListener = bridge.listeners.findIndex((listener) => listener === native.server) | (INDEX_MASK + 1)
  victims.listener = victims.ownListener + INDEX_MASK + 1
  if (process.platform !== 'win32') {
    const member = engine.joinCluster(path.join(scratchFolder(), 'cluster'), undefined, false, false, false)
    victims.member = member + INDEX_MASK + 1
  }
  ;[victims.timing] = oldHandles('timing', 1)
  const successor = engine.timing(60_000, 60_000, 60_000)
  assert.equal(slotOf(successor), slotOf(victims.timing))
  for (const [name, row] of Object.entries(rows)) {
    for (const call of row(victims)) {
      const before = engine.staleCalls()
      call()
      if (!call.isUncounted) assert.ok(engine.staleCalls() > before, `${name}: the call was not counted as stale`)
      bridge.drainNow()
      await checkVictims(victims, name)
      victims.poll = (await victims.polling.peer.pendingPoll()).response
    }
  }
  forgiveStaleCalls()
  // the listener is there, and its sessions have the timing of their own server
  const { socket } = await openPolling(native)
  assert.equal(socket.readyState, 'open')
  end(fast.openSession(successor, 4, 0, true, undefined))
})

/** Calls every public method of an object, its own classes' only, and ignores what they throw. */
function callEverything(object, ...args) {
  const called = []
  for (let type = Object.getPrototypeOf(object); type !== EventEmitter.prototype; type = Object.getPrototypeOf(type)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(type))) {
      if (typeof value !== 'function' || /^(_|constructor$)/.test(name) || Object.hasOwn(EventEmitter.prototype, name))
        continue
      called.push(name)
      try {
        object[name](...args)
      } catch {
        // what it makes of such arguments is its own affair
      }
    }
  }
  return called
}

test(
  'objects that are kept after their end reach nobody, whatever is called on them',
  { timeout: 60_000 },
  async () => {
    const context = await listen({ pingInterval: 60_000 })
    const kept = []
    for (const { peer, socket } of [await openWebSocket(context), await openPolling(context)]) {
      kept.push(socket, socket.transport)
      if (socket.transport.socket) kept.push(socket.transport.socket)
      const ended = socket.transport.socket && once(socket.transport.socket, 'close')
      socket.close(true)
      peer.socket?.destroy()
      await ended
    }
    const victims = await openVictims()
    const before = engine.staleCalls()
    const called = new Set(
      kept.flatMap((object) => callEverything(object, [{ type: 'message', data: 'x', options: {} }], 'x')),
    )
    for (const name of [
      'send',
      'close',
      'sendPacket',
      'flush',
      'write',
      'terminate',
      'onError',
      'onClose',
      'onPacket',
    ]) {
      assert.ok(called.has(name), `${name} was not called`)
    }
    // schedulePing() sets timers on ended sessions, too, as in the original
    for (const { pingIntervalTimer, pingTimeoutTimer } of kept)
      [pingIntervalTimer, pingTimeoutTimer].forEach(clearTimeout)
    await checkVictims(victims, 'everything')
    assert.equal(engine.staleCalls(), before, 'JavaScript has kept a handle that it had given back')
  },
)
