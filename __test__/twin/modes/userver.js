'use strict'

const uWS = require('uWebSockets.js')
const { bound } = require('../faults')

/** What of a response uWebSockets.js calls back. */
const CALLING_BACK = ['onAborted', 'onData', 'onWritable']

/**
 * The app, as it is given to an engine: what it calls runs in the context of the program, by which exceptions are told
 * apart. uWebSockets.js has none.
 */
function inContext(app) {
  const serve = (handler) =>
    bound((res, ...rest) => {
      for (const name of CALLING_BACK) {
        const own = res[name]
        res[name] = (fn) => own.call(res, bound(fn))
      }
      return handler(res, ...rest)
    })
  return {
    any(path, handler) {
      app.any(path, serve(handler))
      return this
    },
    ws(path, { upgrade, open, message, drain, close, ...options }) {
      const handlers = Object.entries({ open, message, drain, close })
        .filter(([, fn]) => fn !== undefined)
        .map(([name, fn]) => [name, bound(fn)])
      app.ws(path, { ...options, upgrade: serve(upgrade), ...Object.fromEntries(handlers) })
      return this
    },
  }
}

/** An app of uWebSockets.js. */
module.exports = {
  name: 'uServer',
  available: typeof uWS.App === 'function' && /native code/.test(uWS.App),
  async open({ Engine, options, prepare }) {
    const app = uWS.App()
    const engine = new Engine.uServer(options)
    prepare(engine)
    engine.attach(inContext(app), {
      ...options,
      compression: options.perMessageDeflate ? uWS.SHARED_COMPRESSOR : undefined,
    })
    app.any('/*', (res) => res.writeStatus('404 Not Found').end("not the engine's"))
    const token = await new Promise((resolve) => app.listen('127.0.0.1', 0, resolve))
    return { engine, port: uWS.us_socket_local_port(token), close: () => uWS.us_listen_socket_close(token) }
  },
}
