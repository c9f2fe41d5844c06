"use strict";

const { afterEach } = require("node:test");

const open = [];

/** Runs `dispose` after the current test, last opened first. */
function defer(dispose) {
  open.push(dispose);
}

afterEach(async () => {
  while (open.length > 0) {
    await open.pop()();
  }
});

module.exports = { defer };
