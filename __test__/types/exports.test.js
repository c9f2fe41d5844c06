'use strict'

// The declarations of the package, compared with those of the original, name by name.

const assert = require('node:assert/strict')
const path = require('node:path')
const { test } = require('node:test')
const ts = require('typescript')
const original = require('../support/original')
const { root } = require('./compile')
const { declarations } = require('./declarations')

const ours = path.join(root, 'index.d.ts')
const theirs = original.types
const { checker, exportsOf, members, text } = declarations(ours, theirs)
const [our, their] = [exportsOf(ours), exportsOf(theirs)]

test('the same names are exported', () => {
  assert.deepEqual([...our.keys()].sort(), [...their.keys()].sort())
})

/** What this package has and the original has not. */
const EXTRAS = {
  ...Object.fromEntries(
    ['Server', 'BaseServer', 'uServer'].map((name) => [name, ['drain', 'draining', 'broadcast', 'metrics']]),
  ),
  ServerOptions: [
    'maxBackpressure',
    'backpressurePolicy',
    'limits',
    'closeDetails',
    'cluster',
    'trustProxy',
    'trustProxyHeader',
    'proxyProtocol',
  ],
  AttachOptions: ['proxyProtocol'],
  Socket: ['bufferedAmount'],
}

for (const name of ['Server', 'BaseServer', 'Socket', 'Transport', 'uServer', 'ServerOptions', 'AttachOptions']) {
  test(`${name} has the members of the original, with their types and as visible, optional and fixed`, () => {
    const [a, b] = [members(our.get(name)), members(their.get(name))]
    assert.ok(Object.keys(b).length > 0)
    for (const extra of EXTRAS[name] || []) {
      assert.ok(a[extra] && (a[extra].optional || !name.endsWith('Options')))
      delete a[extra]
    }
    assert.deepEqual(a, b)
  })
}

for (const name of ['polling', 'websocket', 'webtransport']) {
  test(`transports.${name} makes what it makes in the original`, () => {
    const [a, b] = [our, their].map((all) => {
      const type = checker.getTypeOfSymbol(checker.getTypeOfSymbol(all.get('transports')).getProperty(name))
      const [signature] = [...type.getConstructSignatures(), ...type.getCallSignatures()]
      return members(checker.getReturnTypeOfSignature(signature).symbol)
    })
    assert.deepEqual(a, b)
  })
}

for (const name of ['protocol', 'ErrorCallback']) {
  test(`${name} is of the same type as in the original`, () => {
    const [a, b] = [our, their].map((all) => {
      const symbol = all.get(name)
      const isValue = symbol.flags & ts.SymbolFlags.Value
      return text(isValue ? checker.getTypeOfSymbol(symbol) : checker.getDeclaredTypeOfSymbol(symbol))
    })
    assert.equal(a, b)
  })
}

test('listen is of the same type as in the original, and takes a native listener, too', () => {
  const [a, b] = [our, their].map((all) => checker.getTypeOfSymbol(all.get('listen')).getCallSignatures())
  assert.deepEqual([a.length, b.length], [2, 1])
  assert.equal(checker.signatureToString(a[0]), checker.signatureToString(b[0]))
})

test('attach is of the type it has in the original, but for the options, which may be left out', () => {
  const [a, b] = [our, their].map((all) => text(checker.getTypeOfSymbol(all.get('attach'))))
  assert.equal(
    a.replace('options?: (AttachOptions & ServerOptions) | undefined', 'options: AttachOptions & ServerOptions'),
    b,
  )
})

test('the statics of the server are the same', () => {
  const statics = (all) => {
    const type = checker.getTypeOfSymbol(all.get('Server'))
    return type.getProperties().map((property) => [property.name, text(checker.getTypeOfSymbol(property))])
  }
  assert.deepEqual(statics(our).sort(), statics(their).sort())
})
