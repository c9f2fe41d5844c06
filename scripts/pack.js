'use strict'

// Makes the tarballs that are published: the root package, and the package of each platform whose addon is
// in the package folder (at least this machine's).
//
//   node scripts/pack.js [folder] [--all]        default: dist/
//
// With --all it is an error if the addon of a platform is missing, as it is before a release.
//
// The root is packed from a copy, as `napi prepublish` does it in place: the platform packages become its
// optionalDependencies only there. In the checkout they would make `npm ci` fail until the day they are
// published, and a development checkout needs none of them.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { build, hostPlatform } = require('./build')
const { platforms } = require('./platforms')
const { checkNode, checkOptions, checkRust, fail, root } = require('./setup')

/**
 * @param {string} folder - receives the tarballs
 * @returns {{ root: string, platforms: Record<string, string> }} their paths, by platform name
 */
function pack(folder) {
  fs.mkdirSync(folder, { recursive: true })
  const tarballs = { root: packRoot(folder), platforms: {} }
  for (const { name } of platforms) {
    const addon = path.join(root, `engine.io-native.${name}.node`)
    if (fs.existsSync(addon)) tarballs.platforms[name] = packPlatform(name, addon, folder)
  }
  return tarballs
}

/** @returns {string} path of the tarball of the root package */
function packRoot(folder) {
  return packStaged(folder, (work) => stageRoot(work))
}

/** @returns {string} path of the tarball of a platform's package, with this addon */
function packPlatform(name, addon, folder) {
  return packStaged(folder, (work) => stagePlatform(work, name, addon))
}

function packStaged(folder, stage) {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-pack-'))
  try {
    return npmPack(stage(work), folder)
  } finally {
    fs.rmSync(work, { recursive: true })
  }
}

/** The root package as published: without what only a checkout needs, with its platform packages. */
function stageRoot(work) {
  const stage = path.join(work, 'root')
  fs.mkdirSync(stage)
  const { scripts, devDependencies, napi, ...manifest } = readJson(path.join(root, 'package.json'))
  manifest.optionalDependencies = Object.fromEntries(
    platforms.map(({ name }) => [`engine.io-native-${name}`, manifest.version]),
  )
  for (const file of [...manifest.files, 'README.md', 'CHANGELOG.md', 'LICENSE']) {
    const from = path.join(root, file)
    if (fs.existsSync(from)) fs.cpSync(from, path.join(stage, file), { recursive: true })
  }
  writeJson(path.join(stage, 'package.json'), manifest)
  return stage
}

function stagePlatform(work, name, addon) {
  const stage = path.join(work, name)
  fs.cpSync(path.join(root, 'npm', name), stage, { recursive: true })
  fs.copyFileSync(path.join(root, 'LICENSE'), path.join(stage, 'LICENSE'))
  fs.copyFileSync(addon, path.join(stage, path.basename(addon)))
  return stage
}

function npmPack(stage, folder) {
  const output = execFileSync('npm', ['pack', '--json', '--pack-destination', path.resolve(folder)], {
    cwd: stage,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return path.resolve(folder, JSON.parse(output)[0].filename)
}

function readJson(file) {
  return JSON.parse(fs.readFileSync(file, 'utf8'))
}

function writeJson(file, value) {
  fs.writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)
}

module.exports = { pack, packPlatform, packRoot }

if (require.main === module) {
  if (process.argv.includes('--refuse-publish')) {
    fail('Publish the tarballs that `npm run pack` makes: the checkout lacks the optional dependencies of the package.')
  }
  const args = process.argv.slice(2)
  checkOptions(args, ['--all'], 'npm run pack -- [folder] [--all]')
  checkNode()
  checkRust()
  if (!fs.existsSync(path.join(root, `engine.io-native.${hostPlatform()}.node`))) build()
  const tarballs = pack(args.find((arg) => !arg.startsWith('-')) ?? path.join(root, 'dist'))
  const missing = platforms.filter(({ name }) => !tarballs.platforms[name]).map(({ name }) => name)
  if (args.includes('--all') && missing.length > 0) fail(`There is no addon for ${missing.join(', ')}.`)
  for (const file of [tarballs.root, ...Object.values(tarballs.platforms)]) console.log(file)
}
