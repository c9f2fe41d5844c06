'use strict'

const { Polling } = require('./polling')
const { JSONP } = require('./polling-jsonp')
const { WebSocket } = require('./websocket')
const { WebTransport } = require('./webtransport')

/** Makes a transport for HTTP long-polling: by script tags if the client asks for it (`j`), otherwise by XHR. */
function polling(req, opts) {
  return typeof req._query.j === 'string' ? new JSONP(req, opts) : new Polling(req, opts)
}

polling.upgradesTo = ['websocket', 'webtransport']

module.exports = { polling, websocket: WebSocket, webtransport: WebTransport }
