'use strict'

// lib/native/contract.js, which the core generates (src/runtime/owner/contract.rs). That it is current is a test of the core.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const contract = require('../../lib/native/contract')

const lib = path.join(__dirname, '../../lib')

const sources = fs
  .readdirSync(lib, { recursive: true })
  .map((file) => String(file))
  .filter((file) => file.endsWith('.js') && path.basename(file) !== 'contract.js')
  .map((file) => fs.readFileSync(path.join(lib, file), 'utf8'))

test('lib/ uses every name of the contract, which has no others', () => {
  const unused = Object.keys(contract).filter((name) => !sources.some((text) => new RegExp(`\\b${name}\\b`).test(text)))
  assert.deepEqual(unused, [])
})

test('lib/ uses no member of a group that the contract does not have', () => {
  const groups = Object.keys(contract).filter((name) => /^[A-Z][a-z]/.test(name))
  const wrong = sources.flatMap((text) =>
    [...text.matchAll(new RegExp(`\\b(${groups.join('|')})\\.([A-Z_]+)\\b`, 'g'))]
      .filter(([, group, member]) => !(member in contract[group]))
      .map(([use]) => use),
  )
  assert.deepEqual(wrong, [])
})

test('no two members of a group have the same number', () => {
  for (const [name, group] of Object.entries(contract)) {
    if (typeof group !== 'object' || Array.isArray(group)) continue
    assert.equal(new Set(Object.values(group)).size, Object.keys(group).length, name)
  }
})

test('lib/ writes no reason and no fault by itself', () => {
  const texts = [...contract.REASONS, ...Object.values(contract.FaultText)]
  const wrong = sources.flatMap((source) => {
    // the texts of `debug` are the original's own
    const code = source.replace(/\bdebug\('[^']*'/g, '')
    return texts.filter((text) => code.includes(`'${text}'`))
  })
  assert.deepEqual(wrong, [])
})

test('lib/ writes no header of the handshake and no content type by itself', () => {
  const texts = [
    ...Object.values(contract.HandshakeHeader),
    contract.DEFLATE,
    contract.XSS_PROTECTION[0],
    contract.ERROR_TYPE,
    contract.POST_ANSWER_TYPE,
    contract.TEXT_PAYLOAD_TYPE,
    contract.BINARY_PAYLOAD_TYPE,
  ]
  const wrong = sources.flatMap((source) => {
    const code = source.replace(/\/\*[^]*?\*\/|\/\/.*/g, '').toLowerCase()
    return texts.filter((text) => code.includes(text.toLowerCase()))
  })
  assert.deepEqual(wrong, [])
})
