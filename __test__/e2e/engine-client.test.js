'use strict'

// The browser bundle of engine.io-client in Chromium, against `attach`.

require('../support/ledger')
const assert = require('node:assert')
const { after, afterEach, before, beforeEach, describe, test } = require('node:test')
const { engine: eio } = require('../support/engine')
const { event, until } = require('../socketio/harness')
const { launch } = require('./browser')
const { serveSite } = require('./site')

const MODES = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] }

let browser
before(async () => (browser = await launch()))
after(() => browser.close())

for (const [mode, transports] of Object.entries(MODES)) {
  describe(`engine.io-client in Chromium over ${mode}`, () => {
    let site
    let engine
    let page
    let socket

    beforeEach(async () => {
      site = await serveSite()
      engine = eio.attach(site.server)
      page = await browser.newPage(site.url)
      const accepted = event(engine, 'connection')
      await page.evaluate(async (transports) => {
        window.client = eio({ transports })
        client.binaryType = 'arraybuffer'
        await new Promise((resolve) => client.on('open', resolve))
      }, transports)
      ;[socket] = await accepted
      if (mode === 'upgrade') {
        await until(() => socket.upgraded, 'the server has upgraded')
        await page.waitForFunction(() => client.transport.name === 'websocket')
      }
    })

    afterEach(async () => {
      assert.deepEqual(page.problems, [])
      await page.close()
      engine.close()
      site.server.close()
      site.server.closeAllConnections()
    })

    test('both sides agree on the id and the transport', async () => {
      const expected = mode === 'polling' ? 'polling' : 'websocket'
      assert.equal(socket.transport.name, expected)
      assert.deepEqual(await page.evaluate(() => [client.id, client.transport.name]), [socket.id, expected])
    })

    test('text passes unchanged, both ways', async () => {
      socket.on('message', (data) => socket.send(data))
      const texts = ['hello', 'emoji 🦀🚀 and 中文', 'line\nbreak "quoted" \\', 'x'.repeat(100_000)]
      const back = await echoes(page, texts)
      for (const [n, text] of texts.entries()) assert.ok(back[n] === text, `text ${n}`)
    })

    test('bytes pass unchanged, both ways', async () => {
      const seen = []
      socket.on('message', (data) => {
        seen.push(data)
        socket.send(data)
      })
      const same = await page.evaluate(async () => {
        const all = [4, 70_000].map((length) => Uint8Array.from({ length }, (_, n) => n % 256))
        const back = []
        const done = new Promise((resolve) => {
          client.on('message', (data) => back.push(new Uint8Array(data)) === all.length && resolve())
        })
        for (const bytes of all) client.send(bytes)
        await done
        return back.map((bytes, n) => bytes.length === all[n].length && bytes.every((byte, at) => byte === all[n][at]))
      })
      assert.deepEqual(same, [true, true])
      assert.ok(seen.every((data) => Buffer.isBuffer(data) && data.every((byte, at) => byte === at % 256)))
    })

    test('three hundred messages keep their order, both ways', async () => {
      const seen = []
      socket.on('message', (data) => {
        seen.push(data)
        socket.send(data)
      })
      const texts = Array.from({ length: 300 }, (_, n) => `message ${n}`)
      assert.deepEqual(await echoes(page, texts), texts)
      assert.deepEqual(seen, texts)
    })

    test('the page closes', async () => {
      const closed = event(socket, 'close')
      await page.evaluate(() => void client.close())
      assert.equal((await closed)[0], 'transport close')
      assert.equal(engine.clientsCount, 0)
    })

    test('the server closes', async () => {
      await until(() => socket.transport.writable, 'the transport is writable')
      const closed = page.evaluate(() => new Promise((resolve) => client.on('close', resolve)))
      // The page must be listening before the server closes.
      await page.evaluate(() => true)
      socket.close()
      assert.equal(await closed, 'transport close')
      await until(() => engine.clientsCount === 0, 'the session is gone')
    })

    // A polling session has no connection to lose: it ends with its ping timeout.
    if (mode !== 'polling') {
      test('leaving the page ends the session', async () => {
        const closed = event(socket, 'close')
        await page.goto('about:blank')
        assert.equal((await closed)[0], 'transport close')
      })
    }
  })
}

/** Sends texts from the page and returns what comes back. */
function echoes(page, texts) {
  return page.evaluate(async (texts) => {
    const back = []
    const done = new Promise((resolve) => {
      client.on('message', (data) => back.push(data) === texts.length && resolve())
    })
    for (const text of texts) client.send(text)
    await done
    return back
  }, texts)
}
