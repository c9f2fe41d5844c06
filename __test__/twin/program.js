'use strict'

// A program is plain data: options, hooks, listeners and steps. It is drawn from a seed, so that a number stands for it;
// being data, it can be made smaller and printed.

const { Random } = require('../chaos/random')
const { drawCalls, filterCalls } = require('./calls')
const { drawHooks } = require('./hooks')
const modes = require('./modes')
const { EVENTS } = require('./observe')
const { drawOptions, drawTimes } = require('./options')
const { Sketch, drawStep } = require('./sketch')
const { drawn, kindsOf } = require('./steps')

function drawWatch(random) {
  const how = random.below(4)
  const some = (list, chance) => list.filter(() => random.chance(chance))
  if (how === 0) return { server: [...EVENTS.server], session: [...EVENTS.session], transport: [...EVENTS.transport] }
  // as applications do
  if (how === 1) return { server: ['connection_error'], session: ['message', 'close'], transport: [] }
  return {
    server: some(EVENTS.server, 0.5),
    session: some(EVENTS.session, 0.5),
    transport: random.chance(0.3) ? [] : some(EVENTS.transport, 0.5),
  }
}

/** What a transport emits for each poll. */
const OF_POLLS = ['headers', 'ready', 'drain']

/** What a program is about: raw clients, real ones, or timers. */
const KINDS = {
  raw: { weight: 0.84, most: 14 },
  real: {
    weight: 0.12,
    most: 8,
    change(program) {
      // a client that polls by itself polls as often as it likes
      const { watch } = program
      watch.server = watch.server.filter((event) => event === 'connection_error')
      watch.session = watch.session.filter((event) => !['packet', 'packetCreate', 'flush', 'drain'].includes(event))
      watch.transport = []
      const isKept = (call) => !(call.do === 'listen' && call.on === 'transport' && OF_POLLS.includes(call.event))
      program.listeners = filterCalls(program.listeners, isKept)
      for (const step of program.steps) if (step.calls !== undefined) step.calls = filterCalls(step.calls, isKept)
    },
  },
  timed: {
    weight: 0.04,
    most: 4,
    change(program, random) {
      Object.assign(program.options, drawTimes(random))
    },
  },
}

function drawKind(random) {
  let at = random.next()
  return Object.keys(KINDS).find((kind) => (at -= KINDS[kind].weight) < 0) ?? 'raw'
}

/** @returns the program of a seed; of a kind of its own choice, unless one is wanted */
function drawProgram(seed, mode, protocol, kindWanted) {
  const random = new Random(`${seed} ${mode} ${protocol}`)
  const sketch = new Sketch(protocol)
  const { steps: extra = [], kinds: possible = Object.keys(KINDS), adapt } = modes[mode]
  const drawnKind = kindWanted ?? drawKind(random)
  const kind = possible.includes(drawnKind) ? drawnKind : 'raw'
  const program = {
    seed,
    mode,
    protocol,
    kind,
    options: drawOptions(random, protocol),
    hooks: drawHooks(random),
    watch: drawWatch(random),
    snapshots: random.chance(0.7) ? 'each' : 'end',
    listeners: random.chance(0.35)
      ? drawCalls(random, 1).filter((call) => call.do !== 'throw' || random.chance(0.2))
      : [],
    steps: [],
  }
  if (random.chance(0.15)) program.deaf = true
  const kinds = kindsOf([kind, ...(kind === 'raw' ? extra : [])])
  const count = 3 + random.below(KINDS[kind].most - 2)
  for (let i = 0; i < count; i++) program.steps.push(drawStep(random, sketch, drawn, kinds))
  KINDS[kind].change?.(program, random)
  adapt?.(program, random)
  return program
}

module.exports = { drawProgram }
