'use strict'

const fs = require('node:fs')
const https = require('node:https')
const path = require('node:path')
const { bind, shut } = require('./bind')

const read = (name) => fs.readFileSync(path.join(__dirname, '../../fixtures/tls', name))

/** `attach()` on a server that speaks TLS. */
module.exports = {
  name: 'https',
  tls: true,
  async open({ Engine, options, prepare }) {
    const server = https.createServer({ key: read('key.pem'), cert: read('cert.pem') }, (req, res) =>
      res.writeHead(404).end("not the engine's"),
    )
    const engine = new Engine.Server(options)
    prepare(engine)
    engine.attach(server, options)
    return { engine, server, port: await bind(server), close: () => shut(server) }
  },
}
