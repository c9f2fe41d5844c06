'use strict'

// What is fetched for other platforms: packages of PyPI, npm and Debian, unpacked into target/cross by the tools that
// are configured on this machine. Nothing is installed outside that folder.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('../setup')

const cache = path.join(root, 'target/cross')

/** Something cannot be had on this machine. The message is the sentence that says what and why. */
class Unavailable extends Error {}

/**
 * A folder of the cache, filled once: again only when the key changes. An attempt that fails leaves nothing behind.
 *
 * @param {string} name
 * @param {string} key what the content is made of, such as names with versions
 * @param {(folder: string) => void} fill
 * @returns {string} the folder
 */
function once(name, key, fill) {
  const folder = path.join(cache, name)
  const stamp = path.join(folder, '.made-of')
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === key) return folder
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  try {
    fill(folder)
  } catch (error) {
    fs.rmSync(folder, { recursive: true, force: true })
    throw error
  }
  fs.writeFileSync(stamp, key)
  return folder
}

/** Packages of PyPI, ready to run here. */
function fromPyPI(name, packages) {
  return once(name, packages.join(' '), (folder) =>
    pip(['install', '--no-compile', '--no-deps', '--target', folder, ...packages], packages),
  )
}

function pip(args, packages) {
  command('python3', ['-m', 'pip', ...args, '--quiet', '--only-binary', ':all:'], `PyPI's ${packages.join(' and ')}`)
}

/** Runs a program that fetches something; throws `Unavailable` with the last line it wrote if it fails. */
function command(file, args, what, options = {}) {
  const { error, status, stdout, stderr } = spawnSync(file, args, {
    encoding: 'utf8',
    maxBuffer: Infinity,
    timeout: 10 * 60_000,
    ...options,
  })
  if (error) throw new Unavailable(`${what} cannot be had: ${file} did not start (${error.message}).`)
  if (status !== 0) {
    const reason = `${stdout}\n${stderr}`.trim().split('\n').pop()
    throw new Unavailable(`${what} cannot be had: ${file} says "${reason}".`)
  }
  return stdout
}

module.exports = { Unavailable, cache, command, fromPyPI, once }
