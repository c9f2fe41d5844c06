"use strict";

// Exceptions that nobody catches belong to what is observed. They are given to the world in whose run they came up: by a
// mark in the message, where they are the program's own, else by their context.

const { AsyncLocalStorage } = require("node:async_hooks");

const context = new AsyncLocalStorage();
const worlds = new Map();

/** Exceptions that belong to no world that is known. */
const strays = [];

function ownerOf(error) {
  const mark = /twin#(\d+)/.exec(String(error?.message ?? error));
  const world = mark ? worlds.get(Number(mark[1])) : context.getStore();
  if (world !== undefined) return world;
  // only one runs on this engine: no doubt
  const engine = /engine\.io-native|wt-|\/lib\/|node:/.test(String(error?.stack)) && !/node_modules\/engine\.io\//.test(String(error?.stack)) ? "native" : "upstream";
  const running = [...worlds.values()].filter((one) => one.side === engine);
  return running.length === 1 ? running[0] : undefined;
}

function take(kind, error) {
  const world = ownerOf(error);
  if (world === undefined) strays.push(error);
  // what is broken when the record is closed and its server taken down is the program's doing
  else if (!world.over) world.record("process", `${kind} ${world.observer.show(error)}`);
}

function watchProcess() {
  process.on("uncaughtException", (error) => take("uncaughtException", error));
  process.on("unhandledRejection", (error) => take("unhandledRejection", error));
}

module.exports = { context, worlds, strays, watchProcess };
