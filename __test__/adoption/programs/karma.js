'use strict'

// The server of Karma, whose browsers report by Socket.IO.

const karma = require('karma')
const { check } = require('./check')

async function main() {
  const settings = {
    port: 9876,
    hostname: '127.0.0.1',
    listenAddress: '127.0.0.1',
    browsers: [],
    files: ['hello.html'],
    logLevel: 'OFF',
  }
  const config = await karma.config.parseConfig(null, settings, { promiseConfig: true, throwErrors: true })
  const server = new karma.Server(config)
  server.on('listening', (port) => check(`http://127.0.0.1:${port}`, { ask: () => {}, route: '/base/hello.html' }))
  server.start()
}

main()
