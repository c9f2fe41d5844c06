'use strict'

// The declarations of the package, compared with those of the original, name by name.

const assert = require('node:assert/strict')
const path = require('node:path')
const { test } = require('node:test')
const ts = require('typescript')
const { root } = require('./compile')

const ours = path.join(root, 'index.d.ts')
const theirs = path.join(root, 'node_modules/engine.io/build/engine.io.d.ts')
const program = ts.createProgram([ours, theirs], { strict: true, noEmit: true, skipLibCheck: true, types: ['node'] })
const checker = program.getTypeChecker()

/** The exports of a file: symbols by name. */
function exportsOf(file) {
  const module = checker.getSymbolAtLocation(program.getSourceFile(file))
  const symbols = checker.getExportsOfModule(module)
  return new Map(symbols.map((symbol) => [symbol.name, resolved(symbol)]))
}

function resolved(symbol) {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
}

/** The members of a class or interface that others than the engine may use, by their names. */
function members(symbol) {
  const all = {}
  for (const property of checker.getDeclaredTypeOfSymbol(symbol).getProperties()) {
    const [declaration] = property.declarations
    const flags = ts.getCombinedModifierFlags(declaration)
    const isInherited = /@types/.test(declaration.getSourceFile().fileName)
    if (isInherited || flags & ts.ModifierFlags.Private) continue
    all[property.name] = {
      visibility: flags & ts.ModifierFlags.Protected ? 'protected' : 'public',
      optional: Boolean(property.flags & ts.SymbolFlags.Optional),
      readonly: Boolean(flags & ts.ModifierFlags.Readonly),
      // the codec of a transport is nobody's concern
      type: property.name === 'parser' ? 'any' : text(checker.getTypeOfSymbol(property)),
    }
  }
  return all
}

/** A type, whichever file the names in it are declared in. */
function text(type) {
  const full = checker.typeToString(type, undefined, ts.TypeFormatFlags.NoTruncation)
  return full.replace(/import\("[^"]*"\)\./g, '').replaceAll('TransportState', 'ReadyState')
}

const [our, their] = [exportsOf(ours), exportsOf(theirs)]

test('the same names are exported', () => {
  assert.deepEqual([...our.keys()].sort(), [...their.keys()].sort())
})

/** What this package has and the original has not. */
const EXTRAS = { ServerOptions: ['maxBackpressure', 'backpressurePolicy', 'limits'], Socket: ['bufferedAmount'] }

for (const name of ['Server', 'BaseServer', 'Socket', 'Transport', 'uServer', 'ServerOptions', 'AttachOptions']) {
  test(`${name} has the members of the original, with their types and as visible, optional and fixed`, () => {
    const [a, b] = [members(our.get(name)), members(their.get(name))]
    assert.ok(Object.keys(b).length > 0)
    for (const extra of EXTRAS[name] || []) {
      assert.ok(a[extra] && (a[extra].optional || name !== 'ServerOptions'))
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
  assert.equal(a.replace('options?: (AttachOptions & ServerOptions) | undefined', 'options: AttachOptions & ServerOptions'), b)
})

test('the statics of the server are the same', () => {
  const statics = (all) => {
    const type = checker.getTypeOfSymbol(all.get('Server'))
    return type.getProperties().map((property) => [property.name, text(checker.getTypeOfSymbol(property))])
  }
  assert.deepEqual(statics(our).sort(), statics(their).sort())
})
