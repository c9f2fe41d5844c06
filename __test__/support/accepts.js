'use strict'

const net = require('node:net')

/**
 * Returns whether something accepts connections at a port of this machine, or at the path of a socket.
 *
 * @param {number | string} where
 * @returns {Promise<boolean>}
 */
function accepts(where) {
  return new Promise((resolve) => {
    const socket = net.connect(typeof where === 'number' ? { port: where, host: '127.0.0.1' } : { path: where })
    socket.on('error', () => resolve(false))
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

module.exports = { accepts }
