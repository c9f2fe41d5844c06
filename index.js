'use strict'

const parser = require('engine.io-parser')
const { listen } = require('./lib/listener/listen')
const { Server } = require('./lib/server/server')
const { Socket } = require('./lib/session/socket')
const { Transport } = require('./lib/transports/transport')
const transports = require('./lib/transports')
const { uServer } = require('./lib/uws/server')

/** Serves the engine's requests of an HTTP server. */
function attach(server, options) {
  const engine = new Server(options)
  try {
    engine.attach(server, options)
  } catch (error) {
    // else it would stay a member of a cluster
    engine.close()
    throw error
  }
  return engine
}

module.exports = { Server, transports, parser, uServer, Socket, Transport, protocol: parser.protocol, listen, attach }
