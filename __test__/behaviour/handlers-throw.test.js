'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { improvement, listen, openPolling, openWebSocket, runFixture } = require('../support')

const uncaught = { event: 'uncaughtException', message: 'fault' }
const rejection = { event: 'unhandledRejection', message: 'fault' }

const runs = new Map()

/** The lines the scenario printed; it must have run to its end. Each scenario runs once. */
async function run(scenario) {
  if (!runs.has(scenario)) runs.set(scenario, runFixture('faults', [scenario]))
  const { code, signal, lines, stderr } = await runs.get(scenario)
  assert.deepEqual([code, signal, stderr], [0, null, ''])
  return lines
}

const has = (lines, expected) =>
  assert.ok(
    lines.some((line) => JSON.stringify(line) === JSON.stringify(expected)),
    `${JSON.stringify(expected)} is not in ${JSON.stringify(lines)}`,
  )

for (const [scenario, name, expected] of [
  ['message-websocket', 'a message handler on a websocket', uncaught],
  ['message-lone', 'a message handler of a connection that alone is talking', uncaught],
  ['message-polling', 'a message handler on polling', uncaught],
  ['packet-websocket', 'a packet handler', uncaught],
  ['connection', 'a connection handler', rejection],
  ['close', 'a close handler on a websocket', uncaught],
  ['close-polling', 'a close handler on polling', uncaught],
  ['send-callback', 'a send callback', uncaught],
  ['headers-polling', 'a headers listener on a polling handshake', rejection],
  ['headers-websocket', 'a headers listener on a 101', uncaught],
  ['connection-error', 'a connection_error listener', uncaught],
  ['allow-request-throws', 'allowRequest', uncaught],
]) {
  test(`an error thrown by ${name} is an ${expected.event}`, async () => {
    has(await run(scenario), expected)
  })
}

test('a rejection of an async allowRequest is an unhandledRejection', async () => {
  has(await run('allow-request-rejects'), rejection)
})

test('a throwing message handler of one connection does not disturb another', async () => {
  has(await run('message-websocket'), { message: 'from another' })
})

test('a session whose connection handler has thrown is registered', async () => {
  const lines = await run('connection')
  has(lines, { handshake: 200 })
  has(lines, { clientsCount: 1 })
})

for (const scenario of ['close', 'close-polling']) {
  test(`a session whose close handler has thrown is no longer counted: ${scenario}`, async () => {
    has(await run(scenario), { clientsCount: 0 })
  })
}

for (const scenario of ['allow-request-throws', 'allow-request-rejects']) {
  test(`no session is opened after ${scenario}`, async () => {
    has(await run(scenario), { clientsCount: 0 })
  })
}

test('sessions whose clients have fallen silent together all end, though a close handler of one throws', async () => {
  has(await run('close-silent'), { closed: ['ping timeout', 'ping timeout', 'ping timeout'] })
})

test('without a handler a throwing message handler ends the process with code 1 and shows the error', async () => {
  const { code, signal, stderr } = await runFixture('faults', ['fatal'])
  assert.deepEqual([code, signal], [1, null])
  assert.match(stderr, /Error: fault/)
  assert.match(stderr, /faults\.js/)
})

for (const event of ['packetCreate', 'flush']) {
  test(`an error thrown by a ${event} listener comes out of send()`, async () => {
    const { socket } = await openWebSocket(await listen())
    const error = new Error('fault')
    socket.once(event, () => {
      throw error
    })
    assert.throws(() => socket.send('a'), error)
  })
}

test('an error thrown by a packetCreate listener comes out of send() on polling', async () => {
  const { peer, socket } = await openPolling(await listen())
  socket.once('packetCreate', () => {
    throw new Error('fault')
  })
  assert.throws(() => socket.send('a'), /fault/)
  socket.send('b')
  assert.equal((await peer.poll()).body, '4b')
})

improvement('G-105', 'a websocket whose message handler has thrown goes on or is closed', async () => {
  const lines = await run('message-websocket')
  assert.ok(
    lines.some(({ message, close }) => message === 'good' || close !== undefined),
    JSON.stringify(lines),
  )
})

improvement('G-105', 'a connection that alone is talking is heard after its message handler has thrown', async () => {
  const lines = await run('message-lone')
  assert.ok(
    lines.some(({ message }) => message === '4good'),
    JSON.stringify(lines),
  )
})

improvement(
  'G-105',
  'what came behind the last message of a full batch is heard though its handler has thrown',
  async () => {
    has(await run('message-burst'), { heard: 1100 })
  },
)

improvement('G-106', 'a POST whose message handler has thrown is answered', async () => {
  const line = (await run('message-polling')).find(({ post }) => post !== undefined)
  assert.notEqual(line.post, 'hangs')
})

improvement('G-110', 'a websocket whose send callback has thrown goes on', async () => {
  has(await run('send-callback'), { second: '4b' })
})

improvement('G-111', 'a polling handshake whose headers listener has thrown does not hang', async () => {
  const line = (await run('headers-polling')).find(({ handshake }) => handshake !== undefined)
  assert.notEqual(line.handshake, 'hangs')
})

improvement('G-112', 'a request whose connection_error listener has thrown does not hang', async () => {
  const line = (await run('connection-error')).find(({ request }) => request !== undefined)
  assert.notEqual(line.request, 'hangs')
})

improvement(
  'G-49: whole answers',
  'a request whose answer has an invalid header gets a whole answer without it',
  async () => {
    const lines = await run('headers-invalid')
    for (const answer of [{ handshake: 500 }, { post: 500 }, { poll: 500 }]) has(lines, answer)
  },
)

improvement(
  'the end of a session that has ended early',
  'a session that ended before its connection handler throws emits its end, and is no longer counted',
  async () => {
    has(await run('connection-of-ended'), { close: 'forced close', clientsCount: 0 })
  },
)
