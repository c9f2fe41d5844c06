'use strict'

// The scripts of the checkout refuse what they do not know, before they do anything.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { test } = require('node:test')

const root = path.join(__dirname, '../..')

for (const [script, args, told] of [
  [
    'test.js',
    ['--help'],
    /Expected --upstream, got --help\. Usage: npm test -- \[--upstream\] .*lint, rust, .*, bench/,
  ],
  ['test.js', ['lint', '-h'], /Expected --upstream, got -h\./],
  ['test.js', ['nope'], /No stage is called nope: there are lint, /],
  ['pack.js', ['--nope'], /Expected --all, got --nope\. Usage: npm run pack -- \[folder\] \[--all\]/],
  ['pack.js', ['folder', '--al'], /Expected --all, got --al\./],
  ['build.js', ['--relase'], /Expected --release or --debug or --target, got --relase\. Usage: npm run build/],
]) {
  test(`scripts/${script} refuses ${args.join(' ')}, and tells what there is`, () => {
    // without a PATH nothing could be built or packed
    const env = { ...process.env, PATH: '' }
    const { status, stdout, stderr } = spawnSync(process.execPath, [`scripts/${script}`, ...args], {
      cwd: root,
      encoding: 'utf8',
      env,
    })
    assert.match(stderr, told)
    assert.deepEqual([status, stdout], [1, ''])
  })
}
