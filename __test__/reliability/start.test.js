'use strict'

// The engine's threads start with the first server; what happens when the system gives no descriptors.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const path = require('node:path')
const { test } = require('node:test')
const { RawPeer, RawWebSocket, deadline, defer, improvement, runFixture } = require('../support')
const { skip } = require('./support')

const options = { skip, timeout: 30_000 }
const target = '/engine.io/?EIO=4&transport=websocket'

/** Runs a scene of fixtures/starved.js with at most `limit` descriptors. */
function starve(scene, limit) {
  const file = path.join(__dirname, '..', 'fixtures', 'starved.js')
  const command = `ulimit -n ${limit}; exec "$0" "$1" ${scene}`
  const child = spawn('bash', ['-c', command, process.execPath, file], {
    env: { ...process.env, NODE_OPTIONS: '', NODE_TEST_CONTEXT: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  defer(() => child.kill('SIGKILL'))
  const state = { child, stdout: '', stderr: '' }
  child.stderr.on('data', (chunk) => (state.stderr += chunk))
  const line = new Promise((resolve) => {
    child.stdout.on('data', (chunk) => {
      state.stdout += chunk
      if (state.stdout.includes('\n')) resolve(JSON.parse(state.stdout.split('\n')[0]))
    })
  })
  state.first = deadline(line, `a line of ${scene}`)
  state.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, ...state })))
  return state
}

test('an upgrade that finds no descriptor, the first of the process, is answered and served', options, async () => {
  const server = starve('upgrade', 48)
  const { port } = await server.first
  const peer = await RawWebSocket.open(port, target)
  assert.equal(peer.status, 101)
  assert.match(await peer.packet(), /^0\{/)
  peer.sendText('4still there')
  assert.equal(await peer.packet(), '4still there')
  assert.equal(server.child.exitCode, null, server.stderr)
})

test(
  'clients that take all descriptors do not end the server, and those it has accepted are answered',
  options,
  async () => {
    const server = starve('upgrade', 48)
    const { port } = await server.first
    const peers = []
    for (let i = 0; i < 60; i++) peers.push(await RawPeer.connect(port))
    const peer = await RawWebSocket.over(peers[0].socket, target).response()
    assert.equal(peer.status, 101)
    assert.equal(server.child.exitCode, null, server.stderr)
  },
)

if (!skip) {
  improvement(
    'engine start',
    'a server that finds no descriptor says so when it is made, and the next try succeeds',
    async () => {
      const { lines, code, stderr } = await starveToEnd('construct')
      assert.equal(code, 0, stderr)
      assert.equal(lines[0].code, 'ERR_ENGINE_IO_NATIVE_START_FAILED')
      assert.match(lines[0].message, /^engine\.io-native could not start its I\/O threads: .*\(os error 24\)$/)
      assert.match(lines[0].cause, /os error 24/)
      assert.deepEqual(lines[1], { clients: 0 })
    },
  )

  improvement('engine start', 'the engine runs before the first request comes', async () => {
    const { lines } = await runFixture('starved', ['ready'])
    assert.deepEqual(lines, [{ before: true, after: 'function' }])
  })
}

async function starveToEnd(scene) {
  const ended = await deadline(starve(scene, 48).ended, `end of ${scene}`)
  return {
    ...ended,
    lines: ended.stdout
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text)),
  }
}

test('a process that makes servers and never listens ends by itself', options, async () => {
  const { code, lines, ms, stderr } = await runFixture('starved', ['idle'])
  assert.equal(code, 0, stderr)
  assert.deepEqual(lines, [{ made: true }])
  assert.ok(ms < 5000, `took ${ms} ms`)
})
