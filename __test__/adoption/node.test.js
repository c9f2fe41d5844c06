'use strict'

// The Socket.IO scenario on the packed tarball, by the versions of Node.js that come as packages of npm.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { before, test } = require('node:test')
const { installApp } = require('../packaging/app')
const { plainEnvironment } = require('../packaging/scratch')
const { dependenciesOn, versions } = require('./versions')

const NAMES = Object.keys(versions).filter((name) => /^node-\d+$/.test(name))
const SCENARIO = path.join(__dirname, '../socketio/scenario.js')
/** Steps of the scenario over its three kinds of connections; fewer means that some were left out. */
const FEWEST_STEPS = 150
const LIMIT_MS = 600_000

let app

before(() => {
  // each platform has a package of its own
  const os = process.platform === 'win32' ? 'win' : process.platform
  const here = NAMES.map((name) => [name, versions[name].replace('linux-x64', `${os}-${process.arch}`)])
  app = installApp({ ...dependenciesOn(), ...Object.fromEntries(here) })
})

for (const name of NAMES) {
  test(`Node.js ${versions[name].split('@').pop()}: every step of the Socket.IO scenario`, () => {
    const node = path.join(app, 'node_modules', name, 'bin/node')
    // a machine that is at work is slow
    const env = { ...plainEnvironment(), SLOWDOWN: '4' }
    const { status, stdout, stderr } = spawnSync(node, [SCENARIO], {
      cwd: app,
      env,
      encoding: 'utf8',
      timeout: LIMIT_MS,
    })
    assert.match(stdout, /^Socket\.IO on engine\.io-native@/, stderr)
    const [, passed, failed] = /^(\d+) steps passed, (\d+) failed/m.exec(stdout) ?? []
    assert.equal(failed, '0', `${stdout}\n${stderr}`)
    assert.ok(Number(passed) >= FEWEST_STEPS, `${passed} steps`)
    assert.equal(status, 0)
  })
}
