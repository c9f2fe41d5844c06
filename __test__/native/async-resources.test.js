'use strict'

// What async hooks see of the engine can be asked whether it keeps the process alive. Tools that look for what does, such as
// Jest with --detectOpenHandles, take a resource that cannot be asked for one that does.

const assert = require('node:assert/strict')
const { createHook } = require('node:async_hooks')
const { test } = require('node:test')

/** The resources of the engine, from before it is loaded. */
const seen = []
createHook({
  init(id, type, trigger, resource) {
    if (/engine\.?io/i.test(type)) seen.push(resource)
  },
}).enable()

const { client, eventually, listen, once } = require('../support')

const keeping = () => seen.filter((resource) => resource.hasRef())

test('a resource of the engine keeps the process alive while there are sessions, and all of them can be asked', async () => {
  const context = await listen({})
  assert.deepEqual(keeping(), [])
  for (const transports of [['polling'], ['polling', 'websocket'], ['websocket']]) {
    const peer = client(context, { transports })
    await once(peer, transports.length > 1 ? 'upgrade' : 'open')
    assert.equal(keeping().length, 1)
    peer.close()
    await eventually(() => keeping().length, 0)
  }
  await context.close()
  assert.ok(seen.length > 2, 'hooks see the engine')
})
