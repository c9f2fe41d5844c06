'use strict'

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { platforms } = require('../../scripts/platforms')

const root = path.join(__dirname, '../..')
const { version, engines } = readJson('package.json')

test('npm/ has one package for each platform and nothing else', () => {
  assert.deepEqual(fs.readdirSync(path.join(root, 'npm')).sort(), platforms.map(({ name }) => name).sort())
})

for (const { name, os, cpu, libc } of platforms) {
  test(`engine.io-native-${name} installs only where it fits, with the version of the root`, () => {
    const manifest = readJson('npm', name, 'package.json')
    assert.equal(manifest.name, `engine.io-native-${name}`)
    assert.equal(manifest.version, version)
    assert.equal(manifest.main, `engine.io-native.${name}.node`)
    assert.deepEqual(manifest.files, [manifest.main])
    assert.deepEqual(manifest.os, [os])
    assert.deepEqual(manifest.cpu, [cpu])
    assert.deepEqual(manifest.libc, libc ? [libc] : undefined)
    assert.deepEqual(manifest.engines, engines)
    assert.equal(manifest.license, 'MIT')
    assert.equal(manifest.scripts, undefined)
    assert.ok(fs.existsSync(path.join(root, 'npm', name, 'README.md')))
  })
}

test('the release workflow builds every platform, for the targets of scripts/platforms.js', () => {
  const workflow = fs.readFileSync(path.join(root, '.github/workflows/release.yml'), 'utf8')
  const built = [...workflow.matchAll(/^\s+- \{ platform: ([\w-]+), .*?(?:target: ([\w-]+) )?\}$/gm)]
  assert.deepEqual(built.map(([, name]) => name).sort(), platforms.map(({ name }) => name).sort())
  for (const [, name, target] of built.filter((match) => match[2])) {
    assert.equal(target, platforms.find((platform) => platform.name === name).target)
  }
})

test('npm ci needs no package that is not published', () => {
  const lock = JSON.stringify(readJson('package-lock.json'))
  assert.equal(readJson('package.json').optionalDependencies, undefined)
  assert.ok(!lock.includes('engine.io-native-'))
})

function readJson(...parts) {
  return JSON.parse(fs.readFileSync(path.join(root, ...parts), 'utf8'))
}
