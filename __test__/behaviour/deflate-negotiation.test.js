'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { engine, improvement, listen, path, RawWebSocket } = require('../support')

const EXTENSION = 'Sec-WebSocket-Extensions'

/** What the server answers to an offer: the header, or the status of a refusal. */
async function answer(perMessageDeflate, offer) {
  const context = await listen({ perMessageDeflate })
  const target = path(context, { transport: 'websocket' })
  const peer = await RawWebSocket.open(context.port, target, { headers: { [EXTENSION]: offer } })
  return peer.status === 101 ? peer.headers['sec-websocket-extensions'] : peer.status
}

const D = 'permessage-deflate'

for (const [options, offer, expected] of [
  [true, D, D],
  [true, undefined, undefined],
  [true, 'x-other', undefined],
  [true, `x-other, ${D}`, D],
  [{}, `${D}; client_max_window_bits`, D],
  [{}, `${D}; client_max_window_bits=10`, `${D}; client_max_window_bits=10`],
  [{}, `${D}; client_max_window_bits="10"`, `${D}; client_max_window_bits=10`],
  [{}, `${D}; server_max_window_bits=9`, `${D}; server_max_window_bits=9`],
  [{}, `${D}; server_no_context_takeover`, `${D}; server_no_context_takeover`],
  [{}, `${D}; client_no_context_takeover`, `${D}; client_no_context_takeover`],
  [{ serverNoContextTakeover: true }, D, `${D}; server_no_context_takeover`],
  [{ clientNoContextTakeover: true }, D, `${D}; client_no_context_takeover`],
  [{ serverNoContextTakeover: false }, `${D}; server_no_context_takeover`, 400],
  [{ serverNoContextTakeover: false }, `${D}; server_no_context_takeover, ${D}`, D],
  [{ serverMaxWindowBits: 10 }, D, `${D}; server_max_window_bits=10`],
  [{ serverMaxWindowBits: 10 }, `${D}; server_max_window_bits=12`, `${D}; server_max_window_bits=10`],
  [{ serverMaxWindowBits: 12 }, `${D}; server_max_window_bits=10`, 400],
  [{ serverMaxWindowBits: false }, `${D}; server_max_window_bits=10`, 400],
  [{ clientMaxWindowBits: 10 }, `${D}; client_max_window_bits`, `${D}; client_max_window_bits=10`],
  [{ clientMaxWindowBits: 10 }, D, 400],
  [{ clientMaxWindowBits: 12 }, `${D}; client_max_window_bits=10`, 400],
  [{ clientMaxWindowBits: false }, `${D}; client_max_window_bits=10`, D],
  [{}, `${D}; unknown`, 400],
  [{}, `${D}; unknown, ${D}`, 400],
  [{}, `${D}; server_no_context_takeover; server_no_context_takeover`, 400],
  [{}, `${D}; server_no_context_takeover=1`, 400],
  [{}, `${D}; server_max_window_bits`, 400],
  [{}, `${D}; server_max_window_bits=7`, 400],
  [{}, `${D}; server_max_window_bits=16`, 400],
  [{}, `${D}; client_max_window_bits=abc`, 400],
  [{}, `${D};`, 400],
  [{}, `${D}; a="`, 400],
  [{}, `, ${D}`, 400],
  [false, `${D};`, undefined],
]) {
  test(`perMessageDeflate ${JSON.stringify(options)}: the offer ${offer} gets ${expected}`, async () => {
    assert.equal(await answer(options, offer), expected)
  })
}

test('several offers over several header lines are one list', async () => {
  const context = await listen({ perMessageDeflate: { serverNoContextTakeover: false } })
  const target = path(context, { transport: 'websocket' })
  const headers = { [EXTENSION]: [`${D}; server_no_context_takeover`, D] }
  const peer = await RawWebSocket.open(context.port, target, { headers })
  assert.equal(peer.headers['sec-websocket-extensions'], D)
})

test('the threshold of the options defaults to 1024', async () => {
  const { engine: one } = await listen({ perMessageDeflate: true })
  assert.deepEqual(one.opts.perMessageDeflate, { threshold: 1024 })
  const { engine: two } = await listen({ perMessageDeflate: { threshold: 5, serverMaxWindowBits: 10 } })
  assert.deepEqual(two.opts.perMessageDeflate, { threshold: 5, serverMaxWindowBits: 10 })
})

for (const options of [
  { zlibDeflateOptions: { level: 99 } },
  { serverMaxWindowBits: 16 },
  { clientMaxWindowBits: 3 },
]) {
  improvement(
    'B-9, G-55: throws at the first client',
    `${JSON.stringify(options)} is refused by the constructor`,
    () => {
      assert.throws(() => new engine.Server({ perMessageDeflate: options }), RangeError)
    },
  )
}
