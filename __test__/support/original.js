'use strict'

// Which engine.io is the original, the oracle of the tests: the dev dependency, or the package in the folder that the
// environment variable UPSTREAM_PACKAGE names (`npm run upstream` sets it). It is read here alone.

const path = require('node:path')
const { pathToFileURL } = require('node:url')

const folder = path.resolve(process.env.UPSTREAM_PACKAGE || path.join(__dirname, '../../node_modules/engine.io'))
const manifest = require(path.join(folder, 'package.json'))

module.exports = {
  folder,
  version: manifest.version,
  /** The files that `require`, `import` and the compiler find. */
  main: require.resolve(folder),
  module: pathToFileURL(path.join(folder, manifest.exports.import)).href,
  types: path.join(folder, manifest.types),
}
