'use strict'

// What the application does, in a step or in a listener: a list of calls on one session, as data.

const { drawValue, drawOddValue, makeValue, tellValue } = require('./values')

/** How often a listener acts: one that answers what it hears would go on for ever. */
const MOST = 2

const SESSION_EVENTS = [
  'packet',
  'packetCreate',
  'data',
  'message',
  'flush',
  'drain',
  'heartbeat',
  'upgrading',
  'upgrade',
  'close',
]
const TRANSPORT_EVENTS = ['packet', 'headers', 'ready', 'drain', 'error', 'close']

const CALLS = {
  send: {
    weight: 10,
    draw(random, depth) {
      const call = { data: random.chance(0.95) ? drawValue(random) : drawOddValue(random) }
      if (random.chance(0.2)) call.by = 'write'
      if (random.chance(0.2))
        call.options = random.pick([{ compress: false }, { compress: true }, { volatile: true }, {}])
      if (random.chance(0.5)) call.callback = depth > 0 || random.chance(0.8) ? [] : drawCalls(random, depth + 1)
      return call
    },
    run({ data, by = 'send', options, callback }, session, world) {
      const args = [makeValue(data)]
      if (options !== undefined) args.push({ ...options })
      if (callback !== undefined) {
        const number = world.count(`callback of ${session.id}`)
        // a client that polls by itself polls, and so is sent to, when it likes
        const place = world.program.kind === 'real' ? 'callbacks of session' : 'session'
        args.push((...given) => {
          world.record(
            `${place} ${session.id}`,
            `callback ${number}(${given.map((arg) => world.observer.show(arg)).join(', ')})`,
          )
          runCalls(callback, session, world)
        })
      }
      const result = session[by](...args)
      if (result !== session) world.record(`session ${session.id}`, `${by} returned ${world.observer.show(result)}`)
    },
    tell: ({ data, by = 'send', options, callback }) =>
      `socket.${by}(${tellValue(data)}${options ? `, ${JSON.stringify(options)}` : ''}${callback ? `, () => {${tellCalls(callback)}}` : ''})`,
  },
  close: {
    weight: 2,
    draw: (random) => (random.chance(0.4) ? { discard: true } : {}),
    run: ({ discard }, session) => void session.close(discard),
    tell: ({ discard }) => `socket.close(${discard ? 'true' : ''})`,
  },
  closeServer: {
    weight: 0.3,
    draw: () => ({}),
    run: (call, session, world) => void world.engine.close(),
    tell: () => 'server.close()',
  },
  throw: {
    weight: 0.5,
    nested: true,
    draw: () => ({}),
    run(call, session, world) {
      throw world.error('the application')
    },
    tell: () => 'throw new Error("the application")',
  },
  listen: {
    weight: 2,
    draw(random, depth) {
      const on = random.chance(0.7) ? 'socket' : 'transport'
      return {
        on,
        event: random.pick(on === 'socket' ? SESSION_EVENTS : TRANSPORT_EVENTS),
        by: random.pick(['on', 'on', 'once', 'prependListener']),
        calls: drawCalls(random, depth + 1),
      }
    },
    run({ on, event, by, calls }, session, world) {
      const emitter = on === 'socket' ? session : session.transport
      const number = world.count(`listener of ${session.id}`)
      let times = 0
      emitter[by](event, () => {
        world.record(`session ${session.id}`, `listener ${number} of ${on} ${event}`)
        if (times++ < MOST) runCalls(calls, session, world)
      })
    },
    tell: ({ on, event, by, calls }) =>
      `${on === 'socket' ? 'socket' : 'socket.transport'}.${by}("${event}", () => {${tellCalls(calls)}})`,
  },
  removeListeners: {
    weight: 0.4,
    draw: (random) => ({ event: random.pick(['message', 'data', 'packet', 'drain', 'close']) }),
    run: ({ event }, session) => void session.removeAllListeners(event),
    tell: ({ event }) => `socket.removeAllListeners("${event}")`,
  },
  replace: {
    weight: 0.8,
    draw: (random) =>
      random.pick([
        ...['onPacket', 'onClose', 'onError', 'sendPacket', 'flush', 'onDrain', 'close', 'closeTransport'].map(
          (method) => ({ on: 'socket', method }),
        ),
        ...['send', 'onPacket', 'onData', 'onClose', 'onError', 'close', 'doClose', 'discard', 'onRequest'].map(
          (method) => ({ on: 'transport', method }),
        ),
      ]),
    run({ on, method }, session, world) {
      const object = on === 'socket' ? session : session.transport
      const original = object[method]
      if (typeof original !== 'function')
        return world.record(`session ${session.id}`, `no ${on}.${method}: ${typeof original}`)
      object[method] = function (...args) {
        world.record(
          `session ${session.id}`,
          `${on}.${method}(${args.map((arg) => world.observer.show(arg)).join(', ')})`,
        )
        return original.apply(this, args)
      }
    },
    tell: ({ on, method }) =>
      `replace ${on === 'socket' ? 'socket' : 'socket.transport'}.${method} by one that tells and calls it`,
  },
  buffer: {
    weight: 0.5,
    draw: (random) => ({ how: random.pick(['empty', 'shift', 'push', 'replace']) }),
    run({ how }, session) {
      if (how === 'empty') session.writeBuffer.length = 0
      else if (how === 'shift') session.writeBuffer.shift()
      else if (how === 'push')
        session.writeBuffer.push({ type: 'message', data: 'pushed', options: { compress: true } })
      else session.writeBuffer = []
    },
    tell: ({ how }) => `socket.writeBuffer: ${how}`,
  },
  forget: {
    weight: 0.3,
    draw: () => ({}),
    run: (call, session) => void (session.request = null),
    tell: () => 'socket.request = null',
  },
}

const NAMES = Object.keys(CALLS)

function drawCall(random, depth) {
  const names = NAMES.filter((name) => (depth === 0 ? !CALLS[name].nested : !(name === 'listen' && depth > 1)))
  const total = names.reduce((sum, name) => sum + CALLS[name].weight, 0)
  let at = random.next() * total
  const name = names.find((one) => (at -= CALLS[one].weight) < 0) ?? 'send'
  return { do: name, ...CALLS[name].draw(random, depth) }
}

function drawCalls(random, depth = 0) {
  const count = depth > 0 ? random.below(3) : 1 + (random.chance(0.3) ? random.below(5) : 0)
  return Array.from({ length: count }, () => drawCall(random, depth))
}

function runCalls(calls, session, world) {
  for (const call of calls) CALLS[call.do].run(call, session, world)
}

/** The calls that pass, at any depth. */
function filterCalls(calls, passes) {
  return calls.filter(passes).map((call) => {
    const kept = { ...call }
    for (const list of ['calls', 'callback']) if (call[list] !== undefined) kept[list] = filterCalls(call[list], passes)
    return kept
  })
}

const tellCalls = (calls) => calls.map((call) => CALLS[call.do].tell(call)).join('; ')

module.exports = { drawCalls, filterCalls, runCalls, tellCalls }
