'use strict'

// lib/native/load-addon.js in a package folder of its own, with and without something to load.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { hostPlatform } = require('../../scripts/build')
const { platforms } = require('../../scripts/platforms')
const { scratchFolder } = require('./scratch')

const root = path.join(__dirname, '../..')
const { version } = require('../../package.json')
const host = hostPlatform()

test('a missing library is an error that names the platform, the package and the fix', () => {
  const { error } = load(packageFolder())
  assert.equal(error.code, 'ERR_ENGINE_IO_NATIVE_NOT_FOUND')
  assert.equal(error.cause, 'MODULE_NOT_FOUND')
  for (const part of [
    `platform ${process.platform}`,
    `arch ${process.arch}`,
    ...(process.platform === 'linux' ? [host.endsWith('musl') ? 'libc musl' : 'libc glibc'] : []),
    `"engine.io-native-${host}"`,
    `npm install --save-optional engine.io-native-${host}@${version}`,
    'npm run build',
    'package-lock.json',
    'ENGINE_IO_NATIVE_LIBRARY_PATH',
  ]) {
    assert.ok(error.message.includes(part), `"${part}" is in:\n${error.message}`)
  }
})

test('the platform package is loaded', () => {
  const folder = packageFolder()
  installPlatformPackage(folder, version)
  assert.deepEqual(load(folder), { loaded: { name: 'platform package' } })
})

test('a platform package of another version is refused', () => {
  const folder = packageFolder()
  installPlatformPackage(folder, '6.6.11')
  const { error } = load(folder)
  assert.equal(error.code, 'ERR_ENGINE_IO_NATIVE_VERSION_MISMATCH')
  assert.match(error.message, /@6\.6\.11/)
})

test('a build in the package folder goes before the platform package, and a broken one is named', () => {
  const folder = packageFolder()
  installPlatformPackage(folder, version)
  const local = path.join(folder, `engine.io-native.${host}.node`)
  fs.writeFileSync(local, 'not a library')
  const { error } = load(folder)
  assert.equal(error.code, 'ERR_ENGINE_IO_NATIVE_LOAD_FAILED')
  assert.ok(error.message.includes(fs.realpathSync(local)))
  assert.equal(error.cause, 'ERR_DLOPEN_FAILED')
})

test('ENGINE_IO_NATIVE_LIBRARY_PATH goes before everything', () => {
  const folder = packageFolder()
  fs.writeFileSync(path.join(folder, 'other.js'), libraryNamed('the other one'))
  const env = { ENGINE_IO_NATIVE_LIBRARY_PATH: 'other.js' }
  assert.deepEqual(load(folder, { env }), { loaded: { name: 'the other one' } })
})

for (const [what, file, content] of [
  ['JSON', 'package.json', undefined],
  ['null', 'null.json', 'null'],
  ['another addon', 'another.js', 'exports.Engine = {}; exports.hash = () => {}'],
]) {
  test(`ENGINE_IO_NATIVE_LIBRARY_PATH that has ${what} is refused with its path`, () => {
    const folder = packageFolder()
    if (content !== undefined) fs.writeFileSync(path.join(folder, file), content)
    const { error } = load(folder, { env: { ENGINE_IO_NATIVE_LIBRARY_PATH: file } })
    assert.equal(error.code, 'ERR_ENGINE_IO_NATIVE_LOAD_FAILED')
    for (const part of [
      `could not load ${path.join(fs.realpathSync(folder), file)} (ENGINE_IO_NATIVE_LIBRARY_PATH)`,
      'expected the library of engine.io-native',
    ]) {
      assert.ok(error.message.includes(part), `"${part}" is in:\n${error.message}`)
    }
  })
}

test('a platform package that does not load is named once', () => {
  for (const library of ["throw new Error('broken')", '']) {
    const folder = packageFolder()
    installPlatformPackage(folder, version, library)
    const { error } = load(folder)
    assert.equal(error.code, 'ERR_ENGINE_IO_NATIVE_LOAD_FAILED')
    assert.equal(error.message.split(`engine.io-native-${host}`).length, 2, error.message)
  }
})

test('ENGINE_IO_NATIVE_LIBRARY_PATH that does not exist is named', () => {
  const { error } = load(packageFolder(), { env: { ENGINE_IO_NATIVE_LIBRARY_PATH: '/nowhere/at-all.node' } })
  assert.equal(error.code, 'ERR_ENGINE_IO_NATIVE_NOT_FOUND')
  assert.match(error.message, /\/nowhere\/at-all\.node.*ENGINE_IO_NATIVE_LIBRARY_PATH/)
})

for (const { name, os, cpu, libc } of platforms) {
  test(`${name} is looked for on ${os} ${cpu}${libc ? ` with ${libc}` : ''}`, () => {
    const { error } = load(packageFolder(), { preload: pretend({ os, cpu, libc }) })
    assert.match(error.message, new RegExp(`"engine\\.io-native-${name}"`))
    assert.match(error.message, new RegExp(`npm install --save-optional engine\\.io-native-${name}@`))
  })
}

test('a platform without a package is told to build', () => {
  const { error } = load(packageFolder(), { preload: pretend({ os: 'freebsd', cpu: 'x64' }) })
  assert.equal(error.code, 'ERR_ENGINE_IO_NATIVE_NOT_FOUND')
  assert.match(error.message, /No package is published for this platform/)
  assert.ok(!error.message.includes('npm install'))
})

test('the C library is found without looking up network names', () => {
  const preload = `${pretend({ os: 'linux', cpu: 'x64', libc: 'musl' })}
    const { getReport } = process.report
    process.report.getReport = () => {
      if (!process.report.excludeNetwork) throw new Error('with network')
      return getReport()
    }
    process.on('exit', () => {
      if (process.report.excludeNetwork) console.error('excludeNetwork was not restored')
    })`
  const { error, stderr } = load(packageFolder(), { preload })
  assert.match(error.message, /libc musl/)
  assert.equal(stderr, undefined)
})

test('without a report, ldd tells the C library', { skip: process.platform !== 'linux' && 'Linux only' }, () => {
  const preload = "process.report.getReport = () => { throw new Error('no report') }"
  const { error } = load(packageFolder(), { preload })
  assert.ok(error.message.includes(host))
})

/** A folder with just the loader and its manifest. */
function packageFolder() {
  const folder = scratchFolder()
  fs.mkdirSync(path.join(folder, 'lib/native'), { recursive: true })
  fs.copyFileSync(path.join(root, 'lib/native/load-addon.js'), path.join(folder, 'lib/native/load-addon.js'))
  fs.copyFileSync(path.join(root, 'package.json'), path.join(folder, 'package.json'))
  return folder
}

/** A platform package whose "library" is a script, which `require` loads as well. */
function installPlatformPackage(folder, version, library = libraryNamed('platform package')) {
  const name = `engine.io-native-${host}`
  const target = path.join(folder, 'node_modules', name)
  fs.mkdirSync(target, { recursive: true })
  fs.writeFileSync(path.join(target, 'package.json'), JSON.stringify({ name, version, main: 'library.js' }))
  fs.writeFileSync(path.join(target, 'library.js'), library)
}

/** A script that exports what our library does. */
function libraryNamed(name) {
  return `module.exports = { name: '${name}', Engine: class {}, callInNoContext() {} }`
}

/** Loads lib/native/load-addon.js in a process of its own and tells what came of it. */
test('a process that must not load addons gets an error that says so', () => {
  const folder = packageFolder()
  installPlatformPackage(folder, version)
  const local = path.join(folder, `engine.io-native.${host}.node`)
  fs.writeFileSync(local, 'never read')
  const { error } = load(folder, { flags: ['--no-addons'] })
  assert.equal(error.code, 'ERR_ENGINE_IO_NATIVE_ADDONS_DISABLED')
  assert.equal(error.cause, 'ERR_DLOPEN_DISABLED')
  for (const part of [fs.realpathSync(local), '--no-addons', '--permission', '--allow-addons']) {
    assert.ok(error.message.includes(part), `"${part}" is in:\n${error.message}`)
  }
})

/** What switches the permission model on in this version of Node.js, if it has one. */
const permission = ['--permission', '--experimental-permission'].find((flag) =>
  process.allowedNodeEnvironmentFlags.has(flag),
)
const needsPermission = { skip: permission === undefined && 'this version of Node.js has no permission model' }

test('under the permission model the engine asks for --allow-addons', needsPermission, () => {
  const { error } = load(root, { flags: [permission, `--allow-fs-read=${root}${path.sep}`] })
  assert.equal(error.code, 'ERR_ENGINE_IO_NATIVE_ADDONS_DISABLED')
})

test(
  'under the permission model, with --allow-addons and its own folder to read, the engine serves',
  needsPermission,
  () => {
    const flags = [permission, '--allow-addons', `--allow-fs-read=${root}${path.sep}`]
    if (process.allowedNodeEnvironmentFlags.has('--allow-net')) flags.push('--allow-net')
    const program = `
    const server = require('http').createServer()
    const engine = require('.').attach(server)
    server.listen(0, '127.0.0.1', async () => {
      const url = 'http://127.0.0.1:' + server.address().port + '/engine.io/?EIO=4&transport=polling'
      console.log((await (await fetch(url)).text())[0])
      process.exit()
    })`
    const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, '-e', program], {
      cwd: root,
      encoding: 'utf8',
    })
    assert.deepEqual([status, stdout], [0, '0\n'], stderr)
  },
)

function load(folder, { env, preload = '', flags = [] } = {}) {
  const program = `${preload}
    let result
    try {
      result = { loaded: require('./lib/native/load-addon.js') }
    } catch ({ code, message, cause }) {
      result = { error: { code, message, cause: cause && cause.code } }
    }
    console.log(JSON.stringify(result))`
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, '-e', program], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  return { ...JSON.parse(stdout), ...(stderr && flags.length === 0 && { stderr }) }
}

function pretend({ os, cpu, libc }) {
  const header = libc === 'glibc' ? { glibcVersionRuntime: '2.36' } : {}
  const sharedObjects = libc === 'musl' ? ['/lib/ld-musl-x86_64.so.1'] : []
  return `
    Object.defineProperty(process, 'platform', { value: '${os}' })
    Object.defineProperty(process, 'arch', { value: '${cpu}' })
    process.report.getReport = () => (${JSON.stringify({ header, sharedObjects })})`
}
