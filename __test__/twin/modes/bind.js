'use strict'

function bind(server) {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
}

function shut(server) {
  server.close()
  server.closeAllConnections?.()
}

module.exports = { bind, shut }
