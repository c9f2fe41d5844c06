'use strict'

// WebTransport sessions: of their own, upgrades, packets, and ends.

const { Client } = require('../client')
const { Stream } = require('../stream')
const { makeValue, drawValue, tellValue } = require('../values')

const TYPES = ['message', 'message', 'message', 'message', 'ping', 'pong', 'noop', 'close', 'upgrade', 'open']

function drawPackets(random) {
  return Array.from({ length: 1 + random.below(3) }, () => {
    const type = random.pick(TYPES)
    return {
      type,
      data: type === 'message' ? drawValue(random) : random.pick([undefined, undefined, { text: 'probe' }]),
    }
  })
}

const tellPackets = (packets) =>
  packets.map(({ type, data }) => `${type}${data ? ` ${tellValue(data)}` : ''}`).join(', ')

/** Opens a session's stream, with this first packet. */
async function begin(world, client, what, first) {
  const stream = new Stream(world, `client ${client.name}, ${what} ${world.count(`${what} of ${client.name}`)}`)
  world.streams.add(stream)
  Promise.resolve(world.engine.onWebTransportSession(stream.session)).catch((error) =>
    stream.record(`onWebTransportSession: ${error?.message}`),
  )
  stream.begin(({ type, data }) => {
    if (type === 'open') client.learn(String(data))
    if (type === 'pong' && data === 'probe') client.probed = true
  })
  stream.send(first)
  await world.settle()
  return stream
}

const openTransport = {
  weight: (sketch) => (sketch.clients.length === 0 ? 25 : sketch.clients.length < 4 ? 3 : 0),
  draw(random, sketch) {
    const step = { as: sketch.name() }
    if (random.chance(0.1)) step.first = random.pick(['message', 'ping', 'close'])
    sketch.clients.push({ name: step.as, kind: 'webtransport' })
    return step
  },
  async run(world, { as, first = 'open' }) {
    const client = new Client(world, as)
    client.stream = await begin(world, client, 'webtransport', { type: first })
  },
  tell: ({ as, first }) => `${as} opens a session by WebTransport${first ? `, with a packet "${first}"` : ''}`,
}

const upgradeToTransport = {
  weight: (sketch) => (sketch.some('polling', 'probing') ? 5 : 0),
  draw(random, sketch) {
    const client = sketch.pick(random, 'polling', 'probing')
    client.kind = 'transport probing'
    const step = { on: client.name, probe: random.chance(0.9) }
    if (random.chance(0.1)) step.data = random.pick(['{}', 'no JSON', '{"sid":"unknown"}', '{"sid":5}'])
    return step
  },
  async run(world, { on, probe, data }) {
    const client = world.clients.get(on)
    if (client?.sid === undefined) return
    const stream = await begin(world, client, 'webtransport upgrade', {
      type: 'open',
      data: data ?? JSON.stringify({ sid: client.sid }),
    })
    if (!client.stream?.open) client.stream = stream
    if (probe) stream.send({ type: 'ping', data: 'probe' })
  },
  tell: ({ on, probe, data }) =>
    `${on} opens a WebTransport session for its session${data ? ` with ${data}` : ''}${probe ? ', and probes' : ''}`,
}

const transportPackets = {
  weight: (sketch) => (sketch.some('webtransport', 'transport probing') ? 9 : 0),
  draw(random, sketch) {
    const client = sketch.pick(random, 'webtransport', 'transport probing')
    if (client.kind === 'transport probing' && random.chance(0.6)) {
      client.kind = 'webtransport'
      return { on: client.name, packets: [{ type: 'upgrade' }] }
    }
    return { on: client.name, packets: drawPackets(random) }
  },
  run(world, { on, packets }) {
    const stream = world.clients.get(on)?.stream
    for (const { type, data } of packets) stream?.send({ type, data: makeValue(data) })
  },
  tell: ({ on, packets }) => `${on} sends over WebTransport: ${tellPackets(packets)}`,
}

const endTransport = {
  weight: (sketch) => (sketch.some('webtransport', 'transport probing') ? 2 : 0),
  draw: (random, sketch) => ({
    on: sketch.pick(random, 'webtransport', 'transport probing').name,
    how: random.pick(['end', 'end', 'stream']),
  }),
  run(world, { on, how }) {
    const stream = world.clients.get(on)?.stream
    if (how === 'end') stream?.end()
    else stream?.writer.close().catch(() => {})
  },
  tell: ({ on, how }) => `${on} ends its WebTransport ${how === 'end' ? 'session' : 'stream'}`,
}

module.exports = { openTransport, upgradeToTransport, transportPackets, endTransport }
