'use strict'

// Programs through Socket.IO, with its real clients.

const { drawProgram } = require('./program')
const { drawn } = require('./steps')
const { tellHandlers } = require('./handlers')
const { SocketIoWorld } = require('./world')

module.exports = { drawProgram, drawn, World: SocketIoWorld, tellListeners: tellHandlers }
