'use strict'

// Machines that are network namespaces of this one, with links that delay and lose packets: see link.py.

const assert = require('node:assert/strict')
const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const { deadline, defer } = require('../support')
const { findIp } = require('../support/debian')

const PREFIX = 'engine.io-native-'
const TUN = '/dev/net/tun'

/** Of each passage of a machine's link. */
const LINK = { delay: 20, jitter: 5, loss: 0.01 }

let found

/** Finds what namespaces take. `skip` says what is missing. */
function findNamespaces() {
  found ??= look()
  return found
}

function look() {
  if (process.platform !== 'linux') return { skip: 'network namespaces are of Linux' }
  const { program, skip } = findIp()
  if (skip) return { skip }
  if (spawnSync('python3', ['--version']).status !== 0) return { skip: 'there is no python3 for the links: install it' }
  if (process.getuid() !== 0) return { skip: 'network namespaces need the rights of root' }
  if (!fs.existsSync(TUN)) return { skip: `the kernel has no TUN devices for the links: there is no ${TUN}` }
  const name = nameOf('try')
  const { status, stderr } = spawnSync(program, ['netns', 'add', name], { encoding: 'utf8' })
  if (status !== 0) return { skip: `no network namespace can be made: ${stderr.trim()}` }
  spawnSync(program, ['netns', 'del', name])
  return { program, skip: false }
}

function nameOf(place) {
  return `${PREFIX}${process.pid}-${place}`
}

/** Runs `ip`, which must succeed. */
function ip(...args) {
  const { status, stdout, stderr } = spawnSync(findNamespaces().program, args, { encoding: 'utf8' })
  assert.equal(status, 0, `ip ${args.join(' ')}: ${stderr}`)
  return stdout
}

/** The names of the namespaces that these tests have made. */
function namespaces() {
  return ip('netns', 'list')
    .split('\n')
    .map((line) => line.split(' ')[0])
    .filter((name) => name.startsWith(PREFIX))
}

/** Removes namespaces, and ends what still runs in them. */
function remove(names) {
  for (const name of names) {
    for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL')
      } catch {
        // it has ended by itself
      }
    }
    ip('netns', 'del', name)
  }
}

/** Removes what runs have left that were killed themselves. */
function removeLeftovers() {
  remove(namespaces().filter((name) => !runs(Number(name.slice(PREFIX.length).split('-')[0]))))
}

function runs(pid) {
  try {
    return pid !== process.pid && process.kill(pid, 0)
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/**
 * Makes namespaces. The first one has a link without delay, the others with. All is removed after the test.
 *
 * @param {number} count
 */
async function startNetwork(count) {
  removeLeftovers()
  const places = Array.from({ length: count }, (_, place) => place)
  const devices = places.map((place) => `eio${process.pid}.${place}`)
  const removeAll = () => remove(namespaces().filter((name) => places.some((place) => name === nameOf(place))))
  const exit = () => process.exit(1)
  // the runner of tests ends this process if they take too long
  process.on('exit', removeAll).on('SIGTERM', exit)
  defer(() => {
    removeAll()
    process.off('exit', removeAll).off('SIGTERM', exit)
  })
  const link = await startLink(devices)
  const command = (text) => {
    const done = says(link, 'stdout', new RegExp(text))
    link.stdin.write(`${text}\n`)
    return done
  }
  return places.map((place) => {
    const [name, device, address] = [nameOf(place), devices[place], `10.0.0.${place + 1}`]
    ip('netns', 'add', name)
    ip('link', 'set', device, 'netns', name)
    ip('-n', name, 'address', 'add', `${address}/24`, 'dev', device)
    for (const each of ['lo', device]) ip('-n', name, 'link', 'set', each, 'up')
    return {
      address,
      /** Starts a program there. */
      within: [findNamespaces().program, 'netns', 'exec', name],
      /** Once this is resolved nothing passes, and neither side hears of it. */
      cut: () => command(`cut ${place}`),
      join: () => command(`join ${place}`),
      /** The machine's own side of the link. */
      set: (state) => ip('-n', name, 'link', 'set', device, state),
    }
  })
}

/** Starts the program that passes packets between devices. They are gone when it ends. */
async function startLink(devices) {
  const args = [require.resolve('./link.py'), LINK.delay, LINK.jitter, LINK.loss, ...devices]
  const link = spawn('python3', args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise((resolve) => link.on('exit', resolve))
  defer(() => {
    link.kill('SIGKILL')
    return ended
  })
  link.stdin.on('error', () => {})
  await says(link, 'stdout', /ready/)
  return link
}

/** Waits until a program has written this. */
async function says(child, stream, pattern) {
  let text = ''
  const said = new Promise((resolve, reject) => {
    child[stream].on('data', (chunk) => {
      if (pattern.test((text += chunk))) resolve()
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => reject(new Error(`${child.spawnfile} has ended: ${code ?? signal}\n${text}`)))
  })
  await deadline(said, `${pattern} of ${child.spawnfile}`, 30_000)
}

module.exports = { findNamespaces, namespaces, says, startNetwork }
