'use strict'

// The packed tarball under Socket.IO in other runtimes than Node.js, which come as packages of npm.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { before, test } = require('node:test')
const { plainEnvironment } = require('../packaging/scratch')
const { installApp, program } = require('../packaging/app')
const { dependenciesOn } = require('./versions')

/** All clients close: then nothing keeps the process. */
const PROGRAM = program(`
    console.log('it works')
    await io.close()
    if (process.argv.includes('exit')) process.exit()`)

let app

before(() => {
  app = installApp(dependenciesOn('deno', 'bun'), { 'server.cjs': PROGRAM })
})

const runtimes = {
  deno: () => [path.join(app, 'node_modules/@deno', denoPackage(), 'deno'), 'run', '-A'],
  bun: () => [path.join(app, 'node_modules/@oven', bunPackage(), 'bin/bun'), 'run'],
}

const denoPackage = () => `${process.platform}-${process.arch}${process.platform === 'linux' ? '-glibc' : ''}`
const bunPackage = () => `bun-${process.platform}-${process.arch === 'arm64' ? 'aarch64' : process.arch}`

for (const name of Object.keys(runtimes)) {
  for (const way of ['by itself', 'by process.exit()']) {
    test(`Socket.IO works in ${name}, and the process ends ${way}`, () => {
      const [runtime, ...flags] = runtimes[name]()
      const args = [...flags, 'server.cjs', ...(way === 'by itself' ? [] : ['exit'])]
      const env = plainEnvironment()
      const { status, signal, stdout, stderr } = spawnSync(runtime, args, {
        cwd: app,
        env,
        encoding: 'utf8',
        timeout: 180_000,
      })
      assert.match(stdout, /^it works/, stderr)
      assert.deepEqual([status, signal], [0, null], stderr)
    })
  }
}
