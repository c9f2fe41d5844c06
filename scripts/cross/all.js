'use strict'

// Builds the library of each platform, reads it as the system's loader does, and runs it where that is possible, on Linux
// x64. The stage `platforms-all` of npm test does it for all of them.
//
//   node scripts/cross/all.js [--built] [platform]...      --built: takes the libraries that are in the package folder

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { build } = require('../build')
const { packPlatform, packRoot } = require('../pack')
const { platforms } = require('../platforms')
const { root } = require('../setup')
const { devDependencies } = require('../../package.json')
const { Unavailable, cache, command, fromPyPI } = require('./cache')
const { runThere, runtimeOf } = require('./runtimes')

/** What the loader of each system must find. The versions are the oldest that Node.js 20 itself runs on. */
const EXPECTED = {
  'linux-x64-gnu': { format: 'ELF', machine: 'X86_64', oldest: 'glibc 2.28' },
  'linux-x64-musl': { format: 'ELF', machine: 'X86_64', oldest: null },
  'linux-arm64-gnu': { format: 'ELF', machine: 'AARCH64', oldest: 'glibc 2.28' },
  'linux-arm64-musl': { format: 'ELF', machine: 'AARCH64', oldest: null },
  'darwin-x64': { format: 'Mach-O', machine: 'X86_64', type: 'DYLIB', oldest: 'macOS 11.0', signed: false },
  'darwin-arm64': { format: 'Mach-O', machine: 'ARM64', type: 'DYLIB', oldest: 'macOS 11.0', signed: true },
  'win32-x64-msvc': { format: 'PE', machine: 'AMD64', oldest: 'Windows 6.0' },
  'win32-arm64-msvc': { format: 'PE', machine: 'ARM64', oldest: 'Windows 6.0' },
}

/** Libraries that every system of the kind has. */
const SYSTEM_LIBRARIES = {
  linux: /^(lib(c|m|dl|pthread|rt)\.so(\.\d)?|ld-linux-.*)$/,
  darwin: /^\/usr\/lib\/lib(System\.B|iconv\.2)\.dylib$/,
  win32: /^(kernel32|ntdll|ws2_32|userenv|bcrypt|bcryptprimitives|advapi32|dbghelp|api-ms-win-(crt|core)-.*)\.dll$/i,
}

/** What must happen is waited for that many times longer. An emulated machine is about ten times slower. */
const SLOWDOWN = { SLOWDOWN: '12' }

/** For one program of Node.js there, a test file or the scenario. */
const PROGRAM_LIMIT_MS = 30 * 60_000

/** Files of the behaviour suite that run in one process. */
const BEHAVIOUR = ['handshake', 'polling-get', 'polling-post', 'upgrade', 'sending', 'websocket-frames']

main(process.argv.slice(2))

function main(args) {
  const wanted = args.filter((arg) => !arg.startsWith('--'))
  const chosen = platforms.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
  const rows = chosen.map((platform) => check(platform, args.includes('--built')))
  console.log(`\n${rows.join('\n')}`)
}

/** @returns {string} a row of the table */
function check(platform, isBuilt) {
  const { name, target } = platform
  const addon = path.join(root, `engine.io-native.${name}.node`)
  try {
    if (!isBuilt) build({ target, onFailure: raise })
    if (!fs.existsSync(addon)) throw new Unavailable(`${path.basename(addon)} is not there: npm run build makes it.`)
    console.log(`ok - ${name} is built`)
  } catch (error) {
    return `${name.padEnd(18)} ${skipped(`${name} is built`, error)}`
  }
  const size = `${(fs.statSync(addon).size / 1e6).toFixed(1)} MB`
  const facts = attempt(`${name} is a library for its system that exports one function`, () => read(platform, addon))
  const ran = attempt(`${name} runs`, () => run(platform, addon))
  return `${name.padEnd(18)} built, ${size}${facts}${ran}`
}

function attempt(title, step) {
  try {
    const text = step()
    console.log(`ok - ${title}`)
    return `; ${text}`
  } catch (error) {
    return `; ${skipped(title, error)}`
  }
}

/** What cannot be had is skipped; everything else is a failure. */
function skipped(title, error) {
  const isUnavailable = error instanceof Unavailable
  if (!isUnavailable) process.exitCode = 1
  console.log(isUnavailable ? `skipped - ${title}: ${error.message}` : `not ok - ${title}\n${error.message}`)
  return isUnavailable ? `not: ${error.message}` : `FAILED: ${title}`
}

function raise(error) {
  throw error
}

function read({ name, os }, addon) {
  const reader = fromPyPI('lief', ['lief==1.0.0'])
  const output = command('python3', [path.join(__dirname, 'read_library.py'), addon], 'The reader of libraries', {
    env: { ...process.env, PYTHONPATH: reader },
  })
  const facts = JSON.parse(output)
  const differences = Object.entries(EXPECTED[name])
    .filter(([key, value]) => facts[key] !== value)
    .map(([key, value]) => `${key} is ${facts[key]} instead of ${value}`)
  const foreign = facts.needs.filter((library) => !SYSTEM_LIBRARIES[os].test(library))
  if (foreign.length > 0) differences.push(`it needs ${foreign.join(', ')}, which not every system has`)
  const symbol = os === 'darwin' ? '_napi_register_module_v1' : 'napi_register_module_v1'
  const exports = [...new Set(facts.exports)]
  if (exports.join() !== symbol) differences.push(`it exports ${exports.length} symbols, ${exports.slice(0, 3)}`)
  if (differences.length > 0) throw new Error(differences.join('; '))
  return facts.oldest && os !== 'win32' ? `needs ${facts.oldest}` : 'complete'
}

function run(platform, addon) {
  const runtime = runtimeOf(platform.name)
  const app = installApp(platform, addon)
  const library = path.join(app, 'node_modules', `engine.io-native-${platform.name}`, path.basename(addon))

  const program = runtime.pathOf(path.join(root, '__test__/socketio/scenario.js'))
  const scenario = runThere(runtime, app, [program], SLOWDOWN, PROGRAM_LIMIT_MS)
  if (!/Socket\.IO on engine\.io-native@/.test(scenario.output)) throw new Error(scenario.output)
  const steps = [...scenario.output.matchAll(/^ {2}([✔✘]) (?:[^:]+): (.*?)\r?$/gm)]
  const failed = steps.filter(([, mark, step]) => mark === '✘' && !runtime.cannot?.includes(step))
  if (steps.length < 100 || failed.length > 0) {
    throw new Error(`${steps.length} steps, failed: ${failed.map((step) => step[2]).join('; ')}\n${scenario.output}`)
  }

  const processes = platform.os === 'win32' ? runCluster(platform.name, runtime, library) : ''
  let tests = 0
  for (const file of BEHAVIOUR) {
    const env = { ...SLOWDOWN, ENGINE: 'native', ENGINE_IO_NATIVE_LIBRARY_PATH: runtime.pathOf(library) }
    const { status, output } = runThere(runtime, root, [`__test__/behaviour/${file}.test.js`], env, PROGRAM_LIMIT_MS)
    const passed = /^(?:#|ℹ) pass (\d+)/m.exec(output)
    if (status !== 0 || !passed) throw new Error(`${file}.test.js ended with ${status}:\n${output}`)
    tests += Number(passed[1])
  }
  const good = steps.filter(([, mark]) => mark === '✔').length
  return `ran in ${runtime.description}: ${good} of ${steps.length} Socket.IO steps, ${tests} behaviour tests${processes}`
}

/** Runs processes that serve each other's sessions. Their clients and the balancer are here. */
function runCluster(name, { command, env, pathOf }, library) {
  const folder = path.join(cache, 'clusters', name)
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  const elsewhere = {
    command,
    env: { ...env, ENGINE_IO_NATIVE_LIBRARY_PATH: pathOf(library) },
    program: pathOf(path.join(root, '__test__/cluster/elsewhere-member.js')),
    directory: pathOf(path.join(folder, 'directory')),
    folder,
  }
  const { status, stdout } = spawnSync(process.execPath, ['__test__/cluster/elsewhere.js'], {
    cwd: root,
    env: { ...process.env, ...SLOWDOWN, ELSEWHERE: JSON.stringify(elsewhere) },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    timeout: PROGRAM_LIMIT_MS,
  })
  const passed = /^(?:#|ℹ) pass (\d+)/m.exec(stdout)
  if (status !== 0 || !passed) throw new Error(`elsewhere.js ended with ${status}:\n${stdout}`)
  return `, ${passed[1]} tests with several processes`
}

/** An app that npm has installed from the tarballs, for the platform. */
function installApp(platform, addon) {
  const folder = path.join(cache, 'apps', platform.name)
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  const manifest = {
    private: true,
    dependencies: {
      'socket.io': devDependencies['socket.io'],
      'socket.io-client': devDependencies['socket.io-client'],
    },
    // npm installs a package for another platform only where it is optional
    optionalDependencies: {
      [`engine.io-native-${platform.name}`]: `file:${packPlatform(platform.name, addon, folder)}`,
    },
    overrides: { 'engine.io': `file:${packRoot(folder)}` },
  }
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest))
  const { os, cpu, libc } = platform
  const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', `--os=${os}`]
  command('npm', [...install, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc}`] : [])], 'Socket.IO', { cwd: folder })
  const installed = path.join(folder, 'node_modules', `engine.io-native-${platform.name}`)
  if (!fs.existsSync(installed)) throw new Error('npm did not install the package of the platform')
  return folder
}
