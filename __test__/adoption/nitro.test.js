'use strict'

// Nitro, the server of Nuxt: what it builds and traces runs in a folder of its own.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { installApp } = require('../packaging/app')
const { run, scratchFolder } = require('../packaging/scratch')
const { askAll } = require('./check')
const { freePort, start } = require('./child')
const { dependenciesOn } = require('./versions')

const read = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8')

/** A route that attaches Socket.IO to the server of Node.js below Nitro. */
const ATTACHING = `
  import { defineHandler } from 'nitro/h3'
  import { Server } from 'socket.io'
  import { serve } from '../check.js'

  export default defineHandler((event) => {
    const { server } = event.runtime.node.req.socket
    if (!server.io) serve((server.io = new Server(server)))
    return 'hello'
  })
`

const CONFIG = `export default { compatibilityDate: '2026-01-01', experimental: { websocket: true } }`

/** Builds an application, and starts what was built in an empty folder. */
async function startBuilt(t, name, files) {
  const app = installApp(dependenciesOn(name), { 'check.js': read('check.js'), ...files })
  const { status, output } = run(app, `node_modules/${name}/dist/cli/index.mjs`, 'build')
  assert.equal(status, 0, output)
  const folder = scratchFolder()
  fs.cpSync(path.join(app, '.output'), folder, { recursive: true, verbatimSymlinks: true })
  const port = await freePort()
  const env = { NITRO_PORT: port, NITRO_HOST: '127.0.0.1' }
  await start(t, { cwd: folder, args: ['server/index.mjs'], env, until: /Listening on/i })
  return `http://127.0.0.1:${port}`
}

test('Nitro 2, with its router and its WebSocket hooks: polling, upgrade, WebSocket and a route', async (t) => {
  const url = await startBuilt(t, 'nitropack', {
    'nitro.config.mjs': CONFIG,
    'plugins/socket.io.mjs': read('programs/nitro-plugin.mjs'),
    'routes/hello.js': `export default defineEventHandler(() => 'hello')`,
  })
  await askAll(url)
})

test('Nitro 3, on its server: polling, upgrade, WebSocket and a route', async (t) => {
  const url = await startBuilt(t, 'nitro', {
    'nitro.config.mjs': `export default { compatibilityDate: '2026-01-01' }`,
    'routes/hello.js': ATTACHING,
  })
  assert.equal(await (await fetch(`${url}/hello`)).text(), 'hello')
  await askAll(url)
})
