'use strict'

const http = require('node:http')
const { defer } = require('./cleanup')
const { engine } = require('./engine')
const { bind } = require('./server')

/** A server of a class of the test's own, attached and listening: a context as `listen()` gives it. */
async function serve(Class = engine.Server, opts = {}) {
  const server = http.createServer()
  const attached = new Class(opts)
  attached.attach(server, opts)
  const port = await bind(server)
  defer(() => attached.close())
  return { engine: attached, server, port, path: '/engine.io/' }
}

module.exports = { serve }
