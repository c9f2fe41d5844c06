'use strict'

// Tests of applications, which start and stop servers again and again in one process.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const { installApp } = require('../packaging/app')
const { run } = require('../packaging/scratch')
const { dependenciesOn } = require('./versions')

/** Both runners have `test` and `expect`; two files, as each has modules of its own. */
const SUITE = `
  const { createServer } = require('node:http')
  const { Server } = require('socket.io')
  const { TRANSPORTS, askBack, isNative, open, serve, urlOf } = require('./check')

  for (const transports of TRANSPORTS) {
    test('a server answers by ' + transports.join(' and '), async () => {
      const server = createServer()
      const io = new Server(server)
      serve(io)
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
      const client = await open(urlOf(server), transports)
      await askBack(client)
      client.close()
      await io.close()
      expect(isNative()).toBe(true)
    })
  }
`

let app

before(() => {
  app = installApp(dependenciesOn('jest', 'vitest'), {
    'check.js': fs.readFileSync(path.join(__dirname, 'check.js'), 'utf8'),
    'first.test.js': SUITE,
    'second.test.js': SUITE,
  })
})

test('Jest reports no open handle of a server that was closed', () => {
  const { status, output } = run(app, 'node_modules/jest/bin/jest.js', '--detectOpenHandles')
  assert.equal(status, 0, output)
  assert.match(output, /Tests: +6 passed, 6 total/)
  assert.doesNotMatch(output, /open handle/)
})

test('Jest runs it in threads', () => {
  const { status, output } = run(app, 'node_modules/jest/bin/jest.js', '--workerThreads', '--maxWorkers=2')
  assert.equal(status, 0, output)
  assert.match(output, /Tests: +6 passed, 6 total/)
  assert.doesNotMatch(output, /did not exit/)
})

for (const pool of ['forks', 'threads']) {
  test(`Vitest runs it in ${pool}`, () => {
    const flags = ['run', '--globals', `--pool=${pool}`, '--maxWorkers=2', '--no-color']
    const { status, output } = run(app, 'node_modules/vitest/vitest.mjs', ...flags)
    assert.equal(status, 0, output)
    assert.match(output, /Tests +6 passed/)
    assert.doesNotMatch(output, /hanging/)
  })
}
