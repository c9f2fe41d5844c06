"use strict";

// Rows of docs/DIFFERENCES.md about uServer.

/** @type {import("./index").Exception[]} */
module.exports = [];
