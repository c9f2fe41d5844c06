'use strict'

const assert = require('node:assert/strict')
const { fork } = require('node:child_process')
const path = require('node:path')
const { test } = require('node:test')
const { client, deadline, defer, improvement, once, request } = require('../support')

/** A server with a property `name` on its Object.prototype: a context for clients. */
async function serve(name, kind, when, options = {}) {
  const file = path.join(__dirname, '..', 'fixtures', 'polluted-server.js')
  const child = fork(file, [name, kind, when, JSON.stringify(options)], {
    silent: true,
    env: { ...process.env, NODE_TEST_CONTEXT: '' },
  })
  defer(() => child.kill())
  let stderr = ''
  child.stderr.on('data', (chunk) => (stderr += chunk))
  let stdout = ''
  const port = await deadline(
    new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        stdout += chunk
        const [line] = stdout.match(/^\d+\n/m) ?? []
        if (line) resolve(Number(line))
      })
      child.on('exit', () => reject(new Error(`the server has ended: ${stderr}`)))
    }),
    "the server's port",
  )
  return { port, path: '/engine.io/' }
}

async function echoes(context, options) {
  const socket = client(context, options)
  socket.on('error', () => {})
  if (socket.readyState !== 'open') await once(socket, 'open')
  const heard = once(socket, 'message')
  socket.send('hi')
  assert.equal((await heard)[0], 'hi')
  return socket
}

async function works(context) {
  await echoes(context, { transports: ['websocket'] })
  await echoes(context, { transports: ['polling'] })
  const moved = await echoes(context)
  if (moved.transport.name !== 'websocket') await once(moved, 'upgrade')
  const refused = await request({ port: context.port, path: '/engine.io/?EIO=4&transport=polling&sid=none' })
  assert.deepEqual(JSON.parse(refused.body), { code: 1, message: 'Session ID unknown' })
}

const OPTIONS = {
  'the default options': {},
  compression: { perMessageDeflate: { threshold: 0, zlibDeflateOptions: {} }, httpCompression: { threshold: 0 } },
  'a foreign WebSocket engine': { foreign: true },
}

const BEFORE = [
  'foo',
  'maxPayload',
  'compress',
  'status',
  'get',
  'set',
  'value',
  'enumerable',
  'deflate',
  'state',
  'session',
  'owner',
  'listened',
  'held',
]

/** Node itself, or `ws`, or the original, takes these for its own. */
const ONLY_OURS = ['sid', 'level']

for (const kind of ['value', 'accessor']) {
  for (const [names, add] of [
    [BEFORE, test],
    [ONLY_OURS, (...args) => improvement('a polluted Object.prototype', ...args)],
  ]) {
    for (const name of names) {
      add(`Object.prototype.${name}, a property with ${kind}, changes nothing`, async () => {
        for (const options of Object.values(OPTIONS)) await works(await serve(name, kind, 'before', options))
      })
    }
  }
}

for (const name of ['handle', '_handle', 'transport']) {
  test(`Object.prototype.${name} that comes when the server listens changes nothing`, async () => {
    await works(await serve(name, 'value', 'after'))
  })
}
