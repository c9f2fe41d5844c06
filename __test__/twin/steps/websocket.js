'use strict'

// WebSockets of raw clients: sessions of their own, upgrades, and frames valid and not.

const { Client, framesOf } = require('../client')
const { drawPacket } = require('../packets')
const { brief } = require('../show')

const DEFLATE = 'permessage-deflate; client_max_window_bits'

function drawFrame(random, protocol) {
  return random.pick([
    () => ({ text: drawPacket(random, protocol) }),
    () => ({ text: `4${random.pick(['hi', 'one', 'two'])}` }),
    () => ({ text: `4${random.pick(['hi', 'one', 'two'])}` }),
    () => ({ opcode: 2, bytes: protocol === 4 ? '01020304' : '0401020304' }),
    () => ({ opcode: 9, text: 'ping' }),
    () =>
      random.pick([
        { opcode: 10, text: '' },
        { opcode: 9, text: '' },
        { text: '4frag', fin: false },
        { opcode: 0, text: 'ment' },
      ]),
    () =>
      random.pick([
        { opcode: 8, code: 1000, reason: '' },
        { opcode: 8, code: 4001, reason: 'mine' },
        { opcode: 8, text: '' },
        { opcode: 8, code: 1005 },
        { opcode: 8, bytes: '03' },
        { text: '4bare', mask: false },
        { text: '4rsv', rsv: 4 },
        { text: '4rsv', rsv: 2 },
        { opcode: 3, text: '' },
        { bytes: '34ff' },
        { opcode: 9, text: 'p'.repeat(126) },
        { opcode: 9, text: 'p', fin: false },
        { opcode: 0, text: 'stray' },
        { text: '4long', length: 5_000_000 },
        { opcode: 2, bytes: '' },
        { text: '4y'.padEnd(1500, 'y') },
      ]),
  ])()
}

function drawFrames(random, protocol) {
  return Array.from({ length: 1 + (random.chance(0.4) ? random.below(4) : 0) }, () => drawFrame(random, protocol))
}

const tellFrames = (frames) =>
  frames
    .map(({ text, bytes, code, ...rest }) => {
      const what = code !== undefined ? `close ${code}` : text !== undefined ? brief(text) : `<${bytes}>`
      const extra = JSON.stringify(rest)
      return `${what}${extra === '{}' ? '' : ` ${extra}`}`
    })
    .join(', ')

const openWebSocket = {
  weight: (sketch) => (sketch.clients.length === 0 ? 15 : sketch.clients.length < 4 ? 1.5 : 0),
  draw(random, sketch) {
    const step = { as: sketch.name() }
    if (random.chance(0.2)) step.deflate = true
    if (random.chance(0.05)) step.b64 = true
    if (random.chance(0.03)) step.protocol = random.pick([3, 4, 5])
    if (random.chance(0.1))
      step.headers = random.pick([
        { Origin: 'http://a.test' },
        { Cookie: 'a=1' },
        { 'Sec-WebSocket-Protocol': 'a, b' },
        { 'User-Agent': 'Trident/7.0' },
      ])
    if (random.chance(0.04)) step.more = [{ text: '4early' }]
    sketch.clients.push({ name: step.as, kind: 'websocket' })
    return step
  },
  run(world, { as, deflate, b64, protocol, headers, more = [] }) {
    const client = new Client(world, as, { b64, protocol })
    client.ws = client.websocket('websocket', {
      headers: { ...headers, ...(deflate ? { 'Sec-WebSocket-Extensions': DEFLATE } : {}) },
      head: framesOf(more),
    })
    return world.within(client.ws.done)
  },
  tell: ({ as, deflate, b64, protocol, headers, more }) =>
    `${as} opens a session by WebSocket${more ? ', with a message in the same segment' : ''}${deflate ? ' with permessage-deflate' : ''}${b64 ? ' with b64' : ''}${protocol ? ` in protocol ${protocol}` : ''}${headers ? ` ${JSON.stringify(headers)}` : ''}`,
}

const frames = {
  weight: (sketch) => (sketch.some('websocket', 'probing') ? 9 : 0),
  draw: (random, sketch) => ({
    on: sketch.pick(random, 'websocket', 'probing').name,
    frames: drawFrames(random, sketch.protocol),
  }),
  run(world, { on, frames: list }) {
    const client = world.clients.get(on)
    if (client?.ws?.upgraded) client.ws.write(framesOf(list))
  },
  tell: ({ on, frames: list }) => `${on} sends in one segment: ${tellFrames(list)}`,
}

/** A WebSocket for a session that polls. */
const openUpgrade = {
  weight: (sketch) => (sketch.some('polling', 'probing') ? 4 : 0),
  draw(random, sketch) {
    const client = sketch.pick(random, 'polling', 'probing')
    const step = { on: client.name }
    if (random.chance(0.7)) step.probe = true
    if (random.chance(0.15)) step.deflate = true
    if (client.kind === 'polling') client.kind = 'probing'
    return step
  },
  async run(world, { on, probe, deflate }) {
    const client = world.clients.get(on)
    if (client?.sid === undefined) return
    const headers = deflate ? { 'Sec-WebSocket-Extensions': DEFLATE } : {}
    const wire = client.websocket('upgrade', { sid: client.sid, headers })
    if (!client.ws?.open) client.ws = wire
    if (!probe) return
    await world.settle()
    if (wire.upgraded) wire.write(framesOf([{ text: '2probe' }]))
    await world.within(wire.done)
  },
  tell: ({ on, probe, deflate }) =>
    `${on} opens a WebSocket for its session${deflate ? ' with permessage-deflate' : ''}${probe ? ', and probes' : ''}`,
}

const upgrade = {
  weight: (sketch) => (sketch.some('probing') ? 8 : 0),
  draw(random, sketch) {
    const client = sketch.pick(random, 'probing')
    client.kind = 'websocket'
    const step = { on: client.name }
    if (random.chance(0.2)) step.more = [{ text: '4behind' }]
    return step
  },
  run(world, { on, more = [] }) {
    const client = world.clients.get(on)
    if (client?.ws?.upgraded) client.ws.write(framesOf([{ text: '5' }, ...more]))
  },
  tell: ({ on, more }) => `${on} sends the upgrade packet${more ? ', and a message behind it' : ''}`,
}

const endWebSocket = {
  weight: (sketch) => (sketch.some('websocket', 'probing') ? 1.5 : 0),
  draw: (random, sketch) => ({
    on: sketch.pick(random, 'websocket', 'probing').name,
    how: random.pick(['end', 'destroy', 'reset']),
  }),
  run(world, { on, how }) {
    const wire = world.clients.get(on)?.ws
    if (!wire?.open || !wire.upgraded) return
    if (how === 'end') wire.end()
    else wire.cut(how)
  },
  tell: ({ on, how }) => `${on} ends its WebSocket's connection (${how})`,
}

/** Requests for an upgrade that are refused, or should be. */
const oddUpgrade = {
  weight: () => 1.2,
  draw(random, sketch) {
    const step = { on: sketch.clients.length > 0 && random.chance(0.4) ? random.pick(sketch.clients).name : undefined }
    step.query = random.pick([
      { EIO: '4', transport: 'websocket' },
      { EIO: '4', transport: 'polling' },
      { EIO: '3', transport: 'websocket' },
      { EIO: '4', transport: 'tobi' },
      { EIO: '4' },
      {},
      { EIO: '4', transport: 'websocket', sid: 'unknown' },
      { EIO: '4', transport: 'webtransport' },
    ])
    const odd = random.pick([
      {},
      {},
      { headers: { 'Sec-WebSocket-Version': '12' } },
      { headers: { 'Sec-WebSocket-Version': '8' } },
      { headers: { 'Sec-WebSocket-Key': 'short' } },
      { headers: { 'Sec-WebSocket-Key': undefined } },
      { headers: { Upgrade: 'h2c' } },
      { headers: { Origin: 'a\u0001b' } },
      { method: 'POST' },
      { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; foo=1' } },
      { headers: { 'Sec-WebSocket-Protocol': 'a,,b' } },
      { path: '/other' },
    ])
    return { ...step, ...odd }
  },
  run(world, { on, query, headers, method, path }) {
    const known = world.clients.get(on)
    const client = Client.stranger(world, known)
    const base = path ?? (world.program.options.addTrailingSlash === false ? '/engine.io' : '/engine.io/')
    const all = known?.sid === undefined ? query : { ...query, sid: known.sid }
    const wire = client.websocket('websocket', { path: `${base}?${new URLSearchParams(all)}`, headers, method })
    return world.within(wire.done)
  },
  tell: ({ on, query, headers, method, path }) =>
    `a stranger asks for an upgrade by ${method ?? 'GET'} ${path ?? '/engine.io/'}?${new URLSearchParams(query)}${on ? ` with the id of ${on}` : ''}${headers ? ` ${JSON.stringify(headers)}` : ''}`,
}

module.exports = { openWebSocket, frames, openUpgrade, upgrade, endWebSocket, oddUpgrade }
