'use strict'

// Which release of engine.io this package mirrors, and which ones there are.

const { execFile } = require('node:child_process')
const path = require('node:path')
const { promisify } = require('node:util')

const root = path.join(__dirname, '../..')
const LIMIT_MS = 5000

/**
 * The release of engine.io that a version of this package mirrors. A patch number of three or more digits is upstream's
 * with two digits of our own behind it: 6.6.1302 is the second fix of ours on 6.6.13. See docs/UPSTREAM.md.
 */
function mirrored(version = require('../../package.json').version) {
  const [major, minor, patch] = numbers(version)
  return [major, minor, patch >= 100 ? Math.floor(patch / 100) : patch].join('.')
}

function numbers(version) {
  return version.split('-', 1)[0].split('.').map(Number)
}

/** The releases that come after one, the last one last; previews are not among them. */
function newer(versions, than) {
  const compare = (a, b) => {
    const at = numbers(a).findIndex((number, index) => number !== numbers(b)[index])
    return at === -1 ? 0 : numbers(a)[at] - numbers(b)[at]
  }
  return versions.filter((version) => /^\d+\.\d+\.\d+$/.test(version) && compare(version, than) > 0).sort(compare)
}

/** What those who develop the package have to know about the registry's list, if there is a list, and anything to know. */
function warning(versions, ours = mirrored()) {
  if (versions === undefined) return undefined
  const later = newer(versions, ours)
  if (later.length > 0) {
    return (
      `The registry has engine.io ${later.join(', ')}, and this package mirrors ${ours}. ` +
      '`npm run upstream -- VERSION` shows what changed; docs/UPSTREAM.md says what to do, and by when.'
    )
  }
  if (!versions.includes(ours)) {
    return `The registry does not have engine.io ${ours}, which this package mirrors: docs/UPSTREAM.md says what to do if it was withdrawn.`
  }
}

/** All versions that the registry has, or undefined where it cannot be asked within a few seconds. Never fails. */
async function published(limitMs = LIMIT_MS) {
  const args = ['view', 'engine.io', 'versions', '--json', '--fetch-retries=0', `--fetch-timeout=${limitMs}`]
  // npm is a .cmd file on Windows, which only a shell can start.
  const options = { cwd: root, shell: process.platform === 'win32', timeout: limitMs, killSignal: 'SIGKILL' }
  try {
    const { stdout } = await promisify(execFile)('npm', args, options)
    // One version alone is a string.
    return [].concat(JSON.parse(stdout))
  } catch {
    return undefined
  }
}

module.exports = { mirrored, newer, warning, published }
