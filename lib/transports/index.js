'use strict'

const { Polling } = require('./polling')
const { JSONP } = require('./polling-jsonp')
const { WebSocket } = require('./websocket')
const { WebTransport } = require('./webtransport')

/** HTTP long-polling: by script tags where the client asks for it (`j`), by XHR otherwise. */
function polling(req, opts) {
  return typeof req._query.j === 'string' ? new JSONP(req, opts) : new Polling(req, opts)
}

polling.upgradesTo = ['websocket', 'webtransport']

module.exports = { polling, websocket: WebSocket, webtransport: WebTransport }
