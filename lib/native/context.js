'use strict'

// Async contexts: what AsyncLocalStorage and async_hooks see of the engine. Events come from threads that know no request. They
// are delivered as those of Node's own sockets are: in no request's context, and each by itself, so that what one listener
// enters (`enterWith`) stays away from other connections. What a call sets off for later runs in the context of the call.

const { AsyncResource } = require('async_hooks')
const { callInNoContext } = require('./load-addon')

/** The type of our resources, as hooks see it. */
const TYPE = 'ENGINEIO'

/** Belongs to no request, wherever the module was loaded. */
let root

/**
 * The context of all events, one after the other, as long as nothing tells them apart: to make one for each takes 100 ns. From
 * Node 24 on it keeps nothing of what runs in it. Before, a store that is entered is a property of the resource: the first one
 * is noticed, and so are hooks, which know contexts by their ids. From then on each event has its own.
 */
let shared
let isShared = true

callInNoContext(() => {
  root = new AsyncResource(TYPE)
  shared = new AsyncResource(TYPE)
})

const { constructor, ...methods } = Object.getOwnPropertyDescriptors(AsyncResource.prototype)
const guard = new Proxy(AsyncResource.prototype, {
  set(target, name, value, resource) {
    isShared = false
    return Reflect.set(target, name, value, resource)
  },
})
Object.setPrototypeOf(shared, Object.create(guard, methods))

/** To be called now and then: has each event delivered in a context of its own when somebody has set up hooks. */
function lookForHooks() {
  if (!isShared) return
  try {
    // the empty type is refused if, and only if, there is somebody to be told of it
    new AsyncResource('')
  } catch {
    isShared = false
  }
}

/** Calls a function in no request's context. */
function atRoot(fn, ...args) {
  return root.runInAsyncScope(fn, undefined, ...args)
}

/** The current context, in a scope of its own: `runInAsyncScope()` of what this returns runs there. */
function capture() {
  return new AsyncResource(TYPE)
}

/** A context for one event, if this is called at the root: what the event enters stays there. */
function contextOfEvent() {
  return isShared ? shared : capture()
}

/** Calls a method in a context of its own, which is no request's. */
function apart(fn, self, ...args) {
  return atRoot(() => contextOfEvent().runInAsyncScope(fn, self, ...args))
}

module.exports = { apart, atRoot, capture, contextOfEvent, lookForHooks }
