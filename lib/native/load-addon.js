'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { version } = require('../../package.json')

const NAME = 'engine.io-native'

/** Platforms with a published package; anywhere else the library must be built from source. */
const PREBUILT = [
  'linux-x64-gnu',
  'linux-x64-musl',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'win32-x64-msvc',
  'win32-arm64-msvc',
]

module.exports = load()

/**
 * Loads the Rust addon: the file named by `ENGINE_IO_NATIVE_LIBRARY_PATH`, else the one built in this
 * checkout, else the one of the installed platform package.
 *
 * @throws {Error} `ERR_ENGINE_IO_NATIVE_NOT_FOUND` when there is none, `ERR_ENGINE_IO_NATIVE_LOAD_FAILED`
 * when there is one that this process cannot load, `ERR_ENGINE_IO_NATIVE_ADDONS_DISABLED` when it must not load any; all
 * with the underlying error as `cause`
 */
function load() {
  const override = process.env.ENGINE_IO_NATIVE_LIBRARY_PATH
  if (override) return open(path.resolve(override), 'ENGINE_IO_NATIVE_LIBRARY_PATH')

  const libc = process.platform === 'linux' ? detectLibc() : undefined
  const triple = platformTriple(process.platform, process.arch, libc)
  const local = path.join(__dirname, '../..', `${NAME}.${triple}.node`)
  if (fs.existsSync(local)) return open(local, 'the build in the package folder')

  const packageName = `${NAME}-${triple}`
  let manifest
  try {
    manifest = require.resolve(`${packageName}/package.json`)
  } catch (cause) {
    throw notFound(triple, libc, cause)
  }
  const installed = require(manifest)
  if (installed.version !== version) {
    throw failure(
      'ERR_ENGINE_IO_NATIVE_VERSION_MISMATCH',
      `${NAME}@${version} found ${packageName}@${installed.version} (${path.dirname(manifest)}). ` +
        `Both must have the same version: npm install ${packageName}@${version}`,
    )
  }
  return open(path.join(path.dirname(manifest), installed.main), packageName)
}

function open(file, origin) {
  try {
    return require(file)
  } catch (cause) {
    if (cause.code === 'ERR_DLOPEN_DISABLED')
      throw failure('ERR_ENGINE_IO_NATIVE_ADDONS_DISABLED', disabledMessage(file), cause)
    const missing = !fs.existsSync(file)
    throw failure(
      missing ? 'ERR_ENGINE_IO_NATIVE_NOT_FOUND' : 'ERR_ENGINE_IO_NATIVE_LOAD_FAILED',
      `${NAME} ${missing ? 'found no file' : 'could not load'} ${file} (${origin}) on ${describe()}: ${cause.message}`,
      cause,
    )
  }
}

function disabledMessage(file) {
  return [
    `${NAME} could not load ${file}: this process must not load native addons (Node.js ${process.version}).`,
    'Node.js was started with --no-addons, or with its permission model (--permission or --experimental-permission) and without',
    '--allow-addons. To fix it: leave --no-addons out, or add --allow-addons. Native addons are not bound by the permission model.',
  ].join('\n')
}

/**
 * The suffix of the platform's package and file, in napi-rs's naming: `linux-x64-gnu`, `win32-x64-msvc`,
 * `darwin-arm64`.
 */
function platformTriple(platform, arch, libc) {
  if (platform === 'linux') return `linux-${arch}-${libc === 'musl' ? 'musl' : 'gnu'}`
  if (platform === 'win32') return `win32-${arch}-msvc`
  return `${platform}-${arch}`
}

/**
 * The C library this process runs on. The process report knows, but by default it also looks up the names
 * of all open sockets' peers, which can take seconds: where Node cannot leave that out (before 20.13), the
 * text of `ldd` is asked first.
 *
 * @returns {'glibc' | 'musl'}
 */
function detectLibc() {
  const sources = 'excludeNetwork' in process.report ? [libcOfReport, libcOfLdd] : [libcOfLdd, libcOfReport]
  return sources[0]() || sources[1]() || 'glibc'
}

function libcOfReport() {
  const { excludeNetwork } = process.report
  try {
    process.report.excludeNetwork = true
    const { header, sharedObjects } = process.report.getReport()
    if (header.glibcVersionRuntime) return 'glibc'
    if (sharedObjects.some((file) => /\/(ld-musl-|libc\.musl-)/.test(file))) return 'musl'
  } catch {
    // The report is switched off by a permission model or a policy: the caller asks its next source.
  } finally {
    if (excludeNetwork !== undefined) process.report.excludeNetwork = excludeNetwork
  }
}

function libcOfLdd() {
  try {
    const text = fs.readFileSync('/usr/bin/ldd', 'utf8')
    if (text.includes('musl')) return 'musl'
    if (text.includes('GNU C Library')) return 'glibc'
  } catch {
    // A distroless image has no ldd: the caller asks its next source.
  }
}

function notFound(triple, libc, cause) {
  const packageName = `${NAME}-${triple}`
  const fix = PREBUILT.includes(triple)
    ? [
        `To fix it: npm install ${packageName}@${version}, or \`npm run build\` in a checkout of ${NAME}.`,
        'If the package is in the lock file but not in node_modules: npm leaves optional dependencies out when the',
        'lock file was made on another platform (https://github.com/npm/cli/issues/4828) or with --omit=optional;',
        'delete node_modules and package-lock.json and install again.',
      ]
    : [
        'No package is published for this platform. To fix it: `npm run build` in a checkout (needs Rust), then set',
        'ENGINE_IO_NATIVE_LIBRARY_PATH to the .node file.',
      ]
  return failure(
    'ERR_ENGINE_IO_NATIVE_NOT_FOUND',
    [
      `${NAME} found no native library for ${describe(libc)}.`,
      `It looked for the package "${packageName}", an optional dependency of ${NAME}.`,
      ...fix,
    ].join('\n'),
    cause,
  )
}

function describe(libc = process.platform === 'linux' ? detectLibc() : undefined) {
  const c = libc ? `, libc ${libc}` : ''
  return `platform ${process.platform}, arch ${process.arch}${c} (Node.js ${process.version})`
}

function failure(code, message, cause) {
  return Object.assign(new Error(message, { cause }), { code })
}
