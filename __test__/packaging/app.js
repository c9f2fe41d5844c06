'use strict'

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { hostPlatform } = require('../../scripts/build')
const { pack } = require('../../scripts/pack')
const { npm, scratchFolder } = require('./scratch')

const host = hostPlatform()

let tarballs

/**
 * A Socket.IO server with a client by each transport. When all have been answered it tells so, and does what `end` says.
 *
 * @param {string} end code in an async function, where `io` is the server
 */
const program = (end) => `
  const { createServer } = require('node:http')
  const { Server } = require('socket.io')
  const { io: connect } = require('socket.io-client')

  const httpServer = createServer()
  const io = new Server(httpServer)
  io.on('connection', (socket) => socket.on('ask', (answer) => answer('yes')))
  httpServer.listen(0, '127.0.0.1', async () => {
    const url = 'http://127.0.0.1:' + httpServer.address().port
    for (const transports of [['polling'], ['polling', 'websocket'], ['websocket']]) {
      const client = connect(url, { transports, forceNew: true })
      if ((await client.emitWithAck('ask')) !== 'yes') throw new Error('another answer')
      client.close()
    }
    ${end}
  })
`

/**
 * Installs packages into an empty folder, with the packed tarball in the place of `engine.io`.
 *
 * @param {Record<string, string>} dependencies
 * @param {Record<string, string>} files to be there, by their names
 * @returns {string} the folder
 */
function installApp(dependencies, files = {}) {
  tarballs ??= pack(scratchFolder())
  const folder = scratchFolder()
  const manifest = {
    private: true,
    dependencies: { ...dependencies, [`engine.io-native-${host}`]: `file:${tarballs.platforms[host]}` },
    overrides: { 'engine.io': `file:${tarballs.root}` },
  }
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest))
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    fs.writeFileSync(path.join(folder, name), text)
  }
  const { status, output } = npm(folder, 'install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline')
  assert.equal(status, 0, output)
  return folder
}

module.exports = { installApp, program }
