'use strict'

// The environment variable ENGINE_IO_NATIVE_IO_THREADS.

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { test } = require('node:test')

const PROGRAM = `
  const warnings = []
  process.on('warning', ({ code, message }) => warnings.push([code, message]))
  const { Server } = require(${JSON.stringify(require.resolve('../..'))})
  new Server().close()
  setImmediate(() => console.log(JSON.stringify(warnings)))
`

/** Returns the warnings of a process with this value. */
function warningsWith(value) {
  const env = { ...process.env, ENGINE_IO_NATIVE_IO_THREADS: value }
  return JSON.parse(execFileSync(process.execPath, ['-e', PROGRAM], { env, encoding: 'utf8', timeout: 60000 }))
}

for (const value of ['', '1', '64']) {
  test(`'${value}' gives no warning`, () => assert.deepEqual(warningsWith(value), []))
}

for (const value of ['0', '-1', '1.5', '65', 'two']) {
  test(`'${value}' gives a warning, and the default counts`, () => {
    const [[code, message], ...others] = warningsWith(value)
    assert.equal(code, 'ENGINE_IO_NATIVE_IO_THREADS')
    assert.match(
      message,
      new RegExp(`must be a whole number from 1 to 64, got '${value}'; the default, [1-4], is used$`),
    )
    assert.deepEqual(others, [])
  })
}
