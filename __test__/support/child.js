'use strict'

const { spawn } = require('node:child_process')
const path = require('node:path')
const { defer } = require('./cleanup')
const { deadline } = require('./events')

/**
 * Runs `__test__/fixtures/<name>.js` in a process of its own, with the same ENGINE switch.
 *
 * Resolves with `{ code, signal, stdout, stderr, lines, ms }`; `lines` are the JSON values it printed, one a line.
 */
function runFixture(name, args = [], { ms = 20_000, env } = {}) {
  const file = path.join(__dirname, '..', 'fixtures', `${name}.js`)
  const started = Date.now()
  const child = spawn(process.execPath, [file, ...args.map(String)], {
    env: { ...process.env, NODE_OPTIONS: '', NODE_TEST_CONTEXT: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  defer(() => child.kill('SIGKILL'))
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const finished = new Promise((resolve) => {
    child.on('close', (code, signal) => {
      const lines = stdout
        .split('\n')
        .filter((line) => /^[[{"]/.test(line))
        .map((line) => JSON.parse(line))
      resolve({ code, signal, stdout, stderr, lines, ms: Date.now() - started })
    })
  })
  return deadline(finished, `end of fixture ${name} ${args.join(' ')}`, ms)
}

module.exports = { runFixture }
