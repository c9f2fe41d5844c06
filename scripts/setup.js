'use strict'

// Everything `npm start` and `npm test` need before they can do their work. Runs on a fresh clone, so it
// uses nothing but Node. Each missing tool is one sentence: what, why, how to get it.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')

/** Ends the program with one sentence instead of a stack trace. */
function fail(sentence) {
  console.error(`\n✘ ${sentence}\n`)
  process.exit(1)
}

/** Ends the program if there is an option that is not one of `known`, and tells what there is. */
function checkOptions(args, known, usage) {
  const unknown = args.find((arg) => arg.startsWith('-') && !known.includes(arg))
  if (unknown !== undefined) fail(`Expected ${known.join(' or ')}, got ${unknown}. Usage: ${usage}`)
}

function step(text) {
  console.log(`\n▸ ${text}`)
}

/** Runs a command in the repo with its output shown; ends this program when it fails. */
function run(command, args, { env, ...options } = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    // npm is a .cmd file on Windows, which only a shell can start.
    shell: process.platform === 'win32' && command === 'npm',
    env: { ...process.env, ...env },
    ...options,
  })
  if (result.error) fail(`${command} did not start: ${result.error.message}.`)
  if (result.status !== 0) fail(`\`${command} ${args.join(' ')}\` failed (${result.signal ?? result.status}).`)
  return result
}

function outputOf(command, args) {
  const { error, status, stdout } = spawnSync(command, args, { encoding: 'utf8' })
  return error || status !== 0 ? undefined : stdout.trim()
}

function checkNode() {
  const [major] = process.versions.node.split('.').map(Number)
  if (major < 20) {
    fail(`Node.js 20 or newer is needed, this is ${process.version}: get it from https://nodejs.org.`)
  }
}

function checkRust() {
  const wanted = /^rust-version = "(.+)"/m.exec(fs.readFileSync(path.join(root, 'Cargo.toml'), 'utf8'))[1]
  const howTo = 'get it from https://rustup.rs'
  const found = /\d+\.\d+/.exec(outputOf('cargo', ['--version']) ?? '')?.[0]
  if (!found) {
    fail(`Rust (cargo ${wanted} or newer) is needed to build the engine and is not on the PATH: ${howTo}.`)
  }
  const [major, minor] = found.split('.').map(Number)
  const [wantedMajor, wantedMinor] = wanted.split('.').map(Number)
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    fail(`Rust ${wanted} or newer is needed to build the engine, cargo here is ${found}: rustup update, or ${howTo}.`)
  }
  if (process.platform !== 'win32' && !outputOf('cc', ['--version'])) {
    fail(
      'A C linker (cc) is needed by Rust to link the engine and is not on the PATH: ' +
        (process.platform === 'darwin'
          ? 'xcode-select --install.'
          : 'install gcc (Debian: apt-get install build-essential).'),
    )
  }
}

/** `npm ci`, unless node_modules is already what package-lock.json says. */
function installPackages() {
  const installed = modified(path.join(root, 'node_modules/.package-lock.json'))
  if (installed >= modified(path.join(root, 'package-lock.json'))) return
  step('npm ci')
  run('npm', ['ci', '--loglevel=error'])
}

function modified(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/**
 * The Chromium for the end-to-end tests, installed with apt-get where that is possible.
 *
 * @returns {string} path of the executable
 */
function findChromium() {
  const chromium = installedChromium()
  if (chromium) return chromium
  const isRoot = process.getuid?.() === 0
  if (isRoot && fs.existsSync('/etc/debian_version') && outputOf('apt-get', ['--version'])) {
    step('apt-get install chromium (for the end-to-end tests)')
    const env = { DEBIAN_FRONTEND: 'noninteractive' }
    run('apt-get', ['update', '-qq'], { env })
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const installed = installedChromium()
    if (installed) return installed
  }
  fail(
    'Chromium or Chrome is needed for the end-to-end tests and was not found: install it ' +
      '(Debian: apt-get install chromium) or set CHROMIUM to its executable.',
  )
}

function installedChromium() {
  if (process.env.CHROMIUM) {
    if (!fs.existsSync(process.env.CHROMIUM)) {
      fail(`CHROMIUM is set to ${process.env.CHROMIUM}, which does not exist: set it to Chromium's executable.`)
    }
    return process.env.CHROMIUM
  }
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean)
  const candidates = folders.flatMap((folder) =>
    names.map((name) => path.join(folder, process.platform === 'win32' ? `${name}.exe` : name)),
  )
  candidates.push(
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  )
  return candidates.find((file) => fs.existsSync(file))
}

module.exports = { root, fail, step, run, checkNode, checkOptions, checkRust, installPackages, findChromium }
