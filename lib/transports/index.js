'use strict'

const { Polling } = require('./polling')
const { JSONP } = require('./polling-jsonp')
const { WebSocket } = require('./websocket')
const { watched } = require('./watched')
const { WebTransport } = require('./webtransport')

/** HTTP long-polling: by script tags where the client asks for it (`j`), by XHR otherwise. */
function polling(req) {
  const Class = typeof req._query.j === 'string' ? JSONP : Polling
  return req._listener === undefined ? new Class(req) : new (watched(Class))(req)
}

polling.upgradesTo = ['websocket', 'webtransport']

module.exports = { polling, websocket: WebSocket, webtransport: WebTransport }
