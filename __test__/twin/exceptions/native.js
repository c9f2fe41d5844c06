"use strict";

// What docs/NATIVE-LISTENER.md says of the listener in Rust, beside the original's `listen()`.

const modes = ["native"];

/** A response, whatever the spelling and the order of its headers' names, and without those about the connection. */
function plain(entry) {
  if (!entry?.startsWith("HTTP/")) return entry;
  const end = entry.indexOf("\n\n");
  const [status, ...lines] = entry.slice(0, end).split("\n");
  const kept = lines.map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase())).filter((line) => !/^(connection|keep-alive|date|transfer-encoding|content-length):/.test(line));
  return [status, ...kept.sort(), entry.slice(end)].join("\n");
}

/** @type {import("./index").Exception[]} */
module.exports = [
  {
    row: "native: headers",
    what: "names and order of the headers are its own",
    modes,
    explains: ({ left, right }) => plain(left) === plain(right),
  },
  {
    row: "native: requests",
    what: "transports have no requests and responses of Node's",
    modes,
    explains: ({ field }) => ["req", "res", "dataReq", "dataRes", "shouldClose"].includes(field),
  },
];
