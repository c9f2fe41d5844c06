'use strict'

/** A program may take longer than connections are kept, where the machine has much to do; in ms. */
const KEPT = 600_000

function bind(server) {
  keep(server)
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
}

/** Keeps connections that are idle. */
const keep = (server) => void (server.keepAliveTimeout = KEPT)

function shut(server) {
  server.close()
  server.closeAllConnections?.()
}

module.exports = { bind, keep, shut }
