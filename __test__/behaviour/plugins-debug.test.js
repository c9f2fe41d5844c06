'use strict'

// What `DEBUG=engine*` shows, and that nothing is made for it while it is off.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { format } = require('node:util')
const { listen, once, runFixture, openPolling, openWebSocket } = require('../support')

/** The texts of a run by their namespaces. */
async function texts(namespaces) {
  const { code, stderr, lines } = await runFixture('debug', [], {
    env: { DEBUG: namespaces, DEBUG_HIDE_DATE: '1', DEBUG_COLORS: '0' },
  })
  assert.equal(code, 0, stderr)
  const all = new Map()
  for (const line of stderr.split('\n')) {
    const [, namespace, text] = /^(engine\S*) (.*)$/.exec(line.trim()) ?? []
    if (namespace) all.set(namespace, `${all.get(namespace) ?? ''}${text}\n`)
  }
  return { all, ...lines[0] }
}

test('each namespace tells of its part, with ids and contents', async () => {
  const { all, sid } = await texts('engine*')
  for (const namespace of ['engine', 'engine:socket', 'engine:transport', 'engine:polling', 'engine:ws']) {
    assert.ok(all.has(namespace), `${namespace} is missing in ${[...all.keys()]}`)
  }
  assert.match(all.get('engine'), new RegExp(`handshaking client "${sid}"`))
  assert.match(all.get('engine'), /handling "POST" http request "\/engine\.io\/\?EIO=4/)
  assert.match(all.get('engine'), /unknown transport "none"/)
  assert.match(all.get('engine:socket'), /sending packet "message" \(echo hello\)/)
  assert.match(all.get('engine:socket'), /received packet message/)
  assert.match(all.get('engine:socket'), /might upgrade socket transport from "polling" to "websocket"/)
  assert.match(all.get('engine:socket'), /writing ping packet - expecting pong within 20000ms/)
  assert.match(all.get('engine:socket'), /readyState updated from open to clos/)
  assert.match(all.get('engine:transport'), /readyState updated from \w+ to clos\w+ \(polling\)/)
  assert.match(all.get('engine:polling'), /writing "?/)
  assert.match(all.get('engine:ws'), /closing/)
})

test('one namespace can be had alone, and it changes nothing of what happens', async () => {
  const { all, body, answer } = await texts('engine:socket')
  assert.deepEqual([...all.keys()], ['engine:socket'])
  assert.deepEqual([body, answer], ['4echo hello', '4echo over websocket'])
})

test('nothing is written without DEBUG', async () => {
  const { code, stderr } = await runFixture('debug', [], { env: { DEBUG: '' } })
  assert.deepEqual([code, stderr], [0, ''])
})

test('what is sent is turned into text once, for the wire, and not for a text that nobody reads', async () => {
  for (const open of [openPolling, openWebSocket]) {
    const { peer, socket } = await open(await listen())
    let conversions = 0
    const data = { toString: () => `text ${++conversions}` }
    socket.send(data)
    assert.equal(peer.packet ? await peer.packet() : (await peer.poll()).body, '4text 1')
    assert.equal(conversions, 1)
  }
})

test('the namespaces can be switched on in a running process', async (t) => {
  const debug = require('debug')
  const lines = []
  const { log } = debug
  debug.log = (...args) => lines.push(format(...args))
  debug.enable('engine,engine:socket')
  t.after(() => {
    debug.log = log
    debug.disable()
  })
  const context = await listen()
  const { peer, socket } = await openPolling(context)
  const message = once(socket, 'message')
  await peer.post('4x')
  await message
  assert.ok(lines.some((line) => line.includes(`handshaking client "${peer.sid}"`)))
  assert.ok(lines.some((line) => line.includes('received packet message')))
})
