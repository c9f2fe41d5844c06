'use strict'

// The packed tarball under Socket.IO in other runtimes than Node.js, which come as packages of npm.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { before, test } = require('node:test')
const { devDependencies } = require('../../package.json')
const { plainEnvironment } = require('../packaging/scratch')
const { installApp } = require('../packaging/app')

/** A Socket.IO server with a client by each transport, all of which close: then nothing keeps the process. */
const PROGRAM = `
  const { createServer } = require('node:http')
  const { Server } = require('socket.io')
  const { io: connect } = require('socket.io-client')

  const httpServer = createServer()
  const io = new Server(httpServer)
  io.on('connection', (socket) => socket.on('ask', (answer) => answer('yes')))
  httpServer.listen(0, '127.0.0.1', async () => {
    const url = 'http://127.0.0.1:' + httpServer.address().port
    for (const transports of [['polling'], ['polling', 'websocket'], ['websocket']]) {
      const client = connect(url, { transports, forceNew: true })
      if ((await client.emitWithAck('ask')) !== 'yes') throw new Error('another answer')
      client.close()
    }
    console.log('it works')
    await io.close()
    if (process.argv.includes('exit')) process.exit()
  })
`

let app

before(() => {
  app = installApp(
    {
      'socket.io': devDependencies['socket.io'],
      'socket.io-client': devDependencies['socket.io-client'],
      deno: '2.9.6',
      bun: '1.4.5',
    },
    { 'server.cjs': PROGRAM },
  )
})

const runtimes = {
  deno: () => [path.join(app, 'node_modules/@deno', denoPackage(), 'deno'), 'run', '-A'],
  bun: () => [path.join(app, 'node_modules/@oven', bunPackage(), 'bin/bun'), 'run'],
}

const denoPackage = () => `${process.platform}-${process.arch}${process.platform === 'linux' ? '-glibc' : ''}`
const bunPackage = () => `bun-${process.platform}-${process.arch === 'arm64' ? 'aarch64' : process.arch}`

for (const name of Object.keys(runtimes)) {
  for (const way of ['by itself', 'by process.exit()']) {
    test(`Socket.IO works in ${name}, and the process ends ${way}`, () => {
      const [program, ...flags] = runtimes[name]()
      const args = [...flags, 'server.cjs', ...(way === 'by itself' ? [] : ['exit'])]
      const env = plainEnvironment()
      const { status, signal, stdout, stderr } = spawnSync(program, args, {
        cwd: app,
        env,
        encoding: 'utf8',
        timeout: 60_000,
      })
      assert.match(stdout, /^it works/, stderr)
      assert.deepEqual([status, signal], [0, null], stderr)
    })
  }
}
