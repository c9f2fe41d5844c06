'use strict'

// Programs of applications, of subclasses and of Socket.IO, compiled against the package in the place of engine.io.

const assert = require('node:assert/strict')
const path = require('node:path')
const { test } = require('node:test')
const { RESOLUTIONS, scratchApp, compile, complaints, upstream } = require('./compile')

const PROGRAMS = {
  'an application with every export': 'application.ts',
  'a subclass of the server and one of a transport': 'subclass.ts',
  "Socket.IO's declarations and an application of them": 'socket-io.ts',
  'mistakes, which are found,': 'mistakes.ts',
}
if (!upstream) {
  PROGRAMS['an application that exports the numbers of its server'] = 'metrics.ts'
  PROGRAMS['an application of @socket.io/cluster-engine'] = 'cluster-engine.ts'
  PROGRAMS['an application on several machines'] = 'cluster.ts'
}

for (const resolution of Object.keys(RESOLUTIONS)) {
  for (const type of resolution === 'node16' ? ['commonjs', 'module'] : ['commonjs']) {
    const app = scratchApp(type)
    const mode = `moduleResolution ${resolution}${type === 'module' ? ' as ES modules' : ''}`
    for (const [what, file] of Object.entries(PROGRAMS)) {
      test(`${what} compile under ${mode}`, () => {
        const program = compile(app, file, resolution)
        assert.deepEqual(complaints(program), [])
        const files = program.getSourceFiles().map(({ fileName }) => path.relative(app, fileName))
        const declarations = upstream ? 'build/engine.io.d.ts' : 'index.d.ts'
        assert.ok(files.includes(path.join('node_modules/engine.io', declarations)), 'the engine is the one meant')
      })
    }
  }
}
