'use strict'

// A POST whose body is still coming when its session ends, or moves to a WebSocket: it is destroyed without an answer,
// behind attach() as behind listen().

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { listen, listenDirectly, once, openPolling, probe, record } = require('../support')

/** Starts a POST and waits until its body is being read. */
async function beginPost(peer) {
  const response = peer.request({
    method: 'POST',
    headers: { Expect: '100-continue', 'Content-Length': '100' },
    body: null,
  })
  await once(response.req, 'continue')
  response.req.write('4begun')
  return { response }
}

const destroyed = { code: 'ECONNRESET' }

for (const [name, serve] of [
  ['attach', listen],
  ['listen', listenDirectly],
]) {
  test(`close() without a poll destroys the POST, with which the session ends: ${name}`, async () => {
    const { peer, socket } = await openPolling(await serve())
    const { response } = await beginPost(peer)
    const closed = once(socket, 'close')
    socket.close()
    assert.equal(socket.readyState, 'closing')
    await assert.rejects(response, destroyed)
    const [reason, error] = await closed
    assert.deepEqual([reason, error.message], ['transport error', 'data request connection closed prematurely'])
  })

  test(`close() with a poll answers the poll and destroys the POST: ${name}`, async () => {
    const { peer, socket } = await openPolling(await serve())
    const poll = await peer.pendingPoll()
    const { response } = await beginPost(peer)
    const closed = once(socket, 'close')
    socket.close()
    assert.deepEqual(await closed, ['forced close', undefined])
    assert.equal((await poll.response).body, '1')
    await assert.rejects(response, destroyed)
  })

  for (const [how, end] of [
    ['close(true)', ({ socket }) => socket.close(true)],
    ['server.close()', ({ engine: server }) => server.close()],
  ]) {
    test(`close() and then ${how}: the session ends with the POST: ${name}`, async () => {
      const context = await serve()
      const { peer, socket } = await openPolling(context)
      const { response } = await beginPost(peer)
      const closed = once(socket, 'close')
      const { transport } = socket
      const closes = record(transport, ['error', 'close'], (event) => event)
      socket.close()
      end({ socket, ...context })
      assert.equal(socket.readyState, 'closing')
      await assert.rejects(response, destroyed)
      const [reason, error] = await closed
      assert.deepEqual([reason, error.message], ['transport error', 'data request connection closed prematurely'])
      assert.equal(context.engine.clientsCount, 0)
      assert.deepEqual([closes, transport.readyState], [['error'], 'closing'])
    })
  }

  for (const [how, end] of [
    ['close(true)', ({ socket }) => socket.close(true)],
    ['server.close()', ({ engine: server }) => server.close()],
  ]) {
    test(`${how} destroys the POST and closes the session at once: ${name}`, async () => {
      const context = await serve()
      const { peer, socket } = await openPolling(context)
      const { response } = await beginPost(peer)
      const closes = record(socket, 'close')
      end({ socket, ...context })
      assert.deepEqual(closes, [['close', 'forced close', undefined]])
      await assert.rejects(response, destroyed)
    })
  }

  test(`a ping timeout destroys the POST: ${name}`, async () => {
    const { peer, socket } = await openPolling(await serve({ pingInterval: 800, pingTimeout: 400 }))
    const closed = once(socket, 'close')
    const { response } = await beginPost(peer)
    await assert.rejects(response, destroyed)
    assert.deepEqual(await closed, ['ping timeout', undefined])
  })

  test(`a completed upgrade destroys the POST, and the session goes on: ${name}`, async () => {
    const context = await serve()
    const { peer, socket } = await openPolling(context)
    const websocket = await probe(context, peer.sid)
    const { response } = await beginPost(peer)
    const messages = record(socket, 'message', (event, data) => data)
    const upgraded = once(socket, 'upgrade')
    websocket.sendText('5')
    await upgraded
    await assert.rejects(response, destroyed)
    const message = once(socket, 'message')
    websocket.sendText('4after')
    await message
    assert.deepEqual(messages, ['after'])
    assert.equal(socket.readyState, 'open')
  })

  test(`of two POSTs at once the first is destroyed, the second refused: ${name}`, async () => {
    const { peer, socket } = await openPolling(await serve())
    const closed = once(socket, 'close')
    const { response } = await beginPost(peer)
    assert.equal((await peer.post('4x')).status, 400)
    await assert.rejects(response, destroyed)
    const [reason, error] = await closed
    assert.deepEqual([reason, error.message], ['transport error', 'data request overlap from client'])
  })
}
