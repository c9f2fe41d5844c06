"use strict";

const uWS = require("uWebSockets.js");

/** An app of uWebSockets.js. */
module.exports = {
  name: "uServer",
  available: typeof uWS.App === "function" && /native code/.test(uWS.App),
  async open({ Engine, options, prepare }) {
    const app = uWS.App();
    const engine = new Engine.uServer(options);
    prepare(engine);
    engine.attach(app, { ...options, compression: options.perMessageDeflate ? uWS.SHARED_COMPRESSOR : undefined });
    app.any("/*", (res) => res.writeStatus("404 Not Found").end("not the engine's"));
    const token = await new Promise((resolve) => app.listen("127.0.0.1", 0, resolve));
    return { engine, port: uWS.us_socket_local_port(token), close: () => uWS.us_listen_socket_close(token) };
  },
};
