'use strict'

// Socket.IO on each of the two engines, in one process: loaded once for each, with that engine in the place of engine.io.

const Module = require('node:module')
const path = require('node:path')

const FOLDER = `${path.dirname(require.resolve('socket.io/package.json'))}${path.sep}`

const loaded = new Map()

function forget() {
  for (const file of Object.keys(require.cache)) if (file.startsWith(FOLDER)) delete require.cache[file]
}

/** @returns what `require("socket.io")` gives where `require("engine.io")` gives this engine */
function socketIoOn(Engine) {
  if (!loaded.has(Engine)) {
    const load = Module._load
    Module._load = function (request, ...rest) {
      return request === 'engine.io' ? Engine : load.call(this, request, ...rest)
    }
    try {
      forget()
      loaded.set(Engine, require('socket.io'))
    } finally {
      Module._load = load
      forget()
    }
  }
  return loaded.get(Engine)
}

module.exports = { socketIoOn }
