'use strict'
// Installs or builds what a run needs: npm packages, the addon, peers.
const { spawnSync } = require('child_process')
const fs = require('fs')
const path = require('path')

const root = path.join(__dirname, '..')
const local = path.join(__dirname, 'peers')

/** Runs a command quietly; throws the line of its output that says most. */
function quietly(command, args, cwd, env) {
  const r = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  if (r.error) throw r.error
  if (r.status === 0) return r.stdout
  const lines = `${r.stdout}\n${r.stderr}`
    .split('\n')
    .filter((l) => /error|fatal/i.test(l) && !/A complete log|error code|error path/.test(l))
  throw new Error(
    `${command} ${args.slice(0, 2).join(' ')}: ${(lines.find((l) => /fatal/.test(l)) || lines[0] || `status ${r.status}`).trim()}`,
  )
}

/** The packages of the repo and the addon, as `npm start` and `npm test` make them. */
function repo() {
  require('../scripts/setup').installPackages()
  require('../scripts/build').build()
}

/**
 * A Node.js.
 *
 * @param {string} wanted a major version, or the path of an executable
 * @returns {string} the path of the running one if it is what is wanted
 */
function node(wanted) {
  if (wanted.includes('/')) return fs.realpathSync(wanted)
  if (wanted === majorOf(process.versions.node)) return process.execPath
  const folder = path.join(__dirname, 'node')
  const { optionalDependencies } = require('./node/package.json')
  const name = `node-linux-${process.arch}`
  if (!optionalDependencies[name] || wanted !== majorOf(optionalDependencies[name])) {
    throw new Error(
      `expected the version ${Object.values(optionalDependencies).map(majorOf)[0]} or ${majorOf(process.versions.node)}, or a path, got ${wanted}`,
    )
  }
  const program = path.join(folder, 'node_modules', name, 'bin', 'node')
  const works = () =>
    spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout?.trim() === `v${optionalDependencies[name]}`
  if (!works()) quietly('npm', ['ci', '--no-audit', '--no-fund'], folder)
  if (!works()) throw new Error(`${program} does not run`)
  return program
}

const majorOf = (version) => version.split('.')[0]

/** A crate of ours beside the load generator. */
function crate(dir) {
  quietly('cargo', ['build', '--release', '--locked'], dir, { CARGO_TARGET_DIR: path.join(dir, 'target') })
}

/**
 * eiows compiles against Node's complete source tree, which its install script fetches from GitHub. Where that cannot be
 * reached it is built from Node's public headers without its TLS part, the only one that looks into Node: on plain
 * TCP the code that runs is the same.
 */
function eiows() {
  const dir = path.join(local, 'node_modules', 'eiows')
  const works = () =>
    spawnSync(process.execPath, ['-e', `require(${JSON.stringify(dir)})`], { stdio: 'ignore' }).status === 0
  if (works()) return
  let why
  try {
    quietly('npm', ['ci', '--no-audit', '--no-fund'], local)
    if (works()) return
  } catch (e) {
    why = e.message
  }
  quietly('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], local)
  const prefix = headers()
  if (!prefix)
    throw new Error(`does not install (${why}), and Node's headers are not on this machine to build it without TLS`)
  const file = path.join(dir, 'nodejs', 'src', 'addon.h')
  fs.writeFileSync(file, withoutTls(fs.readFileSync(file, 'utf8')))
  fs.writeFileSync(path.join(dir, 'without-tls'), 'patched by bench/install.js\n')
  quietly(process.execPath, [nodeGyp(), 'rebuild', `--nodedir=${prefix}`], dir)
  if (!works()) throw new Error('built from headers without TLS, but does not load')
}
eiows.hasTls = () => !fs.existsSync(path.join(local, 'node_modules', 'eiows', 'without-tls'))

function withoutTls(source) {
  const cut = (s, from, to, put = '') => {
    const i = s.indexOf(from)
    const j = s.indexOf(to, i)
    if (i < 0 || j < 0) throw new Error(`eiows is not the version this patch is for: no ${JSON.stringify(from)}`)
    return s.slice(0, i) + put + s.slice(j)
  }
  let s = cut(source, '#if NODE_MAJOR_VERSION == 25', 'inline v8::Local<v8::External> makeExternal')
  s = cut(s, 'using BaseObject = node::BaseObject;', '#undef NODE_WANT_INTERNALS')
  return cut(s, 'TLSWrapSSLGetter* tw;', '\n}', 'args.GetReturnValue().SetNull();')
}

/** Prefix of the headers of exactly this Node. */
function headers() {
  const prefixes = [process.env.npm_config_nodedir, path.join(path.dirname(process.execPath), '..'), '/usr']
  return prefixes.filter(Boolean).find((p) => {
    try {
      const s = fs.readFileSync(path.join(p, 'include', 'node', 'node_version.h'), 'utf8')
      const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(s)[1]
      return `v${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}` === process.version
    } catch {
      return false
    }
  })
}

function nodeGyp() {
  const npm = fs.realpathSync(quietly('sh', ['-c', 'command -v npm']).trim())
  return require.resolve('node-gyp/bin/node-gyp.js', { paths: [npm] })
}

module.exports = { repo, node, crate, eiows, local, root }
