'use strict'

const assert = require('node:assert/strict')
const http = require('node:http')
const { test } = require('node:test')
const { bind, defer, engine, improvement, listen, once, request, RawPeer } = require('../support')

/** The parsed query of a handshake with this query string. */
async function parsed(query) {
  const context = await listen()
  const connected = once(context.engine, 'connection')
  const response = await request({ port: context.port, path: `/engine.io/?${query}` })
  assert.equal(response.status, 200, response.body)
  const [socket] = await connected
  return socket.request._query
}

test('the query is found parsed in socket.request._query', async () => {
  const query = await parsed('EIO=4&transport=polling&t=abc&token=x%20y')
  assert.deepEqual({ ...query }, { EIO: '4', transport: 'polling', t: 'abc', token: 'x y' })
})

test('of duplicate keys the last one wins', async () => {
  const query = await parsed('EIO=3&EIO=4&transport=foo&transport=polling&a=1&a=2')
  assert.deepEqual({ ...query }, { EIO: '4', transport: 'polling', a: '2' })
})

test('keys with brackets are keys of their own', async () => {
  const query = await parsed('EIO=4&transport=polling&transport[]=foo')
  assert.equal(query['transport[]'], 'foo')
})

test('plus is a space, percent encoding is decoded and broken encoding tolerated', async () => {
  const query = await parsed('EIO=4&transport=poll%69ng&a=x+y&b=%zz')
  assert.equal(query.transport, 'polling')
  assert.equal(query.a, 'x y')
  assert.equal(query.b, '%zz')
})

test('keys of Object.prototype pollute nothing', async () => {
  const query = await parsed('EIO=4&transport=polling&__proto__=evil&constructor=evil')
  assert.equal(Object.hasOwn(query, 'constructor'), true)
  assert.equal({}.evil, undefined)
  assert.equal(typeof {}.constructor, 'function')
})

test('an existing req._query is used as it is', async () => {
  const own = new engine.Server()
  const server = http.createServer((req, res) => {
    req._query = { EIO: '4', transport: 'polling', mine: true }
    own.handleRequest(req, res)
  })
  const port = await bind(server)
  defer(() => own.close())
  const connected = once(own, 'connection')
  assert.equal((await request({ port, path: '/' })).status, 200)
  const [socket] = await connected
  assert.equal(socket.request._query.mine, true)
})

test('an existing req._query with arrays fails the checks and does not throw', async () => {
  const own = new engine.Server()
  const server = http.createServer((req, res) => {
    req._query = { EIO: ['4'], transport: ['polling', 'polling'] }
    own.handleRequest(req, res)
  })
  const port = await bind(server)
  const response = await request({ port, path: '/' })
  assert.deepEqual([response.status, JSON.parse(response.body).code], [400, 0])
})

improvement('B-2, G-24', 'a target that is no URL gets 400 and does not throw', async () => {
  const context = await listen({ path: '/' })
  const peer = await RawPeer.connect(context.port)
  peer.write('GET // HTTP/1.1\r\nHost: x\r\n\r\n')
  await peer.match(/^HTTP\/1\.1 400 /)
})
