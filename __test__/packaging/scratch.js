'use strict'

const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after } = require('node:test')
const { gunzipSync } = require('node:zlib')

const folders = []
after(() => folders.forEach((folder) => fs.rmSync(folder, { recursive: true, force: true })))

/** An empty folder outside the checkout, gone after the tests. */
function scratchFolder() {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-scratch-')))
  folders.push(folder)
  return folder
}

/** Runs npm as a user would, on a machine that has Node.js and nothing else: no cargo, no compiler. */
function npm(folder, ...args) {
  return run(folder, npmCli(), ...args)
}

/** Runs a Node.js program under the same conditions. */
function run(folder, ...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    env: plainEnvironment(),
    maxBuffer: Infinity,
    timeout: 600_000,
  })
  return { status, stdout, output: `${stdout}\n${stderr}` }
}

/** Only `node` is on the PATH, and nothing of `npm test` around us is seen. */
function plainEnvironment() {
  const bin = path.join(scratchFolder(), 'bin')
  fs.mkdirSync(bin)
  fs.symlinkSync(process.execPath, path.join(bin, path.basename(process.execPath)))
  const env = { ...process.env, PATH: bin }
  for (const name of Object.keys(env)) {
    const ofOuterNpm = /^npm_(package|lifecycle|command|execpath|node_execpath|config_local_prefix)/.test(name)
    if (ofOuterNpm || /^(INIT_CWD|ENGINE|ENGINE_IO_NATIVE_LIBRARY_PATH|NODE_OPTIONS|NODE_TEST_CONTEXT)$/.test(name)) {
      delete env[name]
    }
  }
  return env
}

function npmCli() {
  const { npm_execpath: outer } = process.env
  if (outer && path.basename(outer) === 'npm-cli.js') return outer
  const [command] = execFileSync(process.platform === 'win32' ? 'where' : 'which', ['npm'], { encoding: 'utf8' }).split(
    '\n',
  )
  return fs.realpathSync(command)
}

/** The files of an npm tarball, by path. npm writes plain ustar, with everything under `package/`. */
function readTarball(file) {
  const tar = gunzipSync(fs.readFileSync(file))
  const files = new Map()
  const text = (at, length) => tar.toString('utf8', at, at + length).replace(/\0.*/s, '')
  for (let at = 0; tar[at];) {
    const size = parseInt(text(at + 124, 12), 8)
    const prefix = text(at + 345, 155)
    const name = prefix ? `${prefix}/${text(at, 100)}` : text(at, 100)
    files.set(name.replace(/^package\//, ''), tar.subarray(at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
  return files
}

module.exports = { readTarball, scratchFolder, npm, npmCli, run, plainEnvironment }
