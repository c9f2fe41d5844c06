'use strict'

const { defer } = require('./cleanup')
const { engine } = require('./engine')

/** uWebSockets.js, where it loads: it has binaries for some platforms and versions of Node.js only. */
let uWS = null
let reason = false
try {
  uWS = require('uWebSockets.js')
  if (typeof uWS.App !== 'function' || !/native code/.test(uWS.App))
    throw new Error('only its replacement in JavaScript is here')
} catch (error) {
  reason = `uWebSockets.js does not load here: ${error.message.split('\n')[0]}`
}

/** An engine on an app of uWebSockets.js: a context as `listen()` gives it, and the `app`. */
async function listenOnUws(opts = {}, prepare = () => {}) {
  const app = uWS.App()
  const attached = new engine.uServer(opts)
  prepare(attached, app)
  attached.attach(app, opts)
  const token = await new Promise((resolve) => app.listen('127.0.0.1', 0, resolve))
  const port = uWS.us_socket_local_port(token)
  defer(() => {
    attached.close()
    uWS.us_listen_socket_close(token)
  })
  return { engine: attached, app, port, path: '/engine.io/' }
}

module.exports = { listenOnUws, uWS, skip: reason }
