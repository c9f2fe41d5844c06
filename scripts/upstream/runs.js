'use strict'

// Runs files of tests, each in a process of its own, and tells which tests fail with one release only.

const { spawn } = require('node:child_process')
const os = require('node:os')
const path = require('node:path')
const { pathToFileURL } = require('node:url')

const FILE_LIMIT_MS = 5 * 60_000
const REPORTER = pathToFileURL(path.join(__dirname, 'reporter.js')).href

/**
 * Which tests of some files fail in the environment `after`, and whether the release is the reason: `changed` fail twice
 * and pass in the environment `before`, `others` fail there, too, or fail once only.
 *
 * @returns {Promise<{ passed: number, changed: Failure[], others: Failure[] }>} Failure is `{ file, name, error, note }`
 */
async function compareRuns(files, before, after, onFailure = () => {}) {
  const first = await run(files, after, Math.max(1, os.cpus().length - 1), onFailure)
  const suspects = [...new Set(first.failures.map(({ file }) => file))]
  // A test that measures time may fail because of its neighbours.
  const again = keys(await run(suspects, after, 1))
  const reference = keys(await run(suspects, before, 1))
  const result = { passed: first.passed, changed: [], others: [] }
  for (const failure of first.failures) {
    if (reference.has(key(failure))) result.others.push({ ...failure, note: 'it fails before this release, too' })
    else if (!again.has(key(failure))) result.others.push({ ...failure, note: 'it passed when its file ran again' })
    else result.changed.push(failure)
  }
  return result
}

const key = ({ file, name }) => `${file}\0${name}`
const keys = ({ failures }) => new Set(failures.map(key))

/** Runs files side by side. */
async function run(files, env, width, onFailure = () => {}) {
  const waiting = [...files]
  const total = { passed: 0, failures: [] }
  async function work() {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const { passed, failures } = await runFile(file, env)
      total.passed += passed
      total.failures.push(...failures)
      if (failures.length > 0) onFailure(file, failures.length)
    }
  }
  await Promise.all(Array.from({ length: width }, work))
  return total
}

function runFile(file, env) {
  // A runner that is told of another one around it runs nothing.
  const { NODE_TEST_CONTEXT, ...without } = process.env
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ['--test', `--test-reporter=${REPORTER}`, '--test-reporter-destination=stdout', file],
      {
        env: { ...without, ...env },
        stdio: ['ignore', 'pipe', 'ignore'],
        timeout: FILE_LIMIT_MS,
      },
    )
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (output += text))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const lines = output
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line))
      const failures = lines.filter(({ error }) => error !== undefined).map((failure) => ({ file, ...failure }))
      const { passed = 0, skipped = 0 } = lines.at(-1) ?? {}
      if (failures.length === 0 && (code !== 0 || passed + skipped === 0)) {
        const error = `${passed} tests passed and ${skipped} were skipped; then the runner ended with ${signal ?? `code ${code}`}.`
        failures.push({ file, name: path.basename(file), error })
      }
      resolve({ passed, failures })
    })
  })
}

module.exports = { compareRuns }
