'use strict'

// The doctor's changes, installed by the package managers themselves in a project that has a lock file: npm is in
// packaging/doctor.test.js.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { pack } = require('../../scripts/pack')
const { platforms } = require('../../scripts/platforms')
const { root } = require('../../scripts/setup')
const { devDependencies, version } = require('../../package.json')
const { startRegistry } = require('../packaging/registry')
const { npm, plainEnvironment, scratchFolder } = require('../packaging/scratch')
const { versions } = require('./versions')

const NAMES = ['pnpm-9', 'pnpm-10', 'pnpm-12', 'yarn-1', '@yarnpkg/cli-dist', 'bun']

/** The program of each package manager below `node_modules`, the lock file that it writes, and settings that it reads. */
const managers = {
  'pnpm 9': { program: 'pnpm-9/bin/pnpm.cjs', lock: 'pnpm-lock.yaml' },
  'pnpm 10': { program: 'pnpm-10/bin/pnpm.cjs', lock: 'pnpm-lock.yaml' },
  'pnpm 12': { program: 'pnpm-12/bin/pnpm.mjs', lock: 'pnpm-lock.yaml' },
  'yarn 1': { program: 'yarn-1/bin/yarn.js', lock: 'yarn.lock' },
  'yarn 4 with node_modules': {
    program: '@yarnpkg/cli-dist/bin/yarn.js',
    lock: 'yarn.lock',
    settings: { '.yarnrc.yml': 'nodeLinker: node-modules\n' },
  },
  'yarn 4 with Plug’n’Play': { program: '@yarnpkg/cli-dist/bin/yarn.js', lock: 'yarn.lock', pnp: './.pnp.cjs' },
  bun: { program: `${bunPackage()}/bin/bun`, lock: 'bun.lock', isBinary: true },
}

let tools
let registry

before(async () => {
  const tarballs = pack(scratchFolder())
  tools = scratchFolder()
  const dependencies = Object.fromEntries(NAMES.map((name) => [name, versions[name]]))
  fs.writeFileSync(path.join(tools, 'package.json'), JSON.stringify({ private: true, dependencies }))
  const { status, output } = npm(tools, 'install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline')
  assert.equal(status, 0, output)
  const { stdout } = npm(tools, 'config', 'get', 'registry')
  registry = await startRegistry(
    [tarballs.root, ...Object.values(tarballs.platforms), ...otherPlatforms(tarballs)],
    stdout.trim(),
  )
})

after(() => registry?.close())

/** The packages of platforms without a binary here: yarn 1 wants each to exist. */
function otherPlatforms({ platforms: built }) {
  const folder = scratchFolder()
  const others = platforms.filter(({ name }) => built[name] === undefined)
  const folders = others.map(({ name }) => path.join(root, 'npm', name))
  const { status, stdout, output } = npm(folder, 'pack', '--json', ...folders)
  assert.equal(status, 0, output)
  return JSON.parse(stdout).map(({ filename }) => path.join(folder, filename))
}

/** A project of its own with an empty home. */
function environment() {
  const home = scratchFolder()
  return {
    ...plainEnvironment(),
    HOME: home,
    USERPROFILE: home,
    CI: '',
    YARN_NPM_REGISTRY_SERVER: registry.url,
    YARN_UNSAFE_HTTP_WHITELIST: '127.0.0.1',
    YARN_CACHE_FOLDER: path.join(home, 'yarn'),
    YARN_ENABLE_TELEMETRY: '0',
    YARN_ENABLE_IMMUTABLE_INSTALLS: '0',
  }
}

/** Runs a program to its end, while the registry answers. */
async function run(folder, env, command, ...args) {
  const child = spawn(command, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = []
  child.stdout.on('data', (chunk) => output.push(chunk))
  child.stderr.on('data', (chunk) => output.push(chunk))
  const [code] = await once(child, 'close')
  return { code, output: Buffer.concat(output).toString() }
}

const BIN = path.join(root, 'lib/cli/bin.js')

/** Says which package the `engine.io` of Socket.IO is, and loads it. */
const PROGRAM = `
  const { createRequire } = require('node:module')
  const ofSocketIo = createRequire(require.resolve('socket.io'))
  require('socket.io')
  console.log(ofSocketIo.resolve('engine.io'))
`

for (const [name, { program, lock, settings = {}, isBinary, pnp }] of Object.entries(managers)) {
  test(`${name}: the doctor switches a project with a lock file, and back`, async () => {
    const folder = scratchFolder()
    const dependencies = { 'socket.io': devDependencies['socket.io'] }
    const manifest = JSON.stringify({ name: 'app', private: true, dependencies }, null, 2) + '\n'
    const files = { 'package.json': manifest, 'which.js': PROGRAM, '.npmrc': `registry=${registry.url}\n`, ...settings }
    for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(folder, file), text)
    const env = environment()

    const install = async () => {
      const at = path.join(tools, 'node_modules', program)
      const { code, output } = await run(folder, env, ...(isBinary ? [at] : [process.execPath, at]), 'install')
      assert.equal(code, 0, output)
    }
    const doctor = (...args) => run(folder, env, process.execPath, BIN, 'doctor', ...args)
    const assertLoads = async (which) => {
      const { code, output } = await run(folder, env, process.execPath, ...(pnp ? ['-r', pnp] : []), 'which.js')
      assert.equal(code, 0, output)
      assert.equal(output.includes('engine.io.js') ? 'the original' : 'engine.io-native', which, output)
    }

    await install()
    assert.ok(fs.existsSync(path.join(folder, lock)), lock)
    assert.match((await doctor()).output, /loads engine\.io 6\.6\.\d+, the original/)
    await assertLoads('the original')

    assert.equal((await doctor('--fix')).code, 0)
    await install()
    const { code, output } = await doctor()
    assert.match(output, new RegExp(`loads engine\\.io-native ${version}`))
    assert.match(output, /binary +found, and loads on/)
    assert.equal(code, 0, output)
    await assertLoads('engine.io-native')

    assert.equal((await doctor('--undo')).code, 0)
    await install()
    assert.match((await doctor()).output, /loads engine\.io 6\.6\.\d+, the original/)
    await assertLoads('the original')
    assert.equal(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'), manifest)
  })
}

function bunPackage() {
  const arch = process.arch === 'arm64' ? 'aarch64' : process.arch
  return `@oven/bun-${process.platform}-${arch}`
}
