'use strict'

// What programs are about: the engine itself, or Socket.IO on top of it. Each draws programs of its own, has a world in
// which they run, and tells them.

const { tellCalls } = require('./calls')
const { drawProgram } = require('./program')
const socketio = require('./socketio')
const { drawn } = require('./steps')
const { World } = require('./world')

const engine = { drawProgram, drawn, World, tellListeners: tellCalls }

const domainOf = (mode) => (mode === 'socketio' ? socketio : engine)

module.exports = { domainOf }
