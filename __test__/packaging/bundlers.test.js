'use strict'

// The packed tarball, traced and bundled by the tools that deployments use. What each tool makes runs in an empty folder.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const { hostPlatform } = require('../../scripts/build')
const { devDependencies } = require('../../package.json')
const { installApp, program } = require('./app')
const { plainEnvironment, run, scratchFolder } = require('./scratch')

const TOOLS = {
  '@rollup/plugin-commonjs': '29.0.3',
  '@rollup/plugin-json': '6.1.0',
  '@rollup/plugin-node-resolve': '16.0.3',
  '@vercel/ncc': '0.45.0',
  '@vercel/nft': '1.11.5',
  esbuild: '0.28.2',
  postject: '1.0.0-alpha.6',
  rollup: '4.68.8',
  vite: '8.3.8',
  webpack: '5.113.0',
}

const host = hostPlatform()
const platformPackage = `engine.io-native-${host}`
const library = `engine.io-native.${host}.node`

/** Ends with a word of success, if this package has served the clients. */
const PROGRAM =
  program(`
    process.report.excludeNetwork = true
    const { sharedObjects } = process.report.getReport()
    if (!sharedObjects.some((file) => file.includes('engine.io-native'))) throw new Error('this is not engine.io-native')
    console.log('it works')
    process.exit()`) + 'setTimeout(() => process.exit(1), 20_000).unref()\n'

let app

before(() => {
  const { 'socket.io': server, 'socket.io-client': client } = devDependencies
  app = installApp({ 'socket.io': server, 'socket.io-client': client, ...TOOLS }, { 'server.js': PROGRAM })
})

/** Runs a program of the application's, which may use its tools. */
function build(steps) {
  const { status, output } = run(app, '-e', `(async () => {${steps}})()`)
  assert.equal(status, 0, output)
  return output
}

function assertWorks(folder, ...args) {
  const { status, output } = run(folder, ...args)
  assert.equal(status, 0, output)
  assert.match(output, /^it works/)
}

/** An empty folder with the library in it, as a deployment copies it. */
function folderWithLibrary() {
  const folder = scratchFolder()
  fs.copyFileSync(path.join(app, 'node_modules', platformPackage, library), path.join(folder, library))
  return folder
}

test('the files that @vercel/nft traces are enough (Next.js standalone and Nitro use it)', () => {
  const folder = scratchFolder()
  const listed = build(`
    const { nodeFileTrace } = require('@vercel/nft')
    const { fileList } = await nodeFileTrace(['server.js'], { base: process.cwd() })
    console.log(JSON.stringify([...fileList]))`)
  const files = JSON.parse(listed)
  assert.ok(files.some((file) => file.endsWith(library)))
  for (const file of files) fs.cpSync(path.join(app, file), path.join(folder, file), { recursive: true })
  assertWorks(folder, 'server.js')
})

test('@vercel/ncc takes the library along', () => {
  const folder = scratchFolder()
  build(`
    const fs = require('fs'), path = require('path')
    const { code, assets } = await require('@vercel/ncc')(process.cwd() + '/server.js', { quiet: true })
    for (const [name, { source }] of Object.entries({ 'index.js': { source: code }, ...assets })) {
      fs.mkdirSync(path.dirname(path.join(${JSON.stringify(folder)}, name)), { recursive: true })
      fs.writeFileSync(path.join(${JSON.stringify(folder)}, name), source)
    }`)
  assertWorks(folder, 'index.js')
})

test('esbuild bundles it as CommonJS, and copies the library', () => {
  const folder = scratchFolder()
  build(`
    await require('esbuild').build({ entryPoints: ['server.js'], bundle: true, platform: 'node', logLevel: 'silent',
      loader: { '.node': 'copy' }, outfile: ${JSON.stringify(path.join(folder, 'bundle.js'))} })`)
  assertWorks(folder, 'bundle.js')
})

test('esbuild bundles it as an ES module, with a require as esbuild needs it there', () => {
  const folder = scratchFolder()
  const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)"
  build(`
    await require('esbuild').build({ entryPoints: ['server.js'], bundle: true, platform: 'node', logLevel: 'silent',
      format: 'esm', banner: { js: ${JSON.stringify(banner)} },
      loader: { '.node': 'copy' }, outfile: ${JSON.stringify(path.join(folder, 'bundle.mjs'))} })`)
  assertWorks(folder, 'bundle.mjs')
})

test('a bundle of esbuild finds the library beside itself', () => {
  const folder = folderWithLibrary()
  build(`
    await require('esbuild').build({ entryPoints: ['server.js'], bundle: true, platform: 'node', logLevel: 'silent',
      external: ['engine.io-native-*'], outfile: ${JSON.stringify(path.join(folder, 'bundle.js'))} })`)
  assertWorks(folder, 'bundle.js')
})

const webpackConfig = (folder, more) => `
  const webpack = require('webpack')
  const config = { entry: './server.js', target: 'node', mode: 'production', optimization: { minimize: false }, output: { path: ${JSON.stringify(folder)} }, ${more} }
  const stats = await new Promise((resolve, reject) => webpack(config, (error, stats) => error ? reject(error) : resolve(stats)))
  if (stats.hasErrors()) { console.error(stats.toString()); process.exit(1) }`

test('webpack leaves the package of the platform outside, and the bundle finds the library beside itself', () => {
  const folder = folderWithLibrary()
  build(
    webpackConfig(
      folder,
      `externals: [({ request }, done) => /^engine\\.io-native-/.test(request) ? done(null, 'commonjs ' + request) : done()], node: { __dirname: false }`,
    ),
  )
  assertWorks(folder, 'main.js')
})

test('ENGINE_IO_NATIVE_LIBRARY_PATH names the library for a bundle of webpack', () => {
  const folder = scratchFolder()
  const elsewhere = folderWithLibrary()
  build(
    webpackConfig(
      folder,
      `externals: [({ request }, done) => /^engine\\.io-native-/.test(request) ? done(null, 'commonjs ' + request) : done()]`,
    ),
  )
  const env = { ...plainEnvironment(), ENGINE_IO_NATIVE_LIBRARY_PATH: path.join(elsewhere, library) }
  const { stdout, stderr } = spawnSync(process.execPath, ['main.js'], { cwd: folder, env, encoding: 'utf8' })
  assert.match(stdout, /^it works/, stderr)
})

test('Rollup bundles it, and the bundle finds the library beside itself', () => {
  const folder = folderWithLibrary()
  build(`
    const { rollup } = require('rollup')
    const plugins = [require('@rollup/plugin-node-resolve').default({ preferBuiltins: true, exportConditions: ['node'] }),
      require('@rollup/plugin-commonjs').default({ ignoreDynamicRequires: true }), require('@rollup/plugin-json').default()]
    const bundle = await rollup({ input: 'server.js', plugins, external: [/^engine\\.io-native-/, 'bufferutil', 'utf-8-validate'], onwarn() {} })
    await bundle.write({ file: ${JSON.stringify(path.join(folder, 'bundle.cjs'))}, format: 'cjs' })`)
  assertWorks(folder, 'bundle.cjs')
})

test('Vite bundles it for the server, and the bundle finds the library beside itself', () => {
  const folder = folderWithLibrary()
  build(`
    const { build } = await import('vite')
    await build({ logLevel: 'silent', ssr: { noExternal: true, external: ['${platformPackage}'] },
      build: { ssr: 'server.js', outDir: ${JSON.stringify(folder)}, emptyOutDir: false,
        rollupOptions: { external: [/^engine\\.io-native-/], output: { format: 'cjs', entryFileNames: 'bundle.cjs' } } } })`)
  assertWorks(folder, 'bundle.cjs')
})

test(
  'a single executable application of Node.js loads the library that its environment names',
  { skip: process.platform !== 'linux' && 'tried on Linux' },
  () => {
    const folder = folderWithLibrary()
    build(`
    await require('esbuild').build({ entryPoints: ['server.js'], bundle: true, platform: 'node', logLevel: 'silent',
      external: ['engine.io-native-*'], outfile: ${JSON.stringify(path.join(folder, 'bundle.js'))} })`)
    const config = { main: 'bundle.js', output: 'sea.blob', disableExperimentalSEAWarning: true }
    fs.writeFileSync(path.join(folder, 'sea.json'), JSON.stringify(config))
    assert.equal(run(folder, '--experimental-sea-config', 'sea.json').status, 0)
    fs.copyFileSync(process.execPath, path.join(folder, 'app'))
    build(`
    const blob = require('fs').readFileSync(${JSON.stringify(path.join(folder, 'sea.blob'))})
    await require('postject').inject(${JSON.stringify(path.join(folder, 'app'))}, 'NODE_SEA_BLOB', blob,
      { sentinelFuse: 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2' })`)
    const env = { ...plainEnvironment(), ENGINE_IO_NATIVE_LIBRARY_PATH: path.join(folder, library) }
    const { stdout, stderr } = spawnSync(path.join(folder, 'app'), { cwd: folder, env, encoding: 'utf8' })
    assert.match(stdout, /^it works/, stderr)
  },
)
