'use strict'

// What a listener has sent does not wait until it is over, nor is it lost when the process exits in it.

const assert = require('node:assert/strict')
const https = require('node:https')
const path = require('node:path')
const { test } = require('node:test')
const { Worker } = require('node:worker_threads')
const { defer, delay, eventually, listen, listenDirectly, once, runFixture } = require('../support')
const tls = require('../fixtures/tls')

const servers = {
  attach: () => listen(),
  listen: () => listenDirectly(),
  tls: () => listen({}, https.createServer(tls)),
}

const ways = [
  ['attach', 'websocket'],
  ['attach', 'polling'],
  ['listen', 'websocket'],
  ['listen', 'polling'],
  ['tls', 'websocket'],
]

/** A client in another thread, which sets a flag when it hears something. */
async function openInWorker(where, transport) {
  const context = await servers[where]()
  const flag = new Int32Array(new SharedArrayBuffer(4))
  const opened = once(context.engine, 'connection')
  const worker = new Worker(path.join(__dirname, '../fixtures/listening-worker.js'), {
    workerData: {
      url: `${where === 'tls' ? 'wss' : 'ws'}://localhost:${context.port}`,
      options: { path: context.path, transports: [transport], ca: tls.cert.toString() },
      flag,
    },
  })
  defer(() => worker.terminate())
  const [socket] = await opened
  return { socket, isHeard: () => Atomics.wait(flag, 0, 0, 10_000) !== 'timed-out' }
}

for (const [where, transport] of ways) {
  // a client that polls has no poll there when its message comes, behind a POST, and is sent to later
  const hasPoll = transport === 'websocket'

  if (hasPoll) {
    test(`a message is heard while the listener that sent it goes on: ${transport}, ${where}`, async () => {
      const { socket, isHeard } = await openInWorker(where, transport)
      const heard = new Promise((resolve) => {
        socket.on('message', () => {
          socket.send('now')
          resolve(isHeard())
        })
      })
      assert.equal(await heard, true)
    })
  }

  test(`a message is heard while the timer's callback that sent it goes on: ${transport}, ${where}`, async () => {
    const { socket, isHeard } = await openInWorker(where, transport)
    await once(socket, 'message')
    await delay(20)
    // a client that polls hears nothing without a poll
    await eventually(() => socket.transport.writable, true)
    socket.send('now')
    assert.equal(isHeard(), true)
  })

  for (const when of hasPoll ? ['message', 'timer', 'exit'] : ['timer', 'exit']) {
    test(`a message that precedes process.exit() arrives: ${transport}, ${where}, in a listener of ${when}`, async () => {
      const { lines } = await runFixture('last-words', [where, transport, when])
      assert.deepEqual(lines, ['last words'])
    })
  }
}
