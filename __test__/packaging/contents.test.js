'use strict'

const assert = require('node:assert')
const { before, test } = require('node:test')
const { hostPlatform } = require('../../scripts/build')
const { pack } = require('../../scripts/pack')
const { platforms } = require('../../scripts/platforms')
const { readTarball, scratchFolder } = require('./scratch')

const host = hostPlatform()
let tarballs

before(() => {
  tarballs = pack(scratchFolder())
})

test('the root package holds the facade, its types and documents, and nothing else', () => {
  const files = contents(tarballs.root)
  const allowed =
    /^(package\.json|README\.md|CHANGELOG\.md|LICENSE|index\.js|index\.d\.ts|wrapper\.mjs|lib\/[\w/.-]+\.(js|d\.ts)|docs\/[\w/.-]+\.md)$/
  assert.deepEqual(
    files.filter((file) => !allowed.test(file)),
    [],
  )
  for (const needed of [
    'package.json',
    'README.md',
    'LICENSE',
    'index.js',
    'index.d.ts',
    'wrapper.mjs',
    'lib/native/load-addon.js',
    'docs/DIFFERENCES.md',
  ]) {
    assert.ok(files.includes(needed), `${needed} is in the package`)
  }
})

test('the root package names every platform package in its own version, and runs no script', () => {
  const manifest = manifestOf(tarballs.root)
  assert.deepEqual(
    manifest.optionalDependencies,
    Object.fromEntries(platforms.map(({ name }) => [`engine.io-native-${name}`, manifest.version])),
  )
  assert.equal(manifest.scripts, undefined)
  assert.equal(manifest.devDependencies, undefined)
  assert.equal(manifest.engines.node, '>=20')
})

test('the package of this platform holds the library and nothing else', () => {
  assert.deepEqual(contents(tarballs.platforms[host]), [
    'LICENSE',
    'README.md',
    `engine.io-native.${host}.node`,
    'package.json',
  ])
  assert.equal(manifestOf(tarballs.platforms[host]).scripts, undefined)
})

function contents(tarball) {
  return [...readTarball(tarball).keys()].sort()
}

function manifestOf(tarball) {
  return JSON.parse(readTarball(tarball).get('package.json'))
}
