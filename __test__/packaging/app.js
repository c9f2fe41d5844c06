'use strict'

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { hostPlatform } = require('../../scripts/build')
const { pack } = require('../../scripts/pack')
const { npm, scratchFolder } = require('./scratch')

const host = hostPlatform()

let tarballs

/**
 * Installs packages into an empty folder, with the packed tarball in the place of `engine.io`.
 *
 * @param {Record<string, string>} dependencies
 * @param {Record<string, string>} files to be there, by their names
 * @returns {string} the folder
 */
function installApp(dependencies, files = {}) {
  tarballs ??= pack(scratchFolder())
  const folder = scratchFolder()
  const manifest = {
    private: true,
    dependencies: { ...dependencies, [`engine.io-native-${host}`]: `file:${tarballs.platforms[host]}` },
    overrides: { 'engine.io': `file:${tarballs.root}` },
  }
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest))
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    fs.writeFileSync(path.join(folder, name), text)
  }
  const { status, output } = npm(folder, 'install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline')
  assert.equal(status, 0, output)
  return folder
}

module.exports = { installApp }
