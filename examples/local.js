'use strict'

// In a clone the examples run on the package of the clone: `engine.io` is what is installed under that name in a project
// that has adopted it. Copies of an example do not need this.

const Module = require('node:module')

const { _resolveFilename: resolve } = Module
Module._resolveFilename = function resolveFilename(request, ...rest) {
  return request === 'engine.io' ? require.resolve('..') : resolve.call(this, request, ...rest)
}
