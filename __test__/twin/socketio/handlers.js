'use strict'

// What the application has set up before the first client comes: handlers of sockets, and middlewares, as data.

const { drawArgs, makeArgs, tellArgs } = require('./args')

const HANDLERS = {
  greet: {
    draw: (random) => ({ args: drawArgs(random) }),
    run: ({ args }, socket) => void socket.emit('greeting', ...makeArgs(args)),
    tell: ({ args }) => `socket.emit("greeting", ${tellArgs(args)})`,
  },
  join: {
    draw: (random) => ({ event: random.pick(['red', 'blue']) }),
    run: ({ event }, socket) => void socket.join(event),
    tell: ({ event }) => `socket.join("${event}")`,
  },
  echo: {
    draw: () => ({}),
    run(call, socket) {
      socket.on('echo', (...args) => {
        const ack = typeof args.at(-1) === 'function' ? args.pop() : undefined
        if (ack) ack(...args)
        else socket.emit('echoed', ...args)
      })
    },
    tell: () => 'on "echo" it answers',
  },
  relay: {
    draw: (random) => ({ how: random.pick(['broadcast', 'all', 'room']) }),
    run({ how }, socket) {
      socket.on('relay', (...args) => {
        const given = args.filter((arg) => typeof arg !== 'function')
        const target = how === 'broadcast' ? socket.broadcast : how === 'all' ? socket.nsp : socket.to('red')
        target.emit('relayed', ...given)
      })
    },
    tell: ({ how }) => `on "relay" it emits to ${how}`,
  },
  ask: {
    draw: (random) => ({ args: drawArgs(random) }),
    run({ args }, socket, world) {
      socket.emit('question', ...makeArgs(args), (...answer) =>
        world.record(`${world.nameOf(socket)}, answers`, `answer(${world.show(answer)})`),
      )
    },
    tell: ({ args }) => `socket.emit("question", ${tellArgs(args)}, ack)`,
  },
  data: {
    draw: () => ({}),
    run: (call, socket) => void (socket.data.mark = 'set'),
    tell: () => 'socket.data.mark = ...',
  },
  throw: {
    weight: 0.3,
    draw: () => ({}),
    run(call, socket, world) {
      socket.on('fail', () => {
        throw world.error('the handler')
      })
    },
    tell: () => 'on "fail" it throws',
  },
  leave: {
    draw: () => ({}),
    run(call, socket) {
      socket.on('bye', () => socket.disconnect())
      socket.on('away', () => socket.disconnect(true))
      socket.on('gone', () => socket.conn.close())
    },
    tell: () => 'on "bye" it disconnects, on "away" with the connection, on "gone" the connection is closed',
  },
  watchPackets: {
    draw: (random) => ({ how: random.pick(['pass', 'refuse']) }),
    run({ how }, socket, world) {
      socket.use((packet, next) => {
        world.record(`${world.nameOf(socket)}, middleware`, `middleware ${world.show(packet)}`)
        next(how === 'refuse' && packet[0] === 'relay' ? world.error('not this') : undefined)
      })
    },
    tell: ({ how }) => `socket.use(${how})`,
  },
}

const NAMES = Object.keys(HANDLERS)

function drawHandlers(random) {
  return NAMES.filter((name) => random.chance(0.3 * (HANDLERS[name].weight ?? 1))).map((name) => ({
    do: name,
    ...HANDLERS[name].draw(random),
  }))
}

function runHandlers(handlers, socket, world) {
  for (const call of handlers) HANDLERS[call.do].run(call, socket, world)
}

const tellHandlers = (handlers) => handlers.map((call) => HANDLERS[call.do].tell(call)).join('; ')

module.exports = { drawHandlers, runHandlers, tellHandlers }
