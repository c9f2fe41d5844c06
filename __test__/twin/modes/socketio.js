'use strict'

/** Socket.IO on the engine; its worlds open their servers themselves. */
module.exports = { name: 'socketio' }
