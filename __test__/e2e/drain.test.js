'use strict'

// examples/drain: the process ends in order when it is told to.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { test } = require('node:test')
const { WebSocket } = require('ws')
const { upstream } = require('../support/engine')

const file = path.join(__dirname, '../../examples/drain/server.js')

for (const signal of ['SIGTERM', 'SIGINT']) {
  const skip = upstream ? 'an example of ours' : process.platform === 'win32' ? 'Windows has no signals' : false
  test(
    `${signal}: the server is not ready any more, closes its clients and exits`,
    { skip, timeout: 60_000 },
    async (t) => {
      const env = { ...process.env, PORT: '0', DRAIN_TIMEOUT: '20000', DRAIN_SPREAD: '100' }
      const child = spawn(process.execPath, [file], { env, stdio: ['ignore', 'pipe', 'inherit'] })
      t.after(() => child.kill('SIGKILL'))
      let output = ''
      child.stdout.setEncoding('utf8').on('data', (text) => (output += text))
      while (!/listening on \d+/.test(output)) await once(child.stdout, 'data')
      const [port] = /\d+/.exec(output)
      assert.equal((await fetch(`http://127.0.0.1:${port}/ready`)).status, 200)
      const client = new WebSocket(`ws://127.0.0.1:${port}/engine.io/?EIO=4&transport=websocket`)
      // this one does not answer the close frame before it is told to
      await once(client, 'message')
      client._socket.pause()
      const exit = once(child, 'close')
      child.kill(signal)
      while (!/draining/.test(output)) await once(child.stdout, 'data')
      assert.equal((await fetch(`http://127.0.0.1:${port}/ready`)).status, 503)
      assert.equal((await fetch(`http://127.0.0.1:${port}/live`)).status, 200)
      const refused = await fetch(`http://127.0.0.1:${port}/engine.io/?EIO=4&transport=polling`)
      assert.equal(refused.status, 503)
      assert.ok(Number(refused.headers.get('retry-after')) >= 1)
      const closed = once(client, 'close')
      client._socket.resume()
      await closed
      assert.deepEqual(await exit, [0, null])
      const { duration, ...outcome } = JSON.parse(/drained: (.*)/.exec(output)[1])
      assert.deepEqual(outcome, { sessions: 1, closed: 1, left: 0, terminated: 0 })
      assert.ok(duration < 20_000)
    },
  )
}
