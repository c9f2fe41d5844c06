'use strict'

/** What a program's steps so far have probably led to: guides what comes next, and binds nothing. */
class Sketch {
  constructor(protocol) {
    this.protocol = protocol
    this.clients = []
  }

  /** For the next client. */
  name() {
    return 'abcdefghijkl'[this.clients.length]
  }

  some(...kinds) {
    return this.clients.some(({ kind }) => kinds.includes(kind))
  }

  /** A client of one of these kinds, of any if none is given; mostly the last. */
  pick(random, ...kinds) {
    const fitting = kinds.length === 0 ? this.clients : this.clients.filter(({ kind }) => kinds.includes(kind))
    return random.chance(0.6) ? fitting.at(-1) : random.pick(fitting)
  }
}

/** A step of one of these kinds, as likely as they weigh. */
function drawStep(random, sketch, drawn, kinds = Object.keys(drawn)) {
  const weights = kinds.map((kind) => drawn[kind].weight(sketch))
  let at = random.next() * weights.reduce((sum, weight) => sum + weight, 0)
  const kind = kinds[weights.findIndex((weight) => (at -= weight) < 0)]
  return { kind, ...drawn[kind].draw(random, sketch) }
}

module.exports = { Sketch, drawStep }
