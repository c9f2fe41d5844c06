'use strict'

const { filterCalls } = require('../calls')
const listen = require('./listen')

const REFUSED = new Set(['onRequest', 'onData', 'onPollRequest', 'onDataRequest', 'headers', 'write', 'doWrite'])

/** Whether the listener takes a call: it shows JavaScript no request. */
const taken = (call) => !(call.on === 'transport' && (call.event === 'headers' || REFUSED.has(call.method)))

const closesAt = (event) => ({ do: 'listen', on: 'socket', event, by: 'on', calls: [{ do: 'close' }] })

/** The native listener, beside the original's `listen()`. Programs have nothing that it refuses: see docs/NATIVE-LISTENER.md. */
module.exports = {
  name: 'native',
  open: (how) => listen.open({ ...how, options: { ...how.options, listener: 'native' } }),
  adapt(program, random) {
    program.hooks = []
    delete program.options.cors
    program.listeners = filterCalls(program.listeners, taken)
    for (const step of program.steps) if (step.calls !== undefined) step.calls = filterCalls(step.calls, taken)
    program.watch.server = program.watch.server.filter((event) => !event.endsWith('headers'))
    program.watch.transport = program.watch.transport.filter((event) => event !== 'headers')
    // what a client has written while its session is being closed is posted to one that is not there any more
    if (program.kind === 'real' && random.chance(0.25))
      program.listeners.push(closesAt(random.pick(['data', 'message'])))
  },
}
