'use strict'

// Development servers on one port with Socket.IO: their own WebSocket for hot modules stays connected beside it.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const WebSocket = require('ws')
const { installApp } = require('../packaging/app')
const { askAll } = require('./check')
const { start } = require('./child')
const { dependenciesOn } = require('./versions')

let app

before(() => {
  const read = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8')
  app = installApp(dependenciesOn('vite', 'webpack', 'webpack-dev-server'), {
    'check.js': read('check.js'),
    'vite.js': read('programs/vite.js'),
    'vite-plugin.js': read('programs/vite-plugin.js'),
    'webpack.js': read('programs/webpack.js'),
    'page.js': `console.log('hello')`,
    'hello.html': '<p>hello</p>',
  })
})

/** Opens the WebSocket of the development server, and says whether it is still open later. */
async function openHot(url, ...args) {
  const socket = new WebSocket(url.replace('http:', 'ws:'), ...args)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  return () => {
    const isOpen = socket.readyState === WebSocket.OPEN
    socket.terminate()
    return isOpen
  }
}

/** Vite lets in who knows the token of its page. */
async function openVite(url) {
  const script = await (await fetch(`${url}/@vite/client`)).text()
  const [, token] = /wsToken = "([^"]+)"/.exec(script)
  return openHot(`${url}/?token=${token}`, 'vite-hmr')
}

for (const [title, program, hot] of [
  ['Vite in middleware mode', 'vite.js', openVite],
  ['Vite with a plugin that attaches to its server', 'vite-plugin.js', openVite],
  ['webpack-dev-server', 'webpack.js', (url) => openHot(`${url}/ws`, { origin: url })],
]) {
  test(`${title}: polling, upgrade, WebSocket, a page and hot modules`, async (t) => {
    const [, url] = await start(t, { cwd: app, args: [program], until: /ready at (\S+)/ })
    const isHot = await hot(url)
    await askAll(url, { route: '/hello.html' })
    // longer than the second after which a foreign upgrade is ended
    await new Promise((resolve) => setTimeout(resolve, 1500))
    assert.ok(isHot(), 'the WebSocket of the development server is open')
  })
}
