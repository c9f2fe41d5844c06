'use strict'

// Requests of the polling transport, and what a client does wrong with them.

const { Client } = require('../client')
const { drawPackets, encodePayload } = require('../packets')
const { brief } = require('../show')

const HEADERS = [
  {},
  {},
  {},
  {},
  {},
  { Origin: 'http://example.com' },
  { Origin: 'http://a.test' },
  { 'User-Agent': 'Mozilla/4.0 (compatible;MSIE 8.0)' },
  { 'User-Agent': 'Trident/7.0' },
  { 'Accept-Encoding': 'gzip' },
  { 'Accept-Encoding': 'deflate, gzip;q=0.5' },
  { 'Accept-Encoding': 'br' },
  { Cookie: 'a=1' },
  { Connection: 'close' },
]

const drawHeaders = (random) => random.pick(HEADERS)

const onClient = (world, name, run) => {
  const client = world.clients.get(name)
  return client?.sid === undefined ? undefined : run(client)
}

const openPolling = {
  weight: (sketch) => (sketch.clients.length === 0 ? 20 : sketch.clients.length < 4 ? 2 : 0),
  draw(random, sketch) {
    const step = { as: sketch.name(), headers: drawHeaders(random) }
    if (random.chance(0.12)) step.jsonp = true
    if (random.chance(0.08)) step.b64 = true
    if (random.chance(0.03)) step.protocol = random.pick([3, 4, 5])
    if (random.chance(0.3)) step.poll = true
    sketch.clients.push({ name: step.as, kind: 'polling', poll: step.poll })
    return step
  },
  run: async (world, { as, headers, jsonp, b64, protocol, poll }) => {
    const client = new Client(world, as, { jsonp, b64, protocol })
    const wire = client.request('handshake', { path: client.path('polling'), headers })
    const { onResponse } = wire.options
    wire.options.onResponse = (status, body) => {
      if (status === 200) client.learn(body.toString())
      onResponse(status, body)
    }
    await world.within(wire.done)
    if (poll && client.sid !== undefined)
      client.poll = client.request('poll', { path: client.path('polling'), headers })
  },
  tell: ({ as, jsonp, b64, protocol, headers, poll }) =>
    `${as} opens a session by polling${jsonp ? ' (JSONP)' : ''}${b64 ? ' with b64' : ''}${protocol ? ` in protocol ${protocol}` : ''}${tellHeaders(headers)}${poll ? ', and polls' : ''}`,
}

const poll = {
  weight: (sketch) => (sketch.some('polling') ? 8 : 0),
  draw(random, sketch) {
    const { name } = sketch.pick(random, 'polling')
    return { on: name, headers: drawHeaders(random) }
  },
  run: (world, { on, headers }) =>
    onClient(world, on, (client) => {
      const wire = client.request('poll', { path: client.path('polling'), headers })
      if (!client.poll?.open || client.poll.responses > 0) client.poll = wire
    }),
  tell: ({ on, headers }) => `${on} polls${tellHeaders(headers)}`,
}

const abortPoll = {
  weight: (sketch) => (sketch.some('polling') ? 1 : 0),
  draw: (random, sketch) => ({ on: sketch.pick(random, 'polling').name, how: random.pick(['destroy', 'reset']) }),
  run: (world, { on, how }) => onClient(world, on, (client) => client.poll?.responses === 0 && client.poll.cut(how)),
  tell: ({ on, how }) => `${on} cuts its poll off (${how})`,
}

const post = {
  weight: (sketch) => (sketch.some('polling') ? 7 : 0),
  draw(random, sketch) {
    const step = {
      on: sketch.pick(random, 'polling').name,
      packets: drawPackets(random, sketch.protocol),
      headers: drawHeaders(random),
    }
    if (random.chance(0.1)) step.type = random.pick(['application/octet-stream', 'application/json', 'text/plain', ''])
    if (random.chance(0.08))
      step.body = random.pick(['', 'not a payload', 'd=', 'd=4a', '\x1e\x1e', '3:4', '999:4a', '-1:4a', '4a\x1e'])
    if (random.chance(0.1)) step.chunked = true
    return step
  },
  run: (world, step) =>
    onClient(world, step.on, (client) => {
      const body = bodyOf(step, client)
      const headers = { 'Content-Type': typeOf(step, client), ...step.headers }
      if (step.chunked) headers['Transfer-Encoding'] = 'chunked'
      const wire = client.request('post', {
        method: 'POST',
        path: client.path('polling'),
        headers,
        body: step.chunked ? chunksOf(body) : body,
      })
      return world.within(wire.done)
    }),
  tell: (step) =>
    `${step.on} posts ${step.body === undefined ? brief(step.packets.join('\x1e')) : `the body ${brief(step.body)}`}${step.type === undefined ? '' : ` as ${JSON.stringify(step.type)}`}${step.chunked ? ' in chunks' : ''}${tellHeaders(step.headers)}`,
}

function bodyOf({ body, packets }, client) {
  return Buffer.from(body ?? encodePayload(packets, client.protocol, client.jsonp))
}

function typeOf({ type }, client) {
  return type ?? (client.jsonp ? 'application/x-www-form-urlencoded' : 'text/plain;charset=UTF-8')
}

function chunksOf(body) {
  const middle = body.length >> 1
  const chunk = (part) =>
    part.length === 0
      ? Buffer.alloc(0)
      : Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')])
  return Buffer.concat([chunk(body.subarray(0, middle)), chunk(body.subarray(middle)), Buffer.from('0\r\n\r\n')])
}

/** The body's second half comes later, or never. */
const beginPost = {
  weight: (sketch) => (sketch.some('polling') ? 1.5 : 0),
  draw: (random, sketch) => ({
    on: sketch.pick(random, 'polling').name,
    packets: drawPackets(random, sketch.protocol),
  }),
  run: (world, step) =>
    onClient(world, step.on, (client) => {
      const body = bodyOf(step, client)
      const middle = body.length >> 1
      client.post = client.request('post', {
        method: 'POST',
        path: client.path('polling'),
        headers: { 'Content-Type': typeOf(step, client) },
        body: body.subarray(0, middle),
        hold: body.length - middle,
      })
      client.rest = body.subarray(middle)
    }),
  tell: ({ on, packets }) => `${on} begins to post ${brief(packets.join('\x1e'))}`,
}

const endPost = {
  weight: (sketch) => (sketch.some('polling') ? 1.5 : 0),
  draw: (random, sketch) => ({
    on: sketch.pick(random, 'polling').name,
    how: random.pick(['write', 'write', 'destroy', 'reset']),
  }),
  run: (world, { on, how }) =>
    onClient(world, on, (client) => {
      if (client.rest === undefined) return undefined
      const { rest } = client
      client.rest = undefined
      if (how !== 'write') return client.post.cut(how)
      client.post.write(rest)
      return world.within(client.post.done)
    }),
  tell: ({ on, how }) => `${on} ${how === 'write' ? 'goes on with its POST to the end' : `cuts its POST off (${how})`}`,
}

/** A client that goes away: while a hook that takes its time decides about it, else when its session has been opened. */
const abandon = {
  weight: () => 0.6,
  draw: (random) => ({ transport: random.pick(['polling', 'websocket']), how: random.pick(['destroy', 'reset']) }),
  async run(world, { transport, how }) {
    const client = Client.stranger(world)
    const wire =
      transport === 'polling'
        ? client.request('handshake', { path: client.path('polling') })
        : client.websocket('handshake')
    await world.within(Promise.race([wire.done, world.nextDecision()]))
    // what the server is in the middle of would meet a connection, or none
    if (world.deciding === 0) await world.settle()
    wire.cut(how)
  },
  tell: ({ transport, how }) => `a stranger opens a session by ${transport}, and is gone at once (${how})`,
}

/** Requests that no client of ours sends. */
const oddRequest = {
  weight: () => 2,
  draw(random, sketch) {
    const step = { on: sketch.clients.length > 0 && random.chance(0.6) ? random.pick(sketch.clients).name : undefined }
    step.method = random.pick(['GET', 'GET', 'POST', 'PUT', 'OPTIONS', 'HEAD', 'DELETE'])
    step.query = random.pick([
      { EIO: '4', transport: 'polling' },
      { EIO: '3', transport: 'polling' },
      { EIO: '4', transport: 'websocket' },
      { EIO: '4', transport: 'tobi' },
      { transport: 'polling' },
      { EIO: '4' },
      {},
      { EIO: '4', transport: 'webtransport' },
      { EIO: '5', transport: 'polling' },
      { EIO: '4', transport: 'constructor' },
      { EIO: '4', transport: 'polling', sid: 'unknown' },
      { EIO: '4', transport: 'polling', sid: '' },
      { EIO: '4', transport: 'polling', sid: '__proto__' },
    ])
    step.headers = random.pick([
      {},
      {},
      {},
      { Origin: 'http://a.test' },
      { Origin: 'a\u0001b' },
      { Origin: 'http://a.test', 'Access-Control-Request-Method': 'POST' },
    ])
    if (random.chance(0.1))
      step.path = random.pick(['/other', '/engine.io', '/engine.iox/', '/engine.io/deeper', '//', '/engine.io//'])
    return step
  },
  run(world, { on, method, query, headers, path }) {
    const known = world.clients.get(on)
    const client = Client.stranger(world, known)
    const base = path ?? (world.program.options.addTrailingSlash === false ? '/engine.io' : '/engine.io/')
    const all = known?.sid === undefined ? query : { ...query, sid: known.sid }
    const wire = client.request('request', {
      method,
      path: `${base}?${new URLSearchParams(all)}`,
      headers,
      body: method === 'POST' ? Buffer.from('4odd') : undefined,
    })
    // a poll that is taken waits
    return method === 'GET' && known !== undefined ? undefined : world.within(wire.done)
  },
  tell: ({ on, method, query, headers, path }) =>
    `a stranger sends ${method} ${path ?? '/engine.io/'}?${new URLSearchParams(query)}${on ? ` with the id of ${on}` : ''}${tellHeaders(headers)}`,
}

function tellHeaders(headers = {}) {
  const list = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return list.length === 0 ? '' : ` (${list.join('; ')})`
}

module.exports = { openPolling, poll, abortPoll, post, beginPost, endPost, abandon, oddRequest }
