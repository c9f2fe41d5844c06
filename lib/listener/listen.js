'use strict'

const http = require('http')
const { listenNatively } = require('./native-listener')
const { shown } = require('../base/shown')
const { Server } = require('../server/server')

/**
 * Makes an `http.Server` of Node's for the engine's requests and has it listen. It answers all other requests with `501
 * Not Implemented`. With the option `listener: 'native'` the Rust core accepts and parses, see docs/NATIVE-LISTENER.md.
 *
 * @param {number | string | object} port what `http.Server.listen` takes as its first argument
 * @param {object} [options] those of `Server` and `attach`
 * @param {() => void} [callback] for `listening`
 */
function listen(port, options, callback) {
  if (typeof options === 'function') {
    callback = options
    options = {}
  }
  if (wantsNativeListener(options)) return listenNatively(port, options, callback)
  const server = http.createServer((req, res) => {
    res.writeHead(501)
    res.end('Not Implemented')
  })
  const engine = new Server(options)
  try {
    engine.attach(server, options)
    engine.httpServer = server
    server.listen(port, callback)
  } catch (error) {
    // else it would stay a member of a cluster
    engine.close()
    throw error
  }
  return engine
}

function wantsNativeListener(options) {
  const listener = options && Object.hasOwn(options, 'listener') ? options.listener : undefined
  if (listener === undefined || listener === 'native') return listener === 'native'
  throw new TypeError(`The option listener must be 'native', or be left out, got ${shown(listener)}.`)
}

module.exports = { listen }
