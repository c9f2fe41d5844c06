'use strict'

const http = require('node:http')
const { bind, shut } = require('./bind')

/** `handleRequest()` and `handleUpgrade()`, called by the application. */
module.exports = {
  name: 'handle',
  async open({ Engine, options, prepare, entered }) {
    const engine = new Engine.Server(options)
    prepare(engine)
    // both may throw
    const server = http.createServer((req, res) => {
      entered()
      engine.handleRequest(req, res)
    })
    server.on('upgrade', (req, socket, head) => {
      entered()
      engine.handleUpgrade(req, socket, head)
    })
    return { engine, server, port: await bind(server), close: () => shut(server) }
  },
}
