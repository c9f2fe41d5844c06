'use strict'

// Exceptions that nobody catches belong to what is observed. They are given to the world in whose run they came up: by a
// mark in the message, where they are the program's own, else by their context.

const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks')
const { errorMonitor } = require('node:events')

const context = new AsyncLocalStorage()
const worlds = new Map()

/** Exceptions that belong to no world that is known. */
const strays = []

/** Errors of connections, which have no context, and those that have left theirs. */
const worldsOfErrors = new WeakMap()

/** A function that runs in the context of this moment. What it throws leaves the context and still belongs to it. */
function bound(fn) {
  const world = context.getStore()
  return AsyncResource.bind((...args) => {
    try {
      return fn(...args)
    } catch (error) {
      if (world !== undefined && error instanceof Error) worldsOfErrors.set(error, world)
      throw error
    }
  })
}

/** Sees whose the errors of a server's connections are, and handles none. */
function watchServer(server, world) {
  for (const event of ['connection', 'secureConnection'])
    server.on(event, (socket) => socket.on(errorMonitor, (error) => worldsOfErrors.set(error, world)))
}

/** Who has recorded something last, if that was in this turn of the event loop. */
let last

function noticed(world) {
  if (last === undefined) setImmediate(() => (last = undefined))
  last = world
}

function worldOf(error) {
  const mark = /twin#(\d+)/.exec(String(error?.message ?? error))
  // a timer may outlive its world
  if (mark) return worlds.get(Number(mark[1])) ?? { over: true }
  if (worldsOfErrors.has(error)) return worldsOfErrors.get(error)
  const store = context.getStore()
  if (store !== undefined) return store
  if (last !== undefined) return last
  return worlds.size === 1 ? [...worlds.values()][0] : undefined
}

function take(kind, error) {
  const world = worldOf(error)
  if (world === undefined) strays.push(error)
  // what is broken when the record is closed and its server taken down is the program's doing
  else if (!world.over) world.record('process', `${kind} ${world.observer.show(error)}`)
}

function watchProcess() {
  process.on('uncaughtException', (error) => take('uncaughtException', error))
  process.on('unhandledRejection', (error) => take('unhandledRejection', error))
}

module.exports = { bound, context, noticed, worldOf, worlds, strays, watchProcess, watchServer }
