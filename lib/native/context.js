'use strict'

// Async contexts: what AsyncLocalStorage and async_hooks see of the engine. Events come from threads that know no
// request. They are delivered like those of Node's own sockets: outside of any request's context and each in its own,
// so that a store that one listener enters (`enterWith`) does not reach other connections. Work that a call puts off
// runs in the context of the call.

const { AsyncResource } = require('async_hooks')
const { callInNoContext } = /** @type {any} */ (require('./load-addon'))

/** The type of the engine's async resources, as hooks see it. */
const TYPE = 'ENGINEIO'

/** A context of the engine's. It says to those who look for what keeps a process alive, as Jest does, that it does not. */
class Context extends AsyncResource {
  constructor() {
    super(TYPE)
  }

  hasRef() {
    return false
  }
}

/** A resource that belongs to no request, also if the module was loaded during one. */
let root

/**
 * One context for all events, used as long as contexts cannot be told apart, because making one takes 100 ns. From
 * Node 24 on a context keeps nothing of what runs in it. Before, a store that is entered becomes a property of the
 * resource; the first one is noticed, and so are hooks, which know contexts by their ids. From then on each event has a
 * context of its own.
 */
let shared
let isShared = true

callInNoContext(() => {
  root = new Context()
  shared = new Context()
})

const { constructor, ...methods } = Object.getOwnPropertyDescriptors(AsyncResource.prototype)
const guard = new Proxy(AsyncResource.prototype, {
  set(target, name, value, resource) {
    isShared = false
    return Reflect.set(target, name, value, resource)
  },
})
Object.setPrototypeOf(shared, Object.create(guard, { ...methods, hasRef: { value: Context.prototype.hasRef } }))

/**
 * Looks for async hooks, and gives each event a context of its own once there are any. Has to be called now and then.
 */
function lookForHooks() {
  if (!isShared) return
  try {
    // Node refuses the empty type exactly if there are hooks
    new AsyncResource('')
  } catch {
    isShared = false
  }
}

/** Calls a function outside of any request's context. */
function atRoot(fn, ...args) {
  return root.runInAsyncScope(fn, undefined, ...args)
}

/** Returns a resource whose `runInAsyncScope()` runs in the current context. */
function capture() {
  return new Context()
}

/** Returns a context for one event, if it is called at the root. What the event enters stays there. */
function contextOfEvent() {
  return isShared ? shared : capture()
}

/** Calls a method in a context of its own that belongs to no request. */
function apart(fn, self, ...args) {
  return atRoot(() => contextOfEvent().runInAsyncScope(fn, self, ...args))
}

module.exports = { apart, atRoot, capture, contextOfEvent, lookForHooks }
