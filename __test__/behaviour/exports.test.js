'use strict'

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const http = require('node:http')
const { test } = require('node:test')
const { bind, defer, engine, openPolling, specifier, upstream } = require('../support')

const NAMES = ['Server', 'Socket', 'Transport', 'attach', 'listen', 'parser', 'protocol', 'transports', 'uServer']

test('require() gives exactly the documented names', () => {
  assert.deepEqual(Object.keys(engine).sort(), NAMES)
})

test('import gives the same names and no default', async () => {
  const namespace = await import(specifier)
  assert.deepEqual(Object.keys(namespace).sort(), NAMES)
  for (const name of NAMES) assert.equal(namespace[name], engine[name], name)
})

test('protocol is 4', () => {
  assert.equal(engine.protocol, 4)
})

test('Server, Socket and Transport are event emitters', () => {
  for (const name of ['Server', 'Socket', 'Transport']) {
    assert.ok(engine[name].prototype instanceof EventEmitter, name)
    assert.equal(engine[name].name, name)
  }
})

test('Socket and Transport are subclasses of EventEmitter itself', () => {
  for (const Class of [engine.Socket, engine.Transport]) {
    assert.equal(Object.getPrototypeOf(Class.prototype), EventEmitter.prototype, Class.name)
    assert.equal(Class.defaultMaxListeners, EventEmitter.defaultMaxListeners, Class.name)
  }
})

test('for…in meets the same methods of EventEmitter on servers, sessions and transports', () => {
  const { Server, Socket, Transport } = engine
  for (const { prototype } of [Server, Socket, Transport]) {
    const names = []
    for (const name in prototype) names.push(name)
    for (const name of ['on', 'addListener', 'emit', 'removeListener']) assert.ok(names.includes(name), name)
  }
})

test('Server cannot be called without new', () => {
  assert.throws(() => engine.Server(), /^TypeError: Class constructor Server cannot be invoked without 'new'$/)
})

test('Server can be extended', () => {
  class Mine extends engine.Server {
    generateId() {
      return 'mine'
    }
  }
  const server = new Mine({ pingInterval: 1 })
  assert.ok(server instanceof engine.Server)
  assert.equal(server.generateId(), 'mine')
  assert.equal(server.opts.pingInterval, 1)
})

test('an overridden method of a subclass is used', async () => {
  class Mine extends engine.Server {
    generateId() {
      return 'mine'
    }
  }
  const server = http.createServer()
  const own = new Mine()
  own.attach(server)
  const port = await bind(server)
  defer(() => own.close())
  const { peer } = await openPolling({ engine: own, server, port, path: '/engine.io/' })
  assert.equal(peer.sid, 'mine')
})

test('parser encodes and decodes packets', () => {
  assert.equal(engine.parser.protocol, 4)
  for (const name of ['encodePacket', 'encodePayload', 'decodePacket', 'decodePayload']) {
    assert.equal(typeof engine.parser[name], 'function', name)
  }
  assert.deepEqual(engine.parser.decodePacket('4hi'), { type: 'message', data: 'hi' })
  engine.parser.encodePacket({ type: 'message', data: 'hi' }, true, (encoded) => assert.equal(encoded, '4hi'))
})

test('parser has the stream helpers', () => {
  assert.equal(typeof engine.parser.createPacketEncoderStream, 'function')
  assert.equal(typeof engine.parser.createPacketDecoderStream, 'function')
})

test('transports has polling, websocket and webtransport, and can be extended', () => {
  assert.deepEqual(Object.keys(engine.transports).sort(), ['polling', 'websocket', 'webtransport'])
  assert.equal(Object.isFrozen(engine.transports), false)
  assert.deepEqual(engine.transports.polling.upgradesTo, ['websocket', 'webtransport'])
  assert.deepEqual(engine.transports.websocket.upgradesTo, [])
  assert.deepEqual(engine.transports.webtransport.upgradesTo, [])
  assert.equal(engine.transports.websocket.prototype.handlesUpgrades, true)
})

test('Transport.upgradesTo is empty', () => {
  assert.deepEqual(engine.Transport.upgradesTo, [])
})

test('attach() returns a Server made with the options and does not set httpServer', async () => {
  const server = http.createServer()
  const attached = engine.attach(server, { pingInterval: 7000, path: '/x' })
  assert.ok(attached instanceof engine.Server)
  assert.equal(attached.opts.pingInterval, 7000)
  assert.equal(attached.httpServer, undefined)
  attached.close()
})

test('attach() without options works', () => {
  const attached = engine.attach(http.createServer())
  assert.equal(attached.opts.pingInterval, 25000)
  attached.close()
})

test('uServer is a class', () => {
  assert.equal(typeof engine.uServer, 'function')
  assert.match(Function.prototype.toString.call(engine.uServer), /^class /)
})

test('deep imports are not exported', { skip: !upstream && 'the package may export more' }, () => {
  assert.throws(() => require('engine.io/package.json'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' })
})
