'use strict'

// Builds the library of any platform on Linux. Rust's standard library for it comes from rustup. What to link with comes
// from PyPI: cargo-zigbuild links with zig, which brings the C libraries of Linux and Windows. For macOS, zig exports
// every symbol and knows no minimum version, so that Rust's own LLD links with zig's description of macOS's library.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('../setup')
const { Unavailable, cache, command, fromPyPI, once } = require('./cache')

/** The code does not compile or link, although all is there that the build needs. */
class BuildFailure extends Error {}

const TOOLS = ['cargo-zigbuild==0.24.1', 'ziglang==0.17.1']

/**
 * @param {{ zigTarget: string }} platform
 * @param {string} profile 'release' or 'debug'
 * @returns {string} cargo's messages, which name the library
 * @throws {Unavailable} when something is missing that the build needs
 * @throws {BuildFailure} when cargo refuses the code
 */
function crossBuild({ zigTarget }, profile) {
  // a version of glibc may follow the target
  const target = zigTarget.split('.')[0]
  addStandardLibrary(target)
  const tools = fromPyPI('tools', TOOLS)
  const isMac = target.endsWith('-apple-darwin')
  const program = isMac ? 'cargo' : path.join(tools, 'bin/cargo-zigbuild')
  const args = [isMac ? 'build' : 'zigbuild', '--lib', '--locked', '--message-format=json-render-diagnostics']
  if (profile === 'release') args.push('--release')
  const { error, status, stdout } = spawnSync(program, [...args, '--target', zigTarget], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: Infinity,
    env: { ...process.env, ...(isMac ? macLinker(tools, target) : zigLinker(target)) },
  })
  if (error) throw new Unavailable(`${program} did not start: ${error.message}.`)
  if (status !== 0) throw new BuildFailure(`The engine did not build for ${target}: see the messages of cargo above.`)
  return stdout
}

/** The compiler and linker, and what keeps its files in the cache. */
function zig() {
  const env = { ZIG_GLOBAL_CACHE_DIR: path.join(cache, 'zig'), ZIG_LOCAL_CACHE_DIR: path.join(cache, 'zig') }
  return { zig: path.join(fromPyPI('tools', TOOLS), 'ziglang/zig'), env }
}

function zigLinker(target) {
  return {
    CARGO_ZIGBUILD_ZIG_PATH: zig().zig,
    CARGO_ZIGBUILD_CACHE_DIR: path.join(cache, 'zigbuild'),
    ...zig().env,
    ...(target.endsWith('-musl') ? dynamicMusl() : {}),
    ...(target.includes('-windows-') ? windowsLinker() : {}),
  }
}

/**
 * cargo-zigbuild drops rustc's list of what a library exports, and zig then exports every symbol. And napi-build links a
 * library of the GNU ABI with libnode, which this one does not need, as it looks the functions up when it is loaded (the
 * feature `dyn-symbols`): an empty one is enough.
 */
function windowsLinker() {
  const folder = once('windows', '1', (folder) => {
    fs.writeFileSync(path.join(folder, 'exports.def'), 'LIBRARY\nEXPORTS\n    napi_register_module_v1\n')
    fs.writeFileSync(path.join(folder, 'libnode.dll'), '')
    fs.writeFileSync(path.join(folder, 'libnode.a'), '!<arch>\n')
  })
  return { LIBNODE_PATH: folder, ...rustFlags(`-C link-arg=${path.join(folder, 'exports.def')}`) }
}

/** Node.js 20 needs macOS 11, too. */
function macLinker(tools, target) {
  const libraries = macLibraries(tools)
  return {
    MACOSX_DEPLOYMENT_TARGET: '11.0',
    // else rustc warns that there is no xcrun
    SDKROOT: libraries,
    [`CARGO_TARGET_${target.toUpperCase().replaceAll('-', '_')}_LINKER`]: 'rust-lld',
    ...rustFlags(`-C linker-flavor=ld64.lld -C link-arg=-L${libraries}`),
  }
}

/**
 * What a linker has to know of macOS's libraries. LLD does not know the newest processor in zig's description, which has
 * all symbols that the others have; libc and libm are names of the same library; of libiconv, nothing is used.
 */
function macLibraries(tools) {
  return once('macos', TOOLS.join(' '), (folder) => {
    const libSystem = fs.readFileSync(path.join(tools, 'ziglang/lib/libc/darwin/libSystem.tbd'), 'utf8')
    for (const name of ['libSystem', 'libc', 'libm']) {
      fs.writeFileSync(path.join(folder, `${name}.tbd`), libSystem.replaceAll('arm64e.x1-', 'arm64-'))
    }
    fs.writeFileSync(
      path.join(folder, 'libiconv.tbd'),
      '--- !tapi-tbd\ntbd-version: 4\ntargets: [ x86_64-macos, arm64-macos ]\n' +
        "install-name: '/usr/lib/libiconv.2.dylib'\n...\n",
    )
  })
}

/** The toolchain may have it from elsewhere, such as a distribution's packages; else rustup adds it. */
function addStandardLibrary(target) {
  const what = `Rust's standard library for ${target}`
  const sysroot = command('rustc', ['--print', 'sysroot'], what).trim()
  if (fs.existsSync(path.join(sysroot, 'lib/rustlib', target, 'lib'))) return
  command('rustup', ['target', 'add', target], what, { env: { ...process.env, RUSTUP_MAX_RETRIES: '1' } })
}

/** Rust links musl statically by default, and a static library cannot be loaded by Node.js. */
function dynamicMusl() {
  return rustFlags('-C target-feature=-crt-static')
}

function rustFlags(flags) {
  return { RUSTFLAGS: `${process.env.RUSTFLAGS ?? ''} ${flags}`.trim() }
}

module.exports = { BuildFailure, crossBuild, dynamicMusl, zig }
