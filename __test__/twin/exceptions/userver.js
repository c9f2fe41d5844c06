"use strict";

// Rows of docs/DIFFERENCES.md about uServer.

const modes = ["uServer"];

/** A record with the paths of requests alone. */
const withoutQuery = (entry) => entry?.replace(/(<request \w+ [^?>]*)\?[^>]*>/g, "$1>");

/** @type {import("./index").Exception[]} */
module.exports = [
  {
    row: 32,
    what: "req.url has the query, too",
    modes,
    explains: ({ left, right }) => left !== right && withoutQuery(left) === withoutQuery(right),
  },
];
