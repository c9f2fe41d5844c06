'use strict'

// The options `trustProxy` and `trustProxyHeader` (docs/OPERATIONS.md).

const assert = require('node:assert/strict')
const proxyaddr = require('proxy-addr')
const {
  engine,
  eventually,
  improvement,
  listen,
  listenNatively,
  openPolling,
  openWebSocket,
  path,
  record,
  request,
  upstream,
} = require('../support')
const { listenOnUws, skip: skipUws } = require('../support/userver')
const { TrustProxy } = upstream ? {} : require('../../lib/base/trust-proxy')

const trusts = (name, fn) => improvement('it has no option trustProxy', name, fn)

const WAYS = { 'attach()': listen, 'the native listener': listenNatively }
if (!skipUws && !upstream) WAYS.uServer = listenOnUws

for (const [way, listen] of Object.entries(WAYS)) {
  trusts(`${way}: remoteAddress is what a trusted proxy tells`, async () => {
    const context = await listen({ trustProxy: 'loopback' })
    const headers = { 'X-Forwarded-For': '6.6.6.6, 203.0.113.9' }
    const { socket: polls } = await openPolling(context, {}, headers)
    assert.equal(polls.remoteAddress, '203.0.113.9')
    const { socket } = await openWebSocket(context, {}, { headers })
    assert.equal(socket.remoteAddress, '203.0.113.9')
    // the request stays as it came
    assert.match(socket.request.connection.remoteAddress, /127\.0\.0\.1$/)
  })

  trusts(`${way}: without the option the header is not read`, async () => {
    for (const trustProxy of [undefined, false, 0]) {
      const context = await listen({ trustProxy })
      const { socket } = await openPolling(context, {}, { 'X-Forwarded-For': '203.0.113.9' })
      assert.match(socket.remoteAddress, /127\.0\.0\.1$/)
    }
  })
}

const warnings = record(process, 'warning', (_, warning) => warning)

function revoked() {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

/** Functions that fail for the proxy behind the one that has connected, and what the warning says. */
const FAILING = {
  'a function that throws': [
    () => {
      throw new Error('from trustProxy')
    },
    /^no proxy is trusted .*: from trustProxy$/,
  ],
  'an async function': [async () => false, /must return true or false, got a promise$/],
  'an async function that fails': [
    async () => {
      throw new Error('from trustProxy')
    },
    /must return true or false, got a promise$/,
  ],
  'a function that returns a string': [() => 'no', /must return true or false, got the string 'no'$/],
  'a function that returns a number': [() => 1, /must return true or false, got 1$/],
  'a function that returns an object': [() => ({}), /must return true or false, got an object$/],
  'a function that returns a revoked proxy': [revoked, /must return true or false, got a proxy$/],
  'a function that returns a promise without methods': [
    () => Object.assign(Promise.reject(new Error('from trustProxy')), { catch: null, then: null }),
    /must return true or false, got a promise$/,
  ],
  'a function that throws a revoked proxy': [
    () => {
      throw revoked()
    },
    /^no proxy is trusted .*: a proxy$/,
  ],
  'a function that throws an object whose members throw': [
    () => {
      const fail = () => {
        throw new Error('from a member')
      }
      throw Object.defineProperties({}, { message: { get: fail }, stack: { get: fail } })
    },
    /^no proxy is trusted .*: an object$/,
  ],
}

for (const [way, listen] of Object.entries(WAYS)) {
  for (const [what, [fail, message]] of Object.entries(FAILING)) {
    for (const at of [0, 1]) {
      trusts(`${way}: ${what} at hop ${at} trusts no proxy, and one warning says so`, async () => {
        warnings.length = 0
        const context = await listen({ trustProxy: (_, hop) => (hop === at ? fail() : true) })
        const errors = record(context.engine, 'connection_error')
        const headers = { 'X-Forwarded-For': '203.0.113.8, 203.0.113.9' }
        const { socket: polls } = await openPolling(context, {}, headers)
        assert.match(polls.remoteAddress, /127\.0\.0\.1$/)
        const { socket } = await openWebSocket(context, {}, { headers })
        assert.match(socket.remoteAddress, /127\.0\.0\.1$/)
        await eventually(() => warnings.map(({ code }) => code), ['ENGINE_IO_TRUST_PROXY'])
        assert.match(warnings[0].message, message)
        assert.deepEqual(errors, [])
      })
    }
  }
}

trusts('a function that returns nothing does not trust the sender', async () => {
  const context = await listen({ trustProxy: (_, hop) => (hop === 0 ? true : undefined) })
  const { socket } = await openPolling(context, {}, { 'X-Forwarded-For': '203.0.113.8, 203.0.113.9' })
  assert.equal(socket.remoteAddress, '203.0.113.9')
})

trusts('limits per address count the connection where a function fails', async () => {
  const trustProxy = async () => true
  const context = await listen({ trustProxy, limits: { maxConnectionsPerAddress: 1 } })
  const from = (address) =>
    request({ port: context.port, path: path(context), headers: { 'X-Forwarded-For': address } })
  assert.equal((await from('203.0.113.1')).status, 200)
  assert.equal((await from('203.0.113.2')).status, 403)
})

trusts('limits per address count the address that was told', async () => {
  const context = await listen({ trustProxy: 1, limits: { maxConnectionsPerAddress: 1 } })
  const from = (address) =>
    request({ port: context.port, path: path(context), headers: { 'X-Forwarded-For': address } })
  assert.equal((await from('203.0.113.1')).status, 200)
  assert.equal((await from('203.0.113.2')).status, 200)
  assert.equal((await from('203.0.113.1')).status, 403)
  // what a client writes before its proxy does not count
  assert.equal((await from('198.51.100.7, 203.0.113.1')).status, 403)
  context.engine.close()
  assert.equal((await from('203.0.113.1')).status, 200)
})

trusts('limits.addressOf comes first', async () => {
  const limits = { maxConnectionsPerAddress: 1, addressOf: (req) => req.headers['x-from'] }
  const context = await listen({ trustProxy: true, limits })
  const from = (address, told) => ({ 'x-from': address, 'X-Forwarded-For': told })
  await openPolling(context, {}, from('a', '203.0.113.1'))
  const { socket } = await openPolling(context, {}, from('b', '203.0.113.1'))
  assert.equal(socket.remoteAddress, '203.0.113.1')
})

trusts('Forwarded counts only if it was asked for, and then X-Forwarded-For does not', async () => {
  const headers = { Forwarded: 'for=203.0.113.1', 'X-Forwarded-For': '203.0.113.2' }
  for (const [trustProxyHeader, expected] of [
    ['forwarded', '203.0.113.1'],
    ['Forwarded', '203.0.113.1'],
    ['x-forwarded-for', '203.0.113.2'],
    [undefined, '203.0.113.2'],
  ]) {
    const context = await listen({ trustProxy: true, trustProxyHeader })
    const { socket } = await openPolling(context, {}, headers)
    assert.equal(socket.remoteAddress, expected)
  }
})

trusts('invalid options throw', () => {
  const refused = (options, message) => assert.throws(() => new engine.Server(options), { name: 'TypeError', message })
  for (const trustProxy of [-1, 1.5, NaN, Infinity]) refused({ trustProxy }, /number of hops/)
  for (const trustProxy of [null, {}, Symbol('x'), 1n, new Set(['loopback'])])
    refused({ trustProxy }, /trustProxy must be/)
  const entries = [
    '',
    'localhost',
    '10.0.0.0/33',
    '::1/129',
    '10.0.0.0/-1',
    '10.0.0.0/255.0.0.0',
    '10.0.0.0/',
    '1.2.3',
    '/8',
  ]
  for (const entry of [...entries, 'loopback,', 'toString']) {
    refused({ trustProxy: entry }, /takes IP addresses/)
    refused({ trustProxy: ['127.0.0.1', ...entry.split(',').slice(-1)] }, /takes IP addresses/)
  }
  for (const entry of [null, 5, undefined, {}, ['10.0.0.1']]) {
    if (!Array.isArray(entry)) refused({ trustProxy: [entry] }, /takes IP addresses/)
  }
  for (const trustProxyHeader of ['x-real-ip', '', null, 5, '__proto__', {}]) {
    refused({ trustProxyHeader }, /trustProxyHeader must be/)
  }
})

trusts('a function decides about each address', async () => {
  const asked = []
  const trustProxy = (address, hop) => {
    asked.push([address.replace('::ffff:', ''), hop])
    return hop < 2
  }
  const context = await listen({ trustProxy })
  const { socket } = await openPolling(context, {}, { 'X-Forwarded-For': '192.0.2.1, 192.0.2.2, 192.0.2.3' })
  assert.equal(socket.remoteAddress, '192.0.2.2')
  assert.deepEqual(asked, [
    ['127.0.0.1', 0],
    ['192.0.2.3', 1],
    ['192.0.2.2', 2],
  ])
})

/** The address that the options give for a request. */
const clientOf = (options, address, headers) => TrustProxy.of(options).clientOf(address, headers)

trusts('it gives what Express gives, for valid addresses', () => {
  const addresses = [
    '127.0.0.1',
    '10.1.2.3',
    '::1',
    'fe80::1',
    '::ffff:10.0.0.1',
    '203.0.113.7',
    '2001:db8::7',
    '172.20.0.1',
  ]
  const values = [
    true,
    1,
    2,
    3,
    'loopback',
    'loopback, uniquelocal',
    ['10.0.0.0/8', '::1'],
    'linklocal',
    '203.0.113.0/24',
    [],
  ]
  let seed = 1
  const next = (below) => (seed = (seed * 48271) % 2147483647) % below
  for (let i = 0; i < 3000; i++) {
    const remoteAddress = addresses[next(addresses.length)]
    const chain = Array.from({ length: next(5) }, () => addresses[next(addresses.length)])
    const headers = chain.length > 0 ? { 'x-forwarded-for': chain.join(next(2) ? ', ' : ',') } : {}
    const trustProxy = values[next(values.length)]
    const expressed =
      trustProxy === true
        ? () => true
        : typeof trustProxy === 'number'
          ? (_, hop) => hop < trustProxy
          : proxyaddr.compile(typeof trustProxy === 'string' ? trustProxy.split(/ *, */) : trustProxy)
    const expected = proxyaddr({ headers, socket: { remoteAddress }, connection: { remoteAddress } }, expressed)
    const what = `${JSON.stringify(trustProxy)} ${remoteAddress} ${headers['x-forwarded-for']}`
    assert.equal(clientOf({ trustProxy }, remoteAddress, headers), expected, what)
  }
})

trusts('ports and brackets are removed, and what is not an address ends the chain', () => {
  const told = (value) => clientOf({ trustProxy: true }, '10.0.0.1', { 'x-forwarded-for': value })
  assert.equal(told('203.0.113.1:4711'), '203.0.113.1')
  assert.equal(told('[2001:db8::1]:4711'), '2001:db8::1')
  assert.equal(told('[2001:db8::1]'), '2001:db8::1')
  assert.equal(told(' 203.0.113.1 '), '203.0.113.1')
  for (const end of [
    '',
    ' ',
    'unknown',
    '_hidden',
    '1.2.3',
    '999.1.1.1',
    '[1.2.3.4]',
    '1.2.3.4:x',
    '<script>',
    '1.2.3.4 x',
  ]) {
    assert.equal(told(`198.51.100.1, ${end}`), '10.0.0.1', end)
    assert.equal(told(`${end}, 203.0.113.1`), '203.0.113.1', end)
  }
  assert.equal(told(','.repeat(16_000)), '10.0.0.1')
  assert.equal(clientOf({ trustProxy: true }, undefined, { 'x-forwarded-for': '203.0.113.1' }), '203.0.113.1')
  assert.equal(clientOf({ trustProxy: 'loopback' }, undefined, { 'x-forwarded-for': '203.0.113.1' }), undefined)
  assert.equal(clientOf({ trustProxy: true }, '10.0.0.1', {}), '10.0.0.1')
})

trusts('Forwarded is read by its grammar', () => {
  const told = (forwarded, trustProxy = true) =>
    clientOf({ trustProxy, trustProxyHeader: 'forwarded' }, '10.0.0.1', { forwarded })
  assert.equal(told('for=203.0.113.1'), '203.0.113.1')
  assert.equal(told('For="203.0.113.1:80"; proto=https;by=10.0.0.2'), '203.0.113.1')
  assert.equal(told('proto=http;for="[2001:db8:cafe::17]:4711"'), '2001:db8:cafe::17')
  assert.equal(told('for=192.0.2.43, for=198.51.100.17', 1), '198.51.100.17')
  assert.equal(told('for=192.0.2.43, for=198.51.100.17', 2), '192.0.2.43')
  assert.equal(told('for=192.0.2.43,for="_a, b; c",for=198.51.100.17'), '198.51.100.17')
  assert.equal(told('for="\\1\\9\\2.0.2.43"'), '192.0.2.43')
  for (const useless of ['', 'for=unknown', 'for=_hidden', 'proto=https', 'for="[192.0.2.1]"', 'for=""']) {
    assert.equal(told(useless), '10.0.0.1', useless)
  }
})

trusts('a client cannot hide what a proxy adds to Forwarded, nor put its own in place of it', () => {
  const told = (forwarded) => clientOf({ trustProxy: 1, trustProxyHeader: 'forwarded' }, '10.0.0.1', { forwarded })
  const added = ['for=203.0.113.1', 'for="[2001:db8::1]:80"', 'for=203.0.113.1;by="10.0.0.1:1"']
  const hostile = [
    'for=6.6.6.6;x="',
    'for="6.6.6.6',
    'for=6.6.6.6,',
    'for=6.6.6.6;',
    '"',
    '=',
    'for=6.6.6.6;x="\\',
    'x',
    ';for=6.6.6.6',
  ]
  for (const own of hostile) {
    for (const proxys of added) {
      const address = told(`${own}, ${proxys}`)
      assert.notEqual(address, '6.6.6.6', `${own}, ${proxys}`)
    }
  }
})
