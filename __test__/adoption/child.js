'use strict'

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { createServer } = require('node:net')
const { plainEnvironment } = require('../packaging/scratch')

const LIMIT_MS = 180_000

/**
 * Starts a server of an application in a process of its own, which ends with the test, and waits for its words.
 *
 * @param {import('node:test').TestContext} t
 * @param {{ cwd: string, args: string[], env?: object, until: RegExp }} options `until`: what it prints when it is ready
 * @returns {Promise<RegExpExecArray>} the match of `until`
 */
async function start(t, { cwd, args, env, until }) {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...plainEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'exit')
  t.after(async () => {
    child.kill()
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
    await ended
    clearTimeout(timer)
  })
  let output = ''
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`expected ${until} in time, got ${output}`)), LIMIT_MS)
    const settle = (fn, value) => {
      clearTimeout(timer)
      fn(value)
    }
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text
        const found = until.exec(output)
        if (found) settle(resolve, found)
      })
    }
    ended.then(() => settle(reject, new Error(`expected ${until}, got an end after ${output}`)))
  })
}

/** A port that was free a moment ago, for programs that cannot say which one they got. */
async function freePort() {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

module.exports = { freePort, start }
