'use strict'

const { keep, shut } = require('./bind')

/** The package's own `listen()`. */
module.exports = {
  name: 'listen',
  async open({ Engine, options, prepare }) {
    const engine = Engine.listen(0, options)
    prepare(engine)
    const { httpServer } = engine
    keep(httpServer)
    if (!httpServer.listening) await new Promise((resolve) => httpServer.once('listening', resolve))
    return { engine, server: httpServer, port: httpServer.address().port, close: () => shut(httpServer) }
  },
}
