'use strict'

// Preload file (`node -r`, or the first require of a test): every `require('engine.io')` in this process,
// also Socket.IO's, gets this package, or the original with ENGINE=upstream. In a scratch app npm's
// `overrides` does the same; see __test__/packaging.

const Module = require('node:module')
const path = require('node:path')

const { upstream } = require('../support/engine')
const original = require('../support/original')

const engine = upstream ? original.main : path.join(__dirname, '../..')
const resolve = Module._resolveFilename

Module._resolveFilename = function (request, ...rest) {
  return resolve.call(this, request === 'engine.io' ? engine : request, ...rest)
}
