'use strict'

const { BaseServer } = require('./server')

/** For uWebSockets.js apps in the original. */
class uServer extends BaseServer {
  attach() {
    throw new Error(
      'engine.io-native does not serve uWebSockets.js apps yet: attach it to an http.Server, or call listen(port), which is served by the Rust engine'
    )
  }
}

module.exports = { uServer }
