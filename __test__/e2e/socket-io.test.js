'use strict'

// The browser bundle of socket.io-client in Chromium, against an unchanged Socket.IO server.

require('../socketio/use-engine')
require('../support/ledger')
const assert = require('node:assert')
const { after, afterEach, before, beforeEach, describe, test } = require('node:test')
const { Server } = require('socket.io')
const { event } = require('../socketio/harness')
const { launch } = require('./browser')
const { serveSite } = require('./site')

const MODES = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] }

let browser
before(async () => (browser = await launch()))
after(() => browser.close())

for (const [mode, transports] of Object.entries(MODES)) {
  describe(`socket.io-client in Chromium over ${mode}`, () => {
    let site
    let io

    beforeEach(async () => {
      site = await serveSite()
      io = new Server(site.server)
    })
    afterEach(() => io.close())

    const open = async () => {
      const page = await browser.newPage(site.url)
      const accepted = event(io, 'connection')
      await page.evaluate(async (transports) => {
        window.client = io({ transports, reconnection: false })
        await new Promise((resolve) => client.on('connect', resolve))
      }, transports)
      if (mode === 'upgrade') await page.waitForFunction(() => client.io.engine.transport.name === 'websocket')
      const [socket] = await accepted
      return { page, socket }
    }

    test('acknowledgements go both ways', async () => {
      const { page, socket } = await open()
      socket.on('add', (a, b, answer) => answer(a + b))
      assert.equal(await page.evaluate(() => client.emitWithAck('add', 2, 3)), 5)
      await page.evaluate(() => void client.on('title', (answer) => answer('🦀')))
      assert.equal(await socket.timeout(5000).emitWithAck('title'), '🦀')
      await page.close()
    })

    test('binary attachments go both ways', async () => {
      const { page, socket } = await open()
      socket.on('mirror', ({ bytes, text }, answer) => answer({ bytes: Buffer.from(bytes).reverse(), text }))
      const answer = await page.evaluate(async () => {
        const { bytes, text } = await client.emitWithAck('mirror', { bytes: new Uint8Array([1, 2, 255]), text: 'é' })
        return { bytes: [...new Uint8Array(bytes)], text }
      })
      assert.deepEqual(answer, { bytes: [255, 2, 1], text: 'é' })
      await page.close()
    })

    test('two tabs hear a broadcast', async () => {
      const tabs = await Promise.all([open(), open()])
      for (const { page } of tabs) {
        await page.evaluate(() => void (window.heard = new Promise((resolve) => client.on('news', resolve))))
      }
      io.emit('news', 'for both')
      for (const { page } of tabs) {
        assert.equal(await page.evaluate(() => window.heard), 'for both')
        await page.close()
      }
    })

    test('each side learns why the connection has ended', async () => {
      const one = await open()
      const gone = event(one.socket, 'disconnect')
      await one.page.evaluate(() => void client.disconnect())
      assert.equal((await gone)[0], 'client namespace disconnect')
      await one.page.close()

      const two = await open()
      await two.page.evaluate(() => void (window.gone = new Promise((resolve) => client.on('disconnect', resolve))))
      two.socket.disconnect()
      assert.equal(await two.page.evaluate(() => window.gone), 'io server disconnect')
      await two.page.close()
    })
  })
}
