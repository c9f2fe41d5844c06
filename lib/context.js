'use strict'

// Async contexts: what AsyncLocalStorage and async_hooks see of the engine. Events come from threads that know no request. They
// are delivered as those of Node's own sockets are: in no request's context, and each by itself, so that what one listener
// enters (`enterWith`) stays away from other connections. What a call sets off for later runs in the context of the call.

const { AsyncResource } = require('async_hooks')
const { callInNoContext } = require('./native')

/** The type of our resources, as hooks see it. */
const TYPE = 'ENGINEIO'

/** Belongs to no request, wherever the module was loaded. */
let root
callInNoContext(() => {
  root = new AsyncResource(TYPE)
})

/** Calls a function in no request's context. */
function atRoot(fn, ...args) {
  return root.runInAsyncScope(fn, undefined, ...args)
}

/** The current context, in a scope of its own: `runInAsyncScope()` of what this returns runs there. */
function capture() {
  return new AsyncResource(TYPE)
}

/** Calls a method in a context of its own, which is no request's. */
function apart(fn, self, ...args) {
  return atRoot(() => capture().runInAsyncScope(fn, self, ...args))
}

module.exports = { apart, atRoot, capture }
