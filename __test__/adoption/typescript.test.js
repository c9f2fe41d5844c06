'use strict'

// The declarations in the packed tarball, under each version of TypeScript since 5.0: an application, a subclass, Socket.IO's own
// declarations and mistakes that must be found.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const { installApp } = require('../packaging/app')
const { run } = require('../packaging/scratch')
const { devDependencies } = require('../../package.json')
const { dependenciesOn, versions } = require('./versions')

const PROGRAMS = path.join(__dirname, '../types/programs')
const COMPILERS = Object.keys(versions).filter((name) => name.startsWith('typescript-'))

/** What the programs import beside Socket.IO. */
const IMPORTED = Object.fromEntries(['@opentelemetry/api', 'prom-client'].map((name) => [name, devDependencies[name]]))

const OPTIONS = { target: 'es2022', strict: true, noEmit: true, skipLibCheck: true, types: ['node'] }
const RESOLUTIONS = {
  node16: { module: 'node16', moduleResolution: 'node16' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
}

let app

before(() => {
  const files = {}
  for (const file of fs.readdirSync(PROGRAMS)) files[file] = fs.readFileSync(path.join(PROGRAMS, file), 'utf8')
  for (const [name, options] of Object.entries(RESOLUTIONS)) {
    const config = { compilerOptions: { ...OPTIONS, ...options }, include: ['*.ts'] }
    files[`tsconfig.${name}.json`] = JSON.stringify(config)
  }
  app = installApp({ ...dependenciesOn('@types/node', ...COMPILERS), ...IMPORTED }, files)
})

for (const compiler of COMPILERS) {
  for (const resolution of Object.keys(RESOLUTIONS)) {
    test(`${compiler.replace('typescript-', 'TypeScript ')} compiles programs with moduleResolution ${resolution}`, () => {
      const tsc = path.join('node_modules', compiler, 'bin/tsc')
      const { status, output } = run(app, tsc, '-p', `tsconfig.${resolution}.json`)
      assert.equal(status, 0, output)
    })
  }
}
