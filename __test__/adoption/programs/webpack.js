'use strict'

// The development server of webpack and Socket.IO on one port: webpack's own WebSocket for hot modules is beside it.

const webpack = require('webpack')
const { Server } = require('socket.io')
const { serve, urlOf } = require('./check')

async function main() {
  const WebpackDevServer = (await import('webpack-dev-server')).default
  const compiler = webpack({
    mode: 'development',
    entry: './page.js',
    infrastructureLogging: { level: 'none' },
    stats: 'none',
  })
  const dev = new WebpackDevServer({ host: '127.0.0.1', port: 0, static: __dirname }, compiler)
  await dev.start()
  serve(new Server(dev.server))
  console.log(`ready at ${urlOf(dev.server)}`)
}

main()
