"use strict";

// How a server is made, and how clients reach it: `open({ Engine, options, prepare })` gives `{ engine, port, close() }`;
// `prepare(engine)` is called before the first client can come.

const modes = [require("./attach"), require("./handle"), require("./https"), require("./ws-engine"), require("./listen")];

module.exports = Object.fromEntries(modes.map((mode) => [mode.name, mode]));
