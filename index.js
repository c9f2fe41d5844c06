'use strict'

const parser = require('engine.io-parser')
const { listen } = require('./lib/listen')
const { Server } = require('./lib/server')
const { Socket } = require('./lib/socket')
const { Transport } = require('./lib/transport')
const transports = require('./lib/transports')
const { uServer } = require('./lib/userver')

/** Serves the engine's requests of an HTTP server. */
function attach(server, options) {
  const engine = new Server(options)
  engine.attach(server, options)
  return engine
}

module.exports = { Server, transports, parser, uServer, Socket, Transport, protocol: parser.protocol, listen, attach }
