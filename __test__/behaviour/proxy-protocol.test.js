'use strict'

// The option `proxyProtocol` (docs/OPERATIONS.md), with headers made by hand. `proxies.test.js` in `__test__/e2e` has a
// real proxy.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const { once: onceOf } = require('node:events')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const tls = require('node:tls')
const {
  bind,
  deadline,
  defer,
  engine,
  eventually,
  improvement,
  listen,
  listenDirectly,
  listenNatively,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  path,
  request,
  RawPeer,
  RawWebSocket,
} = require('../support')
const { uWS, skip: skipUws } = require('../support/userver')
const certificate = require('../fixtures/tls')

const tells = (name, fn) => improvement('it has no option proxyProtocol', name, fn)

const WAYS = { 'attach()': listen, 'listen()': listenDirectly, 'the native listener': listenNatively }

/** The header of version 2. */
function binary(command, family, block) {
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n....', 'latin1')
  head[12] = command
  head[13] = family
  head.writeUInt16BE(block.length, 14)
  return Buffer.concat([head, block])
}

const IPV4 = Buffer.from([203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0, 80])
const IPV6 = Buffer.from('20010db8000000000000000000000009000000000000000000000000000000011267' + '0050', 'hex')
const TEXT = Buffer.from('PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n')

/** Opens a port that forwards connections, by `forward(stream, chunk)` for the first bytes of a client; returns it. */
function forwardedBy(port, forward) {
  return bind(
    net.createServer((client) => {
      const upstream = net.connect({ port, host: '127.0.0.1', noDelay: true })
      defer(() => upstream.destroy())
      client.on('error', () => upstream.destroy())
      upstream.on('error', () => client.destroy())
      client.once('data', async (chunk) => {
        await forward(upstream, chunk)
        client.pipe(upstream).pipe(client)
      })
    }),
  )
}

/** A context whose clients come through a proxy that sends this header. */
async function through(context, header) {
  return {
    ...context,
    port: await forwardedBy(context.port, (stream, chunk) => stream.write(Buffer.concat([header, chunk]))),
  }
}

/** A request for a new session, and the answer to it or the end of the connection. */
const handshake = (context) => `GET ${path(context)} HTTP/1.1\r\nHost: x\r\n\r\n`

const invalidOnes = (context) => context.engine.metrics().refusals.INVALID_PROXY_HEADER

const connectionsOf = (context) => new Promise((resolve) => context.server.getConnections((_, count) => resolve(count)))

for (const [way, listen] of Object.entries(WAYS)) {
  tells(`${way}: sessions have the address that the proxy tells, on any transport`, async () => {
    const context = await listen({ proxyProtocol: 'loopback' })
    for (const [header, address, port, family] of [
      [TEXT, '203.0.113.9', 4711, 'IPv4'],
      [Buffer.from('PROXY TCP6 2001:db8::9 ::1 4711 80\r\n'), '2001:db8::9', 4711, 'IPv6'],
      [binary(0x21, 0x11, IPV4), '203.0.113.9', 4711, 'IPv4'],
      [binary(0x21, 0x21, IPV6), '2001:db8::9', 4711, 'IPv6'],
      [binary(0x21, 0x11, Buffer.concat([IPV4, Buffer.alloc(3000)])), '203.0.113.9', 4711, 'IPv4'],
    ]) {
      const proxied = await through(context, header)
      for (const open of [openPolling, openWebSocket, openUpgraded]) {
        const { peer, socket } = await open(proxied)
        assert.equal(socket.remoteAddress, address)
        const { remoteAddress, remotePort, remoteFamily } = socket.request.connection
        assert.deepEqual([remoteAddress, remotePort, remoteFamily], [address, port, family])
        if (open === openPolling) continue
        socket.send('hello')
        assert.equal(await peer.packet(), '4hello')
        const closed = once(socket, 'close')
        peer.socket.end()
        assert.equal((await closed)[0], 'transport close')
      }
    }
    assert.equal(invalidOnes(context), 0)
  })

  tells(`${way}: a proxy that speaks for itself, or knows no IP address, leaves the address as it is`, async () => {
    const context = await listen({ proxyProtocol: true })
    for (const header of [
      Buffer.from('PROXY UNKNOWN\r\n'),
      Buffer.from('PROXY UNKNOWN ffff::1 ffff::1 1 1\r\n'),
      binary(0x20, 0x00, Buffer.alloc(0)),
      binary(0x20, 0x11, IPV4),
      binary(0x21, 0x00, IPV4),
      binary(0x21, 0x31, Buffer.alloc(216, '/')),
    ]) {
      const { socket } = await openPolling(await through(context, header))
      assert.match(socket.remoteAddress, /127\.0\.0\.1$/)
      assert.match(socket.request.connection.remoteAddress, /127\.0\.0\.1$/)
    }
  })

  tells(`${way}: a header may come byte by byte, and the request and frames right behind it`, async () => {
    const context = await listen({ proxyProtocol: 'loopback' })
    const byBytes = async (stream, chunk) => {
      for (const byte of Buffer.concat([binary(0x21, 0x11, IPV4), chunk.subarray(0, 20)])) {
        stream.write(Buffer.from([byte]))
        await new Promise(setImmediate)
      }
      stream.write(chunk.subarray(20))
    }
    const { socket } = await openPolling({ ...context, port: await forwardedBy(context.port, byBytes) })
    assert.equal(socket.remoteAddress, '203.0.113.9')
    // a message that comes in one write with the header and the request
    const heard = once(context.engine, 'connection').then(([socket]) => once(socket, 'message'))
    const peer = await RawPeer.connect(context.port)
    const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
    const upgrade = `GET ${path(context, { transport: 'websocket' })} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`
    const frame = Buffer.from([0x81, 0x83, 0, 0, 0, 0, 0x34, 0x68, 0x69])
    peer.write(Buffer.concat([TEXT, Buffer.from(upgrade), frame]))
    assert.deepEqual(await heard, ['hi'])
  })

  tells(`${way}: a connection has one header, and many requests`, async () => {
    const context = await listen({ proxyProtocol: 'loopback' })
    const peer = await RawPeer.connect(context.port)
    peer.write(TEXT + handshake(context))
    await peer.match(/"sid"[^]*\}$/)
    peer.bytes = Buffer.alloc(0)
    peer.write(handshake(context))
    await peer.match(/"sid"[^]*\}$/)
    peer.bytes = Buffer.alloc(0)
    peer.write(TEXT + handshake(context))
    await peer.match(/^HTTP\/1\.1 400 /)
  })

  tells(`${way}: what is not a header ends the connection without an answer, and is counted`, async () => {
    const context = await listen({ proxyProtocol: 'loopback' })
    const line = (text) => Buffer.from(`PROXY ${text}\r\n`)
    const hostile = [
      handshake(context),
      'PROXY',
      'P',
      '\r\n\r\n\0\r\nQUIX\n',
      '\0',
      line(''),
      line('TCP4'),
      line('TCP4 203.0.113.9 10.0.0.1 4711'),
      line('TCP4 203.0.113.9 10.0.0.1 4711 80 1'),
      line('TCP4 2001:db8::9 ::1 4711 80'),
      line('TCP6 203.0.113.9 10.0.0.1 4711 80'),
      line('TCP4 203.0.113.256 10.0.0.1 4711 80'),
      line('TCP4 203.0.113.9 10.0.0.1 65536 80'),
      line('TCP4 203.0.113.9 10.0.0.1 +1 80'),
      line('TCP4 a\0b 10.0.0.1 1 80'),
      line('UDP4 203.0.113.9 10.0.0.1 4711 80'),
      line(`UNKNOWN ${'x'.repeat(100)}`),
      `PROXY ${'x'.repeat(200)}`,
      'PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\n',
      binary(0x11, 0x11, IPV4),
      binary(0x22, 0x11, IPV4),
      binary(0x21, 0x13, IPV4),
      binary(0x21, 0x41, IPV4),
      binary(0x21, 0x11, IPV4.subarray(1)),
      binary(0x21, 0x21, IPV6.subarray(1)),
      binary(0x21, 0x31, Buffer.alloc(215)),
      binary(0x21, 0x11, Buffer.alloc(4081)),
      binary(0x21, 0x11, Buffer.alloc(65_535)),
    ]
    // those that only begin as a header does are ended by the client
    const short = hostile.filter((bytes) => bytes.length < 6).length - 1
    for (const bytes of hostile) {
      const peer = await RawPeer.connect(context.port)
      if (bytes.length < 6 && bytes !== '\0') peer.socket.end(bytes)
      else peer.write(Buffer.concat([Buffer.from(bytes), Buffer.from(handshake(context))]))
      await peer.end()
      assert.equal(peer.text, '', String(bytes))
    }
    await eventually(() => invalidOnes(context), hostile.length - short)
    assert.equal(context.engine.clientsCount, 0)
    // nothing is left of them
    const { socket } = await openPolling(await through(context, TEXT))
    assert.equal(socket.remoteAddress, '203.0.113.9')
  })

  tells(`${way}: connections that end before their header leave nothing`, async () => {
    const context = await listen({ proxyProtocol: 'loopback' })
    for (const begun of ['', 'PROXY TCP4 ', '\r\n\r\n\0']) {
      const ended = await RawPeer.connect(context.port)
      ended.socket.end(begun)
      await ended.end()
      const reset = await RawPeer.connect(context.port)
      reset.write(begun)
      reset.reset()
    }
    let left
    const count = async () => {
      for (let i = 0; i < 500 && (left = await connectionsOf(context)) > 0; i++)
        await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await count()
    assert.equal(left, 0)
    assert.equal(invalidOnes(context), 0)
  })

  tells(`${way}: a header that does not come in time ends the connection`, async () => {
    const context = await listen({ proxyProtocol: 'loopback' })
    const start = Date.now()
    const silent = await RawPeer.connect(context.port)
    const begun = await RawPeer.connect(context.port)
    begun.write('PROXY TCP4 203.0.113.9 ')
    await Promise.all([silent.end(20_000), begun.end(20_000)])
    assert.ok(Date.now() - start > 4_500)
    assert.equal(silent.text + begun.text, '')
    await eventually(() => invalidOnes(context), 2)
  })

  tells(`${way}: those who are not named are served without a header, and their headers are not read`, async () => {
    for (const proxyProtocol of ['10.0.0.0/8', ['::1', '127.0.0.2'], []]) {
      const context = await listen({ proxyProtocol })
      const { socket } = await openPolling(context)
      assert.match(socket.remoteAddress, /127\.0\.0\.1$/)
      const peer = await RawPeer.connect(context.port)
      peer.write(TEXT + handshake(context))
      await peer.match(/^HTTP\/1\.1 400 /)
      assert.equal(invalidOnes(context), 0)
    }
  })

  tells(`${way}: without the option a header is a bad request`, async () => {
    for (const proxyProtocol of [undefined, false]) {
      const context = await listen({ proxyProtocol })
      const peer = await RawPeer.connect(context.port)
      peer.write(TEXT + handshake(context))
      await peer.match(/^HTTP\/1\.1 400 /)
    }
  })

  tells(`${way}: trustProxy goes on from the address that was told`, async () => {
    const headers = { 'X-Forwarded-For': '198.51.100.1' }
    for (const [trustProxy, address] of [
      [undefined, '203.0.113.9'],
      ['203.0.113.0/24', '198.51.100.1'],
      ['loopback', '203.0.113.9'],
    ]) {
      const context = await listen({ proxyProtocol: 'loopback', trustProxy })
      const { socket } = await openPolling(await through(context, TEXT), {}, headers)
      assert.equal(socket.remoteAddress, address)
    }
  })

  tells(`${way}: invalid options throw`, async () => {
    for (const [proxyProtocol, message] of [
      [1, /proxyProtocol must be a boolean, or addresses and ranges, got 1/],
      [null, /proxyProtocol must be/],
      [{}, /proxyProtocol must be/],
      [() => true, /proxyProtocol must be/],
      [Symbol('x'), /proxyProtocol must be/],
      ['', /proxyProtocol takes IP addresses/],
      ['localhost', /proxyProtocol takes IP addresses/],
      [['10.0.0.0/33'], /proxyProtocol takes IP addresses/],
      [[null], /proxyProtocol takes IP addresses/],
    ]) {
      await assert.rejects(async () => listen({ proxyProtocol }), { name: 'TypeError', message })
    }
  })

  tells(`${way}: close() ends connections whose header has not come`, async () => {
    const context = await listen({ proxyProtocol: true })
    const silent = await RawPeer.connect(context.port)
    const begun = await RawPeer.connect(context.port)
    begun.write('PROXY ')
    while ((await connectionsOf(context)) < 2) await new Promise(setImmediate)
    const closed = once(context.server, 'close')
    context.server.close()
    await Promise.all([closed, silent.end(), begun.end()])
    // it was not the patience with headers that ended them
    assert.equal(invalidOnes(context), 0)
  })
}

tells('closeAllConnections() ends connections whose header has not come, and the server goes on', async () => {
  const context = await listen({ proxyProtocol: 'loopback' })
  const peer = await RawPeer.connect(context.port)
  while ((await connectionsOf(context)) === 0) await new Promise(setImmediate)
  context.server.closeAllConnections()
  await peer.end()
  assert.equal(invalidOnes(context), 0)
  const { socket } = await openPolling(await through(context, TEXT))
  assert.equal(socket.remoteAddress, '203.0.113.9')
})

tells('a connection whose header has come outlives close(), as any other that is in use', async () => {
  const context = await listen({ proxyProtocol: 'loopback' })
  const { peer, socket } = await openWebSocket(await through(context, TEXT))
  context.server.close()
  socket.send('hello')
  assert.equal(await peer.packet(), '4hello')
})

tells('attach() that throws leaves the HTTP server as it is', async () => {
  const server = http.createServer()
  const before = Object.keys(server)
  for (const [options, message] of [
    [{ proxyProtocol: 'localhost' }, /proxyProtocol takes IP addresses/],
    [{ proxyProtocol: true, path: 5 }, /replace is not a function/],
  ]) {
    assert.throws(() => new engine.Server().attach(server, options), { name: 'TypeError', message })
    assert.deepEqual(Object.keys(server), before)
  }
  const context = await listen({ proxyProtocol: 'loopback' }, server)
  const { emit, close } = server
  assert.throws(() => engine.attach(server, { proxyProtocol: true }), /proxyProtocol is set/)
  assert.deepEqual([server.emit, server.close], [emit, close])
  const { socket } = await openPolling(await through(context, TEXT))
  assert.equal(socket.remoteAddress, '203.0.113.9')
})

tells('the option of new Server() holds for each attach() whose options do not say otherwise', async () => {
  const serving = async (options) => {
    const server = http.createServer()
    const attached = new engine.Server({ proxyProtocol: 'loopback' })
    attached.attach(server, options)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    defer(() => {
      attached.close()
      server.close()
    })
    return { server, engine: attached, port: server.address().port, path: '/engine.io/' }
  }
  for (const options of [undefined, {}, { proxyProtocol: undefined }]) {
    const { socket } = await openPolling(await through(await serving(options), TEXT))
    assert.equal(socket.remoteAddress, '203.0.113.9')
  }
  const { socket } = await openPolling(await serving({ proxyProtocol: false }))
  assert.match(socket.remoteAddress, /127\.0\.0\.1$/)
})

tells('new Server() throws for an invalid option, too', () => {
  for (const [proxyProtocol, message] of [
    [1, 'proxyProtocol must be a boolean, or addresses and ranges, got 1'],
    [null, 'proxyProtocol must be a boolean, or addresses and ranges, got null'],
    ['bogus', /^proxyProtocol takes IP addresses, ranges as .*; got the string 'bogus'$/],
  ]) {
    assert.throws(() => new engine.Server({ proxyProtocol }), { name: 'TypeError', message })
  }
})

tells(
  'the native listener: on a UNIX socket all connections begin with a header if whoever connects is a proxy',
  async () => {
    if (process.platform === 'win32') return
    const folder = fs.mkdtempSync(join(tmpdir(), 'engine.io-native-'))
    defer(() => fs.rmSync(folder, { recursive: true }))
    for (const [name, proxyProtocol, header, address] of [
      ['all', true, TEXT, '203.0.113.9'],
      ['some', 'loopback', '', undefined],
    ]) {
      const place = join(folder, name)
      const server = engine.listen(place, { listener: 'native', proxyProtocol })
      defer(() => server.httpServer.close())
      await once(server.httpServer, 'listening')
      const connected = once(server, 'connection')
      const stream = net.connect(place)
      defer(() => stream.destroy())
      stream.write(header + handshake({ path: '/engine.io/' }))
      const [socket] = await connected
      assert.equal(socket.remoteAddress, address)
      socket.close(true)
    }
  },
)

tells('limits per address count the address that was told', async () => {
  const context = await listen({ proxyProtocol: 'loopback', limits: { maxConnectionsPerAddress: 1 } })
  const from = async (address) => {
    const header = Buffer.from(`PROXY TCP4 ${address} 10.0.0.1 4711 80\r\n`)
    return request({ port: (await through(context, header)).port, path: path(context) })
  }
  assert.equal((await from('203.0.113.1')).status, 200)
  assert.equal((await from('203.0.113.2')).status, 200)
  assert.equal((await from('203.0.113.1')).status, 403)
})

tells('all routes and listeners of the HTTP server see the address, also those that were added before', async () => {
  const seen = []
  const server = http.createServer((req, res) => res.end(req.socket.remoteAddress))
  server.on('connection', (socket) => seen.push(socket.remoteAddress))
  const context = await listen({ proxyProtocol: 'loopback' }, server)
  server.on('connection', (socket) => seen.push(socket.remoteAddress))
  const { port } = await through(context, TEXT)
  assert.equal((await request({ port, path: '/other' })).body, '203.0.113.9')
  assert.deepEqual(seen, ['203.0.113.9', '203.0.113.9'])
})

tells('behind an HTTPS server the header comes before TLS', async () => {
  const server = https.createServer(certificate, (req, res) => res.end(req.socket.remoteAddress))
  const context = await listen({ proxyProtocol: 'loopback' }, server)
  const { port } = await through(context, TEXT)
  const get = (path) =>
    new Promise((resolve, reject) => {
      const answered = (res) => res.setEncoding('utf8').on('data', resolve)
      https
        .get({ host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false }, answered)
        .on('error', reject)
    })
  assert.equal(await deadline(get('/other'), 'an answer'), '203.0.113.9')
  const connected = once(context.engine, 'connection')
  const secure = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  defer(() => secure.destroy())
  await onceOf(secure, 'secureConnect')
  const peer = await RawWebSocket.over(secure, path(context, { transport: 'websocket' })).response()
  const [socket] = await connected
  assert.equal(socket.remoteAddress, '203.0.113.9')
  await peer.packet()
  socket.send('hello')
  assert.equal(await peer.packet(), '4hello')
})

tells('an HTTP server reads one header for all engines', async () => {
  const server = http.createServer()
  const context = await listen({ proxyProtocol: 'loopback', path: '/one' }, server)
  assert.throws(
    () => engine.attach(server, { proxyProtocol: true }),
    /proxyProtocol is set for this HTTP server already/,
  )
  const other = engine.attach(server, { path: '/two' })
  defer(() => other.close())
  const proxied = await through(context, TEXT)
  for (const [attached, route] of [
    [context.engine, '/one/'],
    [other, '/two/'],
  ]) {
    const { socket } = await openPolling({ ...proxied, engine: attached, path: route })
    assert.equal(socket.remoteAddress, '203.0.113.9')
  }
})

tells('an option that was added to Object.prototype is not set', async () => {
  // eslint-disable-next-line no-extend-native -- what a polluted process has
  Object.prototype.proxyProtocol = true
  try {
    for (const listen of Object.values(WAYS))
      assert.equal((await openPolling(await listen())).socket.readyState, 'open')
  } finally {
    delete Object.prototype.proxyProtocol
  }
})

if (!skipUws) {
  tells('uServer refuses the option', () => {
    const message = /uServer does not support proxyProtocol/
    const refused = (given, options) =>
      assert.throws(() => new engine.uServer(given).attach(uWS.App(), options), { name: 'TypeError', message })
    refused({}, { proxyProtocol: true })
    refused({ proxyProtocol: true }, {})
  })
}
