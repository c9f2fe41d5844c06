'use strict'

// The steps of Socket.IO's programs: `weight(sketch)` and `draw(random, sketch)` make one, `run(world, step)` does it,
// `tell(step)` says it in words.

const { drawArgs, makeArgs, tellArgs } = require('./args')

const NAMESPACES = ['/', '/', '/', '/news', '/room-7', '/nowhere']
const EVENTS = ['hello', 'hello', 'echo', 'echo', 'relay', 'relay', 'fail', 'bye', 'away', 'gone']
const HARMLESS = new Set(['hello', 'echo', 'relay'])
const ROOMS = ['red', 'blue', 'green']

/** How long the server waits for answers: clients that are there give them at once. */
const ANSWER_MS = 1000

const connected = (weight) => (sketch) => (sketch.clients.length > 0 ? weight : 0)

const connect = {
  weight: ({ clients }) => (clients.length === 0 ? 100 : clients.length > 3 ? 0 : 8),
  draw(random, sketch) {
    const step = { as: sketch.name(), how: random.pick(['polling', 'websocket', 'upgrade']) }
    const ns = random.pick(NAMESPACES)
    if (ns !== '/') step.ns = ns
    if (random.chance(0.4)) step.reconnects = true
    if (random.chance(0.3)) step.auth = { token: random.pick(['good', 'bad']) }
    sketch.clients.push({ name: step.as, namespaces: [ns] })
    return step
  },
  run: (world, step) => world.connect(step),
  tell: ({ as, how, ns = '/', reconnects, auth }) =>
    `client ${as} connects to ${ns} by ${how}${reconnects ? ', and would again' : ''}${auth ? `, with ${JSON.stringify(auth)}` : ''}`,
}

const namespace = {
  weight: connected(3),
  draw(random, sketch) {
    const client = random.pick(sketch.clients)
    const ns = random.pick(NAMESPACES)
    if (!client.namespaces.includes(ns)) client.namespaces.push(ns)
    return { as: client.name, ns }
  },
  run: (world, { as, ns = '/' }) => world.openNamespace(as, ns),
  tell: ({ as, ns = '/' }) => `client ${as} connects to ${ns}, too`,
}

const emit = {
  weight: connected(20),
  draw(random, sketch) {
    const step = { ...sketch.pick(random), event: random.pick(EVENTS), args: drawArgs(random) }
    if (random.chance(0.35)) step.ack = true
    if (random.chance(0.1)) step.volatile = true
    // how many come in one read, and so before what the first leads to, is left to chance
    if (HARMLESS.has(step.event) && random.chance(0.2)) step.times = 3
    return step
  },
  run(world, { as, ns = '/', event, args, ack, volatile, times = 1 }) {
    const socket = world.clientSocket(as, ns)
    if (socket === undefined) return
    for (let i = 0; i < times; i++) {
      const given = makeArgs(args)
      const isAnswered = ack && event === 'echo' && world.program.listeners.some(({ do: name }) => name === 'echo')
      if (socket.connected) world.underWay += isAnswered ? 2 : 1
      if (ack) {
        given.push((...answer) => {
          world.underWay--
          world.record(world.clientName(as, ns), `ack(${world.show(answer)})`)
        })
      }
      ;(volatile ? (socket.volatile ?? socket) : socket).emit(event, ...given)
    }
  },
  tell: ({ as, ns = '/', event, args, ack, volatile, times = 1 }) =>
    `client ${as} in ${ns}: ${volatile ? 'volatile ' : ''}emit("${event}"${args?.length > 0 ? `, ${tellArgs(args)}` : ''}${ack ? ', ack' : ''})${times > 1 ? ` ${times} times` : ''}`,
}

const leave = {
  weight: connected(2),
  draw: (random, sketch) => ({ ...sketch.pick(random), how: random.pick(['disconnect', 'engine', 'connect']) }),
  run(world, { as, ns = '/', how }) {
    const socket = world.clientSocket(as, ns)
    if (socket === undefined) return
    if (how === 'disconnect') socket.disconnect()
    else if (how === 'engine') socket.io.engine?.close()
    else return world.connectSocket(as, ns)
  },
  tell: ({ as, ns = '/', how }) => `client ${as} in ${ns}: ${how === 'engine' ? 'its engine closes' : `${how}()`}`,
}

/** The server's own emits, to one socket or many. */
const publish = {
  weight: connected(14),
  draw(random, sketch) {
    const step = {
      ...sketch.pick(random),
      how: random.pick(['socket', 'namespace', 'room', 'except', 'local', 'send']),
      args: drawArgs(random),
    }
    if (step.how === 'room' || step.how === 'except') step.room = random.pick(ROOMS)
    if (random.chance(0.2)) step.volatile = true
    if (random.chance(0.2)) step.plain = true
    if (random.chance(0.25)) step.ack = true
    if (random.chance(0.2)) step.times = 3
    return step
  },
  run(world, { as, ns = '/', how, args, room = 'red', volatile, plain, ack, times = 1 }) {
    const socket = world.serverSocket(as, ns)
    const nsp = world.io.of(ns === '/nowhere' ? '/' : ns)
    let target = how === 'socket' || how === 'send' ? socket : nsp
    if (target === undefined) return
    if (how === 'room') target = target.to(room)
    if (how === 'except') target = target.except(room)
    if (how === 'local') target = target.local
    if (volatile) target = target.volatile
    if (plain) target = target.compress(false)
    for (let i = 0; i < times; i++) {
      if (how === 'send') {
        target.send(...makeArgs(args))
      } else if (ack && how !== 'local') {
        world.awaited++
        target.timeout(ANSWER_MS).emit('asked', ...makeArgs(args), (...answer) => {
          world.awaited--
          world.record('server', `answers(${world.show(answer)})`)
        })
      } else {
        target.emit('published', ...makeArgs(args))
      }
    }
  },
  tell: ({ as, ns = '/', how, args, room, volatile, plain, ack, times = 1 }) =>
    `the server emits ${tellArgs(args)} to ${how} ${how === 'socket' || how === 'send' ? `${as} in ${ns}` : `${ns} ${room ?? ''}`}${volatile ? ', volatile' : ''}${plain ? ', uncompressed' : ''}${ack ? ', with an acknowledgement' : ''}${times > 1 ? `, ${times} times` : ''}`,
}

const rooms = {
  weight: connected(5),
  draw: (random, sketch) => ({
    ...sketch.pick(random),
    how: random.pick(['join', 'leave', 'socketsJoin', 'socketsLeave', 'fetchSockets']),
    room: random.pick(ROOMS),
  }),
  async run(world, { as, ns = '/', how, room = 'red' }) {
    const socket = world.serverSocket(as, ns)
    const nsp = world.io.of(ns === '/nowhere' ? '/' : ns)
    if (how === 'join' || how === 'leave') return void socket?.[how](room)
    if (how !== 'fetchSockets') return void nsp[how](room)
    const found = await nsp.in(room).fetchSockets()
    world.record('server', `found ${world.show(found.map((one) => [one.id, [...one.rooms], one.data]))}`)
  },
  tell: ({ as, ns = '/', how, room = 'red' }) =>
    `the server: ${how}("${room}") of ${how === 'join' || how === 'leave' ? `${as} in ${ns}` : ns}`,
}

const dismiss = {
  weight: connected(2.5),
  draw: (random, sketch) => ({
    ...sketch.pick(random),
    how: random.pick([
      'disconnect',
      'disconnect(true)',
      'conn.close',
      'conn.close(true)',
      'disconnectSockets',
      'disconnectSockets(true)',
    ]),
  }),
  run(world, { as, ns = '/', how }) {
    const socket = world.serverSocket(as, ns)
    if (how === 'disconnect') socket?.disconnect()
    if (how === 'disconnect(true)') socket?.disconnect(true)
    if (how === 'conn.close') socket?.conn.close()
    if (how === 'conn.close(true)') socket?.conn.close(true)
    if (how.startsWith('disconnectSockets'))
      world.io.of(ns === '/nowhere' ? '/' : ns).disconnectSockets(how.endsWith('(true)'))
  },
  tell: ({ as, ns = '/', how }) => `the server: ${how} of ${as} in ${ns}`,
}

const middleware = {
  weight: () => 2,
  draw: (random) => ({ ns: random.pick(['/', '/news']), how: random.pick(['pass', 'late', 'refuse', 'token']) }),
  run(world, { ns = '/', how }) {
    if (how === 'refuse' || how === 'token') world.refusing.add(ns)
    world.io.of(ns).use((socket, next) => {
      world.record('server', `middleware ${how} of ${ns}`)
      if (how === 'late') return void setImmediate(next)
      const refused = how === 'refuse' || (how === 'token' && socket.handshake.auth.token === 'bad')
      next(refused ? Object.assign(world.error('refused'), { data: { why: 'so' } }) : undefined)
    })
  },
  tell: ({ ns = '/', how }) => `a middleware of ${ns}: ${how}`,
}

module.exports = { drawn: { connect, namespace, emit, leave, publish, rooms, dismiss, middleware } }
