'use strict'

// Next.js: a custom server, and the standalone folder that it traces, in which a route starts Socket.IO.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const { installApp } = require('../packaging/app')
const { run, scratchFolder } = require('../packaging/scratch')
const { askAll } = require('./check')
const { freePort, start } = require('./child')
const { dependenciesOn } = require('./versions')

const ROUTE = `
  const { Server } = require('socket.io')
  const { serve } = require('../../check')

  export default function handler(req, res) {
    const { server } = res.socket
    if (!server.io) serve((server.io = new Server(server)))
    res.send('hello')
  }
`

const env = { NEXT_TELEMETRY_DISABLED: '1' }

let app

before(() => {
  const read = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8')
  app = installApp(dependenciesOn('next', 'react', 'react-dom'), {
    'check.js': read('check.js'),
    'server.js': read('programs/next-server.js'),
    'next.config.js': `module.exports = { output: 'standalone', outputFileTracingRoot: __dirname }`,
    'pages/hello.js': `export default function Page() { return <p>hello</p> }`,
    'pages/api/socket.js': ROUTE,
  })
  Object.assign(process.env, env)
  const { status, output } = run(app, 'node_modules/next/dist/bin/next', 'build')
  assert.equal(status, 0, output)
})

test('Next.js with a custom server: polling, upgrade, WebSocket and a page', async (t) => {
  const [, url] = await start(t, { cwd: app, args: ['server.js'], env, until: /ready at (\S+)/ })
  await askAll(url)
})

test('Next.js standalone: the traced folder alone has all that it needs', async (t) => {
  const folder = scratchFolder()
  fs.cpSync(path.join(app, '.next/standalone'), folder, { recursive: true })
  const port = await freePort()
  await start(t, {
    cwd: folder,
    args: ['server.js'],
    env: { ...env, PORT: port, HOSTNAME: '127.0.0.1' },
    until: /Ready in/,
  })
  const url = `http://127.0.0.1:${port}`
  const response = await fetch(`${url}/api/socket`)
  assert.equal(await response.text(), 'hello')
  await askAll(url)
})
