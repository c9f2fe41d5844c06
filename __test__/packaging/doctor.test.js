'use strict'

// `npx engine.io-native doctor`, in projects whose trees of packages are made by hand, and in one that npm has installed.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { hostPlatform } = require('../../scripts/build')
const { pack } = require('../../scripts/pack')
const { main } = require('../../lib/cli/doctor')
const { version, devDependencies } = require('../../package.json')
const { startRegistry } = require('./registry')
const { npm, npmCli, plainEnvironment, scratchFolder } = require('./scratch')

const root = path.join(__dirname, '../..')

/** Runs the doctor, and gives its exit code and its lines by their first word. */
function doctor(...args) {
  const printed = []
  const code = main(['doctor', ...args], (line) => printed.push(line))
  const lines = Object.fromEntries(printed.map((line) => [line.split(/\s/, 1)[0], line]))
  return { code, printed, lines }
}

/** Writes files, whose contents are text or become JSON, below a folder. */
function write(folder, files) {
  for (const [file, content] of Object.entries(files)) {
    const at = path.join(folder, file)
    fs.mkdirSync(path.dirname(at), { recursive: true })
    fs.writeFileSync(at, typeof content === 'string' ? content : JSON.stringify(content, null, 2) + '\n')
  }
  return folder
}

const original = { name: 'engine.io', version: '6.6.13' }
const socketIo = { name: 'socket.io', version: '4.8.4', dependencies: { 'engine.io': '~6.6.0' } }

/** A package that loads, or throws, in place of ours. */
const ours = (at, program = 'exports.fine = true') => ({
  [`${at}/package.json`]: { name: 'engine.io-native', version, main: 'index.js' },
  [`${at}/index.js`]: program,
})

const project = (manifest, files) =>
  write(scratchFolder(), { 'package.json': { name: 'app', version: '1.0.0', ...manifest }, ...files })

const readManifest = (folder) => JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))

test('a project without anything installed is told to install', () => {
  const { code, lines } = doctor(project({}, {}))
  assert.equal(code, 1)
  assert.match(lines.engine, /no installed package asks for engine\.io/)
  assert.match(lines.back, /nothing to do: nothing replaces the original, and neither is installed$/)
})

test('a project that is switched before it is installed is told how to go back', () => {
  const { code, lines } = doctor(project({ overrides: { 'engine.io': 'npm:engine.io-native@6.6.x' } }, {}))
  assert.equal(code, 1)
  assert.match(lines.switch, /run `npm install`$/)
  assert.match(lines.back, /doctor --undo`, then `npm install`$/)
})

test('a package that finds no engine.io is told, and not taken for a user of the original', () => {
  const { code, lines } = doctor(project({}, { 'node_modules/socket.io/package.json': socketIo }))
  assert.equal(code, 1)
  assert.match(lines.engine, /socket\.io 4\.8\.4 \(node_modules\/socket\.io\) finds no engine\.io$/)
  assert.match(lines.back, /neither is installed$/)
})

test('a project with the original is told how to switch', () => {
  const folder = project(
    { dependencies: { 'socket.io': '4.8.4' } },
    { 'node_modules/socket.io/package.json': socketIo, 'node_modules/engine.io/package.json': original },
  )
  const { code, printed, lines } = doctor(folder)
  assert.equal(code, 1)
  assert.equal(printed.length, 5)
  assert.match(lines.engine, /socket\.io 4\.8\.4 \(node_modules\/socket\.io\) loads engine\.io 6\.6\.13, the original$/)
  assert.match(lines.binary, /is not installed in this project/)
  assert.match(lines.versions, /socket\.io asks for engine\.io ~6\.6\.0/)
  assert.match(lines.switch, /doctor --fix`, then `npm install`: it writes "overrides" of package\.json/)
  assert.match(lines.back, /nothing to do/)
})

test('a lock file in a folder above is that of another project, unless that has a workspace', () => {
  const other = {
    'package.json': { name: 'other' },
    'package-lock.json': { lockfileVersion: 3, packages: { 'node_modules/engine.io': { version: '6.6.13' } } },
    'node_modules/engine.io/package.json': original,
  }
  const above = write(scratchFolder(), { ...other, 'app/package.json': { name: 'app', version: '1.0.0' } })
  assert.equal(doctor('--fix', path.join(above, 'app')).code, 0)
  for (const [file, content] of Object.entries(other))
    assert.deepEqual(JSON.parse(fs.readFileSync(path.join(above, file), 'utf8')), content)
  assert.match(readManifest(path.join(above, 'app')).overrides['engine.io'], /engine\.io-native/)

  write(above, { 'package.json': { name: 'other', workspaces: ['app'] }, 'app/package.json': { name: 'app' } })
  assert.equal(doctor('--fix', path.join(above, 'app')).code, 0)
  assert.match(readManifest(above).overrides['engine.io'], /engine\.io-native/)
  assert.deepEqual(readManifest(path.join(above, 'app')), { name: 'app' })
})

test('a package.json that holds something other than an object is a mistake', () => {
  for (const content of ['null\n', '[]\n', '"app"\n']) {
    const folder = write(scratchFolder(), { 'package.json': content })
    const { code, printed } = doctor('--fix', folder)
    assert.equal(code, 2)
    assert.match(printed[0], /expected a JSON object in .*package\.json/)
  }
})

test('an override that a lock file of npm keeps from taking effect is told', () => {
  const folder = project(
    { overrides: { 'engine.io': 'npm:engine.io-native@6.6.x' } },
    {
      'package-lock.json': { lockfileVersion: 3, packages: { 'node_modules/engine.io': { version: '6.6.13' } } },
      'node_modules/socket.io/package.json': socketIo,
      'node_modules/engine.io/package.json': original,
    },
  )
  const { code, lines } = doctor(folder)
  assert.equal(code, 1)
  assert.match(lines.switch, /is set, but not yet installed\. package-lock\.json still names the original/)
})

const [locked, nested] = [{ version: '6.6.13' }, { version: '1.3.8' }]

/** Folders where npm puts an `engine.io`. */
const PLACES = ['node_modules/', 'node_modules/other/node_modules/', 'apps/one/node_modules/']

const lockFile = (packages) => ({ 'package-lock.json': { lockfileVersion: 3, packages } })
const packagesOf = (folder) => JSON.parse(fs.readFileSync(path.join(folder, 'package-lock.json'), 'utf8')).packages

test('--fix takes out of npm’s lock file what is below each engine.io, too', () => {
  const rest = {
    'node_modules/accepts': { version: '2.0.0' },
    'node_modules/engine.io-parser': { version: '5.2.3' },
    'node_modules/engine.io-parser/node_modules/accepts': nested,
    'node_modules/my-engine.io/node_modules/accepts': nested,
  }
  const below = PLACES.flatMap((place) => [
    [`${place}engine.io`, locked],
    [`${place}engine.io/node_modules/accepts`, nested],
    [`${place}engine.io/node_modules/accepts/node_modules/@types/node`, nested],
  ])
  const folder = project({}, lockFile({ ...rest, ...Object.fromEntries(below) }))
  assert.equal(doctor('--fix', folder).code, 0)
  assert.deepEqual(packagesOf(folder), rest)
})

test('--undo takes out of npm’s lock file what is below an engine.io that is not there, and leaves the original', () => {
  const [installed, stale] = PLACES
  const original = { [`${installed}engine.io`]: locked, [`${installed}engine.io/node_modules/accepts`]: nested }
  const below = { [`${stale}engine.io/node_modules/accepts`]: nested }
  const folder = project({}, lockFile({ ...original, ...below }))
  assert.equal(doctor('--undo', folder).code, 0)
  assert.deepEqual(packagesOf(folder), original)
})

test('a lock file without the original is not said to name it, and --fix is not asked for again', () => {
  const folder = project(
    {},
    { ...lockFile({ 'node_modules/engine.io': locked }), 'node_modules/socket.io/package.json': socketIo },
  )
  doctor('--fix', folder)
  assert.match(
    doctor(folder).lines.switch,
    /"overrides" of package\.json is set, but not yet installed: run `npm install`$/,
  )
})

test('a project that has switched is well, and told how to go back', () => {
  const folder = project(
    { overrides: { 'engine.io': 'npm:engine.io-native@6.6.x' } },
    { 'node_modules/socket.io/package.json': socketIo, ...ours('node_modules/engine.io') },
  )
  const { code, lines } = doctor(folder)
  assert.equal(code, 0)
  assert.match(lines.engine, new RegExp(`loads engine\\.io-native ${version}$`))
  assert.match(lines.binary, /found, and loads on/)
  assert.match(lines.switch, /nothing to do/)
  assert.match(lines.back, /doctor --undo`, then `npm install`/)
})

test('a binary that does not load is told with its reason', () => {
  const failure = `throw Object.assign(new Error('found no native library\\nmore'), { code: 'ERR_ENGINE_IO_NATIVE_NOT_FOUND' })`
  const folder = project(
    { overrides: { 'engine.io': 'npm:engine.io-native@6.6.x' } },
    { 'node_modules/socket.io/package.json': socketIo, ...ours('node_modules/engine.io', failure) },
  )
  const { code, lines } = doctor(folder)
  assert.equal(code, 1)
  assert.match(
    lines.binary,
    /does not load: found no native library \(ERR_ENGINE_IO_NATIVE_NOT_FOUND\); run `npm install`/,
  )
  assert.match(lines.binary, /node_modules.engine\.io.docs.TROUBLESHOOTING\.md says more$/)
})

test('a package that was installed under its own name is told to take the other', () => {
  const folder = project(
    { dependencies: { 'engine.io-native': '6.6.x' } },
    {
      'node_modules/socket.io/package.json': socketIo,
      'node_modules/engine.io/package.json': original,
      ...ours('node_modules/engine.io-native'),
    },
  )
  const { code, lines } = doctor(folder)
  assert.equal(code, 1)
  assert.match(lines.binary, /is installed under its own name only, and socket\.io loads what has the name engine\.io/)
  assert.match(lines.switch, /doctor --fix/)
})

test('a binary that ends its process is told', () => {
  const folder = project(
    {},
    { 'node_modules/socket.io/package.json': socketIo, ...ours('node_modules/engine.io', 'process.abort()') },
  )
  assert.match(doctor(folder).lines.binary, /does not load: Node\.js ended with SIGABRT as it was loaded/)
})

test('each of two socket.io is told, and one that has the original is not well', () => {
  const folder = project(
    {},
    {
      'node_modules/socket.io/package.json': socketIo,
      ...ours('node_modules/engine.io'),
      'node_modules/other/package.json': { name: 'other', version: '1.0.0' },
      'node_modules/other/node_modules/socket.io/package.json': { ...socketIo, version: '4.5.0' },
      'node_modules/other/node_modules/engine.io/package.json': { ...original, version: '6.2.0' },
    },
  )
  const { code, lines } = doctor(folder)
  assert.equal(code, 1)
  assert.match(lines.engine, /socket\.io 4\.8\.4 .* loads engine\.io-native/)
  assert.match(
    lines.engine,
    /socket\.io 4\.5\.0 \(node_modules\/other\/node_modules\/socket\.io\) loads engine\.io 6\.2\.0, the original/,
  )
})

test('a package written for another minor version is told', () => {
  const old = { ...socketIo, version: '4.4.0', dependencies: { 'engine.io': '~6.1.0' } }
  const folder = project({}, { 'node_modules/socket.io/package.json': old, ...ours('node_modules/engine.io') })
  assert.match(doctor(folder).lines.versions, /socket\.io was written for 6\.1, not 6\.6/)
})

test('the packages that pnpm stores are found', () => {
  const folder = project({}, { 'pnpm-lock.yaml': '' })
  const store = path.join(folder, 'node_modules/.pnpm')
  write(store, {
    'socket.io@4.8.4/node_modules/socket.io/package.json': socketIo,
    'engine.io@6.6.13/node_modules/engine.io/package.json': original,
  })
  const within = path.join(store, 'socket.io@4.8.4/node_modules/engine.io')
  fs.symlinkSync(path.join(store, 'engine.io@6.6.13/node_modules/engine.io'), within, 'dir')
  fs.symlinkSync(
    path.join(store, 'socket.io@4.8.4/node_modules/socket.io'),
    path.join(folder, 'node_modules/socket.io'),
    'dir',
  )
  const { lines } = doctor(folder)
  assert.match(lines.engine, /socket\.io 4\.8\.4 .* loads engine\.io 6\.6\.13, the original/)
  assert.match(lines.switch, /pnpm install`: it writes "overrides" of pnpm-workspace\.yaml/)
})

/** A project of Yarn's Plug'n'Play, whose table has `socket.io` and the engine that it asks for. */
const plugAndPlay = (dependency, program) => {
  const table = `
    const path = require('node:path')
    const dependency = ${JSON.stringify(dependency)}
    const locator = { name: 'socket.io', reference: 'npm:4.8.4' }
    exports.getAllLocators = () => [{ name: null, reference: null }, locator]
    exports.getPackageInformation = ({ name }) => name === 'socket.io'
      ? { packageLocation: __dirname, packageDependencies: new Map([['engine.io', dependency]]) }
      : { packageLocation: path.join(__dirname, 'elsewhere'), packageDependencies: new Map() }
    globalThis.isPlugAndPlay = true`
  return project(
    { resolutions: { 'engine.io': 'npm:engine.io-native@6.6.x' } },
    { 'yarn.lock': '', '.pnp.cjs': table, ...ours('elsewhere', program) },
  )
}

test('with Plug’n’Play, the binary is loaded from where the table says, by way of the table', () => {
  const program = `if (!globalThis.isPlugAndPlay) throw new Error('loaded without the table')`
  const { code, lines } = doctor(plugAndPlay(['engine.io-native', `npm:${version}`], program))
  assert.match(lines.engine, new RegExp(`socket\\.io 4\\.8\\.4 \\(Plug’n’Play\\) loads engine\\.io-native ${version}$`))
  assert.match(lines.binary, /found, and loads on/)
  assert.match(lines.back, /doctor --undo`, then `yarn install`/)
  assert.equal(code, 0)
})

test('with Plug’n’Play, a binary that does not load is told', () => {
  const failure = `throw Object.assign(new Error('found no native library'), { code: 'ERR_ENGINE_IO_NATIVE_NOT_FOUND' })`
  const { code, lines } = doctor(plugAndPlay(['engine.io-native', `npm:${version}`], failure))
  assert.match(lines.binary, /does not load: found no native library .*; run `yarn install` on this platform/)
  assert.match(lines.binary, /; docs\/TROUBLESHOOTING\.md of engine\.io-native says more$/)
  assert.equal(code, 1)
})

test('with Plug’n’Play, a package that finds no engine.io is told', () => {
  const { code, lines } = doctor(plugAndPlay(null))
  assert.match(lines.engine, /socket\.io 4\.8\.4 \(Plug’n’Play\) finds no engine\.io$/)
  assert.equal(code, 1)
})

/** A project that uses an `engine.io` of another major version: installed, in the lock file, or asked for. */
const OTHER_MAJORS = {
  'that is installed': {
    manifest: { dependencies: { 'socket.io': '2.5.1' } },
    files: {
      'node_modules/socket.io/package.json': {
        name: 'socket.io',
        version: '2.5.1',
        dependencies: { 'engine.io': '~3.6.0' },
      },
      'node_modules/engine.io/package.json': { name: 'engine.io', version: '3.6.2' },
    },
    told: /socket\.io 2\.5\.1 \(node_modules\/socket\.io\) uses engine\.io 3\.6\.2/,
  },
  'that is installed beside ours': {
    manifest: { dependencies: { 'socket.io': '4.8.4', other: '1.0.0' } },
    files: {
      'node_modules/socket.io/package.json': socketIo,
      'node_modules/engine.io/package.json': original,
      'node_modules/other/node_modules/socket.io/package.json': { ...socketIo, version: '3.1.2' },
      'node_modules/other/node_modules/engine.io/package.json': { name: 'engine.io', version: '4.1.2' },
    },
    told: /socket\.io 3\.1\.2 \(.*\) uses engine\.io 4\.1\.2/,
  },
  'that is locked': {
    manifest: { dependencies: { 'socket.io': '2.5.1' } },
    files: {
      'package-lock.json': { lockfileVersion: 3, packages: { 'node_modules/engine.io': { version: '3.6.2' } } },
    },
    told: /package-lock\.json has engine\.io 3\.6\.2 \(node_modules\/engine\.io\)/,
  },
  'that the project asks for': {
    manifest: { dependencies: { 'engine.io': '^5.2.1' } },
    files: {},
    told: /app 1\.0\.0 \(\.\) uses engine\.io 5/,
  },
}

for (const [title, { manifest, files, told }] of Object.entries(OTHER_MAJORS)) {
  test(`--fix refuses a project with another major version of engine.io ${title}`, () => {
    const folder = project(manifest, files)
    const read = () =>
      Object.keys({ 'package.json': 0, ...files }).map((file) => fs.readFileSync(path.join(folder, file), 'utf8'))
    const before = read()
    const { code, printed } = doctor('--fix', folder)
    assert.equal(code, 1)
    assert.equal(printed.length, 1)
    assert.match(
      printed[0],
      /^refused {3}engine\.io-native \S+ takes the place of engine\.io 6 only, and .*: nothing was changed$/,
    )
    assert.match(printed[0], told)
    assert.deepEqual(read(), before)
    assert.match(doctor(folder).lines.switch, /do not switch this project: engine\.io-native/)
  })
}

test('--fix takes ranges of our major version, and those that name this package by a file', () => {
  for (const range of ['^6.2.0', '6', '~6.6.0', '>=3', '3.x || 6.x', 'file:../3/engine.io-native-6.6.13.tgz']) {
    assert.equal(doctor('--fix', project({ dependencies: { 'engine.io': range } }, {})).code, 0, range)
  }
})

const managers = [
  { manager: 'npm', lock: 'package-lock.json', field: 'overrides' },
  { manager: 'yarn', lock: 'yarn.lock', field: 'resolutions' },
  { manager: 'bun', lock: 'bun.lock', field: 'overrides' },
]

for (const { manager, lock, field } of managers) {
  test(`--fix and --undo write the ${field} of ${manager}, and nothing else`, () => {
    const folder = project({ [field]: { ws: '8.x' } }, { [lock]: manager === 'npm' ? { packages: {} } : '' })
    const before = fs.readFileSync(path.join(folder, 'package.json'), 'utf8')
    const { code, lines } = doctor('--fix', folder)
    assert.equal(code, 0)
    assert.match(lines.changed, /package\.json/)
    assert.match(lines.next, new RegExp(`${manager} install`))
    assert.deepEqual(readManifest(folder)[field], { ws: '8.x', 'engine.io': 'npm:engine.io-native@6.6.x' })
    assert.match(doctor('--fix', folder).printed[0], /nothing had to be changed/)
    doctor('--undo', folder)
    assert.equal(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'), before)
  })
}

test('--fix and --undo write the overrides of pnpm beside what its file says', () => {
  const settings = 'packages:\n  - apps/*\noverrides:\n  ws: 8.x\n'
  const folder = project({}, { 'pnpm-lock.yaml': '', 'pnpm-workspace.yaml': settings })
  const file = path.join(folder, 'pnpm-workspace.yaml')
  doctor('--fix', folder)
  assert.equal(
    fs.readFileSync(file, 'utf8'),
    'packages:\n  - apps/*\noverrides:\n  engine.io: npm:engine.io-native@6.6.x\n  ws: 8.x\n',
  )
  doctor('--undo', folder)
  assert.equal(fs.readFileSync(file, 'utf8'), settings)
})

test('--fix makes the settings of pnpm where there are none, and --undo removes them', () => {
  const folder = project({}, { 'pnpm-lock.yaml': '' })
  const file = path.join(folder, 'pnpm-workspace.yaml')
  doctor('--fix', folder)
  assert.equal(fs.readFileSync(file, 'utf8'), 'overrides:\n  engine.io: npm:engine.io-native@6.6.x\n')
  doctor('--undo', folder)
  assert.equal(fs.existsSync(file), false)
})

for (const [title, named, installed] of [
  ['that package.json names', 'pnpm@9.15.9', ''],
  ['that has installed', undefined, 'packageManager: pnpm@10.4.1\n'],
]) {
  test(`--fix and --undo write package.json for a pnpm before 10.5 ${title}`, () => {
    const files = { 'pnpm-lock.yaml': '', 'node_modules/.modules.yaml': installed }
    const folder = project(named ? { packageManager: named } : {}, files)
    const before = fs.readFileSync(path.join(folder, 'package.json'), 'utf8')
    assert.match(doctor(folder).lines.switch, /it writes "pnpm\.overrides" of package\.json/)
    doctor('--fix', folder)
    assert.deepEqual(readManifest(folder).pnpm, { overrides: { 'engine.io': 'npm:engine.io-native@6.6.x' } })
    assert.equal(fs.existsSync(path.join(folder, 'pnpm-workspace.yaml')), false)
    doctor('--undo', folder)
    assert.equal(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'), before)
  })
}

test('an override in package.json, which pnpm does not read any more, is no switch', () => {
  const pnpm = { overrides: { 'engine.io': 'npm:engine.io-native@6.6.x' } }
  const folder = project({ packageManager: 'pnpm@12.21.0', pnpm }, { 'pnpm-lock.yaml': '' })
  assert.match(doctor('--fix', folder).lines.changed, /pnpm-workspace\.yaml/)
})

const locks = {
  'pnpm-lock.yaml': {
    before: `overrides:\n  engine.io: npm:engine.io-native@6.6.x\n\nsnapshots:\n\n  socket.io@4.8.4:\n    dependencies:\n`,
    replacement: '      engine.io: engine.io-native@6.6.13\n',
    after: '      socket.io-adapter: 2.5.9\n',
  },
  'yarn.lock': {
    before: '# yarn lockfile v1\n\n\nengine.io-parser@~5.2.1:\n  version "5.2.3"\n\n',
    replacement: `"engine.io@npm:engine.io-native@6.6.x", engine.io@~6.6.0:\n  version "6.6.13"\n  dependencies:\n    ws "^8.23.0"\n\n`,
    after: 'es-errors@^1.3.0:\n  version "1.3.0"\n',
  },
}

for (const [lock, { before, replacement, after }] of Object.entries(locks)) {
  test(`--undo takes the replacement out of ${lock}, which would keep it`, () => {
    const folder = project({}, { [lock]: '' })
    doctor('--fix', folder)
    write(folder, { [lock]: before + replacement + after })
    doctor('--undo', folder)
    assert.equal(fs.readFileSync(path.join(folder, lock), 'utf8'), before + after)
  })
}

test('--fix switches a direct dependency, to which the override of npm refers', () => {
  const folder = project({ dependencies: { 'engine.io': '^6.6.0' } }, {})
  doctor('--fix', folder)
  const { dependencies, overrides } = readManifest(folder)
  assert.deepEqual(dependencies, { 'engine.io': 'npm:engine.io-native@6.6.x' })
  assert.deepEqual(overrides, { 'engine.io': '$engine.io' })
  doctor('--undo', folder)
  assert.deepEqual(readManifest(folder).dependencies, { 'engine.io': `^${version}` })
  assert.equal(readManifest(folder).overrides, undefined)
})

test('--undo takes the binary of a clone out of package.json, unless the package has a use under its own name', () => {
  const manifest = {
    dependencies: { 'socket.io': '^4.8.0', 'engine.io': 'file:../clone/dist/engine.io-native-6.6.13.tgz' },
    optionalDependencies: { 'engine.io-native-linux-x64-gnu': 'file:../clone/dist/engine.io-native-linux-x64-gnu.tgz' },
    overrides: { 'engine.io': '$engine.io' },
  }
  const folder = project(manifest, {})
  doctor('--undo', folder)
  const { dependencies, optionalDependencies, overrides } = readManifest(folder)
  assert.deepEqual(dependencies, { 'socket.io': '^4.8.0', 'engine.io': `^${version}` })
  assert.deepEqual([optionalDependencies, overrides], [undefined, undefined])

  const other = project({ ...manifest, devDependencies: { 'engine.io-native': '6.6.x' } }, {})
  doctor('--undo', other)
  assert.deepEqual(readManifest(other).optionalDependencies, manifest.optionalDependencies)
})

for (const [args, message] of [
  [[], /expected the command doctor, got none/],
  [['cure'], /expected the command doctor, got cure/],
  [['doctor', '--force'], /expected --fix or --undo, got --force/],
  [['doctor', '--fix', '--undo'], /expected --fix or --undo, got both/],
  [['doctor', '/nowhere/at/all'], /expected a folder with a package\.json, got/],
]) {
  test(`the arguments "${args.join(' ')}" are refused with what was expected`, () => {
    const printed = []
    assert.equal(
      main(args, (line) => printed.push(line)),
      2,
    )
    assert.match(printed[0], message)
  })
}

describe('a project that npm has installed with a lock file', () => {
  const host = hostPlatform()
  let registry
  let folder

  /** npm, which asks our registry: it runs beside it. */
  async function install(command = 'install') {
    const child = spawn(
      process.execPath,
      [npmCli(), command, '--no-audit', '--no-fund', `--registry=${registry.url}`],
      {
        cwd: folder,
        env: plainEnvironment(),
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    const output = []
    child.stdout.on('data', (chunk) => output.push(chunk))
    child.stderr.on('data', (chunk) => output.push(chunk))
    const [code] = await once(child, 'close')
    assert.equal(code, 0, Buffer.concat(output).toString())
  }

  before(async () => {
    const tarballs = pack(scratchFolder())
    const { stdout } = npm(root, 'config', 'get', 'registry')
    registry = await startRegistry([tarballs.root, tarballs.platforms[host]], stdout.trim())
    folder = project({ private: true, dependencies: { 'socket.io': devDependencies['socket.io'] } }, {})
    await install()
  })

  after(() => registry?.close())

  test('--fix switches it although the lock file names the original, and --undo brings that back', async () => {
    assert.match(doctor(folder).lines.engine, /, the original$/)
    const manifest = readManifest(folder)
    write(folder, { 'package.json': { ...manifest, overrides: { 'engine.io': 'npm:engine.io-native@6.6.x' } } })
    await install()
    assert.match(doctor(folder).lines.switch, /still names the original/, 'npm has not looked at the override')

    assert.equal(doctor('--fix', folder).code, 0)
    await install()
    const { code, printed } = doctor(folder)
    assert.equal(code, 0, printed.join('\n'))

    doctor('--undo', folder)
    await install()
    assert.match(doctor(folder).lines.engine, /loads engine\.io 6\.6\.\d+, the original$/)
  })

  test('--fix and --undo without an install between leave a lock file that npm ci takes', async () => {
    // Express 5 has later versions of what the original needs, which are below node_modules/engine.io then
    const { express, 'socket.io': socketIo } = devDependencies
    folder = project({ private: true, dependencies: { express, 'socket.io': socketIo } }, {})
    await install()
    const before = packagesOf(folder)
    assert.ok(before['node_modules/engine.io/node_modules/accepts'], 'something is below node_modules/engine.io')

    assert.equal(doctor('--fix', folder).code, 0)
    assert.equal(doctor('--undo', folder).code, 0)
    await install()
    assert.deepEqual(packagesOf(folder), before)
    await install('ci')
    assert.match(doctor(folder).lines.engine, /, the original$/)
  })
})
