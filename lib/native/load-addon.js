'use strict'

const fs = require('node:fs')
const { createRequire } = require('node:module')
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

/** Where the library of a platform package comes from, in errors. */
const INSTALLED = 'the installed package of this platform'

module.exports = load()

/**
 * Loads the Rust addon: the file named by `ENGINE_IO_NATIVE_LIBRARY_PATH`, else the one built in this
 * checkout, else the one of the installed platform package.
 *
 * @throws {Error} `ERR_ENGINE_IO_NATIVE_NOT_FOUND` when there is none, `ERR_ENGINE_IO_NATIVE_LOAD_FAILED` when there is
 *   one that this process cannot load, `ERR_ENGINE_IO_NATIVE_ADDONS_DISABLED` when it must not load any; all with the
 *   underlying error as `cause`
 */
function load() {
  const override = process.env.ENGINE_IO_NATIVE_LIBRARY_PATH
  if (override) return open(path.resolve(override), 'ENGINE_IO_NATIVE_LIBRARY_PATH')

  const libc = process.platform === 'linux' ? detectLibc() : undefined
  const triple = platformTriple(process.platform, process.arch, libc)
  const file = `${NAME}.${triple}.node`
  // a bundle has it beside itself, if anybody has put it there
  for (const folder of typeof __dirname === 'string' ? [path.join(__dirname, '../..'), __dirname] : []) {
    const local = path.join(folder, file)
    if (fs.existsSync(local)) return open(local, 'the build in the package folder')
  }
  return openPackage(triple, libc)
}

/** Loads the library of the installed platform package. */
function openPackage(triple, libc) {
  const packageName = `${NAME}-${triple}`
  const installed = manifestOf(triple)
  if (installed instanceof Error) throw notFound(triple, libc, installed)
  if (installed.version !== version) {
    throw failure(
      'ERR_ENGINE_IO_NATIVE_VERSION_MISMATCH',
      `${NAME}@${version} found ${packageName}@${installed.version}. ` +
        `Both must have the same version: install again, or npm install --save-optional ${packageName}@${version}`,
    )
  }
  return checked(libraryOf(triple, packageName), packageName, INSTALLED)
}

function open(file, origin) {
  let library
  try {
    // bundlers do not follow this: the file is where it says when the program runs
    library = createRequire(file)(file)
  } catch (cause) {
    throw unloadable(cause, file, origin)
  }
  return checked(library, file, origin)
}

/** The library, if it is ours: any other file that Node.js can load is a mistake in its path. */
function checked(library, file, origin) {
  if (typeof library?.Engine === 'function' && typeof library.callInNoContext === 'function') return library
  throw unloadable(new Error(`expected the library of ${NAME}, got a file that exports something else`), file, origin)
}

/** An error that says what could not be loaded, where that came from, and on what platform. */
function unloadable(cause, file, origin) {
  if (cause.code === 'ERR_DLOPEN_DISABLED') {
    return failure('ERR_ENGINE_IO_NATIVE_ADDONS_DISABLED', disabledMessage(file), cause)
  }
  const isMissing = cause.code === 'MODULE_NOT_FOUND'
  return failure(
    isMissing ? 'ERR_ENGINE_IO_NATIVE_NOT_FOUND' : 'ERR_ENGINE_IO_NATIVE_LOAD_FAILED',
    `${NAME} ${isMissing ? 'found no file' : 'could not load'} ${file} (${origin}) on ${describe()}: ${cause.message}`,
    cause,
  )
}

// Tools that trace or bundle a program find what is required by a literal name, and pass over what is not installed if
// it is required within a `try` of the same function.

/** The package.json of a platform's package; an error if that is not installed. */
function manifestOf(triple) {
  try {
    switch (triple) {
      case 'linux-x64-gnu':
        return require('engine.io-native-linux-x64-gnu/package.json')
      case 'linux-x64-musl':
        return require('engine.io-native-linux-x64-musl/package.json')
      case 'linux-arm64-gnu':
        return require('engine.io-native-linux-arm64-gnu/package.json')
      case 'linux-arm64-musl':
        return require('engine.io-native-linux-arm64-musl/package.json')
      case 'darwin-x64':
        return require('engine.io-native-darwin-x64/package.json')
      case 'darwin-arm64':
        return require('engine.io-native-darwin-arm64/package.json')
      case 'win32-x64-msvc':
        return require('engine.io-native-win32-x64-msvc/package.json')
      case 'win32-arm64-msvc':
        return require('engine.io-native-win32-arm64-msvc/package.json')
      default:
        return new Error(`no package is published for ${triple}`)
    }
  } catch (cause) {
    return cause
  }
}

/** The library in a platform's package, which is installed. */
function libraryOf(triple, packageName) {
  try {
    switch (triple) {
      case 'linux-x64-gnu':
        return require('engine.io-native-linux-x64-gnu')
      case 'linux-x64-musl':
        return require('engine.io-native-linux-x64-musl')
      case 'linux-arm64-gnu':
        return require('engine.io-native-linux-arm64-gnu')
      case 'linux-arm64-musl':
        return require('engine.io-native-linux-arm64-musl')
      case 'darwin-x64':
        return require('engine.io-native-darwin-x64')
      case 'darwin-arm64':
        return require('engine.io-native-darwin-arm64')
      case 'win32-x64-msvc':
        return require('engine.io-native-win32-x64-msvc')
      case 'win32-arm64-msvc':
        return require('engine.io-native-win32-arm64-msvc')
    }
  } catch (cause) {
    throw unloadable(cause, packageName, INSTALLED)
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
    const { header, sharedObjects } = /** @type {any} */ (process.report.getReport())
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
        'To fix it: install again on this platform, without --omit=optional. Old versions of npm still leave the package out',
        'if the lock file was made on another platform (https://github.com/npm/cli/issues/4828): then delete node_modules and',
        `package-lock.json first, or run npm install --save-optional ${packageName}@${version}.`,
        `Another way is \`npm run build\` in a checkout of ${NAME}.`,
        'If a bundler or a file tracer made this program: copy the .node file of that package beside the bundle, or set',
        `ENGINE_IO_NATIVE_LIBRARY_PATH to it (docs/MIGRATING.md in node_modules/engine.io, "Deploying").`,
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
