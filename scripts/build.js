'use strict'

// Builds the addon and puts it beside package.json, where lib/native/load-addon.js looks first:
//
//   node scripts/build.js [--release | --debug] [--target <rust target>]
//
// Cargo decides what is up to date. Cargo and a copy are the whole build: the package's entry files are
// written by hand, so napi-rs's CLI has nothing to generate.
//
// On Linux every target of scripts/platforms.js can be named: scripts/cross/build.js says with what it is built.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { BuildFailure, crossBuild, dynamicMusl } = require('./cross/build')
const { Unavailable } = require('./cross/cache')
const { platforms } = require('./platforms')
const { checkNode, checkOptions, checkRust, fail, root } = require('./setup')

/**
 * @param {{ profile?: string, target?: string, onFailure?: (error: Error) => never }} [options] what is done when
 *   something is missing that the build of another platform needs: the program ends with a sentence
 * @returns {string} path of the addon in the package folder
 */
function build({ profile = 'release', target, onFailure = ({ message }) => fail(message) } = {}) {
  const platform = target && platformOf(target)
  const library = buildLibrary(profile, platform, onFailure)
  const addon = path.join(root, `engine.io-native.${platform ? platform.name : hostPlatform()}.node`)
  replace(library, addon)
  return addon
}

/** @returns {string} path of the library in cargo's folder */
function buildLibrary(profile, platform, onFailure) {
  if (!platform || process.platform !== 'linux') return libraryOf(cargo(profile, platform))
  try {
    return libraryOf(crossBuild(platform, profile))
  } catch (error) {
    if (error instanceof Unavailable || error instanceof BuildFailure) return onFailure(error)
    throw error
  }
}

/** @returns {string} cargo's messages */
function cargo(profile, platform) {
  const args = ['build', '--lib', '--message-format=json-render-diagnostics']
  if (profile === 'release') args.push('--release')
  if (platform) args.push('--target', platform.target)
  const { error, status, stdout } = spawnSync('cargo', args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: Infinity,
    env: { ...process.env, ...(hostPlatform().endsWith('-musl') ? dynamicMusl() : {}) },
  })
  if (error) fail(`cargo did not start: ${error.message}.`)
  if (status !== 0) fail('The engine did not build: see the messages of cargo above.')
  return stdout
}

/** The cdylib among the artifacts cargo reports. */
function libraryOf(messages) {
  for (const line of messages.split('\n')) {
    if (!line.startsWith('{')) continue
    const { reason, target, filenames } = JSON.parse(line)
    if (reason !== 'compiler-artifact' || target.name !== 'engine_io_native') continue
    const library = filenames.find((file) => /\.(so|dylib|dll)$/.test(file))
    if (library) return library
  }
  fail('cargo reported no library: Cargo.toml must have crate-type "cdylib".')
}

function platformOf(target) {
  const platform = platforms.find((candidate) => candidate.target === target)
  return platform ?? fail(`Unknown target ${target}: ${platforms.map((p) => p.target).join(', ')}.`)
}

/** The name of the platform this runs on, such as `linux-x64-gnu`. */
function hostPlatform() {
  if (process.platform === 'linux') {
    const isGlibc = Boolean(process.report.getReport().header.glibcVersionRuntime)
    return `linux-${process.arch}-${isGlibc ? 'gnu' : 'musl'}`
  }
  return process.platform === 'win32' ? `win32-${process.arch}-msvc` : `${process.platform}-${process.arch}`
}

/** By rename, because a running process may have the old file mapped. */
function replace(from, to) {
  const bytes = fs.readFileSync(from)
  if (fs.existsSync(to) && fs.readFileSync(to).equals(bytes)) return
  const temporary = `${to}.${process.pid}.tmp`
  fs.writeFileSync(temporary, bytes)
  fs.renameSync(temporary, to)
}

module.exports = { build, hostPlatform }

if (require.main === module) {
  const args = process.argv.slice(2)
  checkOptions(args, ['--release', '--debug', '--target'], 'npm run build -- [--release | --debug] [--target TRIPLE]')
  const targetAt = args.indexOf('--target')
  checkNode()
  checkRust()
  const addon = build({
    profile: args.includes('--debug') ? 'debug' : 'release',
    target: targetAt === -1 ? undefined : args[targetAt + 1],
  })
  console.log(`built ${path.relative(process.cwd(), addon)} (${(fs.statSync(addon).size / 1e6).toFixed(1)} MB)`)
}
