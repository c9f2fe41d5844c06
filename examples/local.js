'use strict'

// In a clone the examples run on the package of the clone: `engine.io` is what is installed under that name in a project
// that has adopted it. Copies of an example do not need this.

const Module = require('node:module')

const { _resolveFilename: resolve } = Module
Module._resolveFilename = function resolveFilename(request, ...rest) {
  if (request === 'engine.io') return require.resolve('..')
  if (request === 'engine.io/cluster') return require.resolve('../lib/cluster-engine')
  if (request === 'engine.io/metrics') return require.resolve('../lib/metrics')
  return resolve.call(this, request, ...rest)
}
