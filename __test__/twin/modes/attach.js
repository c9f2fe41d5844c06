'use strict'

const http = require('node:http')
const { bind, shut } = require('./bind')

/** `attach()` on a server of Node's. */
module.exports = {
  name: 'attach',
  async open({ Engine, options, prepare }) {
    const server = http.createServer((req, res) => res.writeHead(404).end("not the engine's"))
    const engine = new Engine.Server(options)
    prepare(engine)
    engine.attach(server, options)
    return { engine, server, port: await bind(server), close: () => shut(server) }
  },
}
