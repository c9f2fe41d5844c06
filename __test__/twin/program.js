"use strict";

// A program is plain data: options, hooks, listeners and steps. It is drawn from a seed, so that a number stands for it;
// being data, it can be made smaller and printed.

const { Random } = require("../chaos/random");
const { drawCalls } = require("./calls");
const { drawHooks } = require("./hooks");
const modes = require("./modes");
const { EVENTS } = require("./observe");
const { drawOptions } = require("./options");
const { drawn, kindsOf } = require("./steps");

const STEPS = 14;

/** What the program's steps so far have probably led to: guides what comes next, and binds nothing. */
class Sketch {
  constructor(protocol) {
    this.protocol = protocol;
    this.clients = [];
  }

  name() {
    return "abcdefghijkl"[this.clients.length];
  }

  some(...kinds) {
    return this.clients.some(({ kind }) => kinds.includes(kind));
  }

  /** A client of one of these kinds, mostly the last. */
  pick(random, ...kinds) {
    const fitting = this.clients.filter(({ kind }) => kinds.includes(kind));
    return random.chance(0.6) ? fitting.at(-1) : random.pick(fitting);
  }
}

function drawWatch(random) {
  const how = random.below(4);
  const some = (list, chance) => list.filter(() => random.chance(chance));
  if (how === 0) return { server: [...EVENTS.server], session: [...EVENTS.session], transport: [...EVENTS.transport] };
  // as applications do
  if (how === 1) return { server: ["connection_error"], session: ["message", "close"], transport: [] };
  return {
    server: some(EVENTS.server, 0.5),
    session: some(EVENTS.session, 0.5),
    transport: random.chance(0.3) ? [] : some(EVENTS.transport, 0.5),
  };
}

function drawStep(random, sketch, kinds) {
  const weights = kinds.map((kind) => drawn[kind].weight(sketch));
  let at = random.next() * weights.reduce((sum, weight) => sum + weight, 0);
  const kind = kinds[weights.findIndex((weight) => (at -= weight) < 0)];
  return { kind, ...drawn[kind].draw(random, sketch) };
}

/** @returns the program of a seed */
function drawProgram(seed, mode, protocol) {
  const random = new Random(`${seed} ${mode} ${protocol}`);
  const sketch = new Sketch(protocol);
  const program = {
    seed,
    mode,
    protocol,
    options: drawOptions(random, protocol),
    hooks: drawHooks(random),
    watch: drawWatch(random),
    snapshots: random.chance(0.7) ? "each" : "end",
    listeners: random.chance(0.35) ? drawCalls(random, 1).filter((call) => call.do !== "throw" || random.chance(0.2)) : [],
    steps: [],
  };
  if (random.chance(0.15)) program.deaf = true;
  const kinds = kindsOf(modes[mode]);
  const count = 3 + random.below(STEPS - 2);
  for (let i = 0; i < count; i++) program.steps.push(drawStep(random, sketch, kinds));
  modes[mode].adapt?.(program, random);
  return program;
}

module.exports = { drawProgram };
