'use strict'

const { kOnDecision } = require('./symbols')
// Requests of polling clients that were accepted. Each is answered or refused, or its connection ends, whatever becomes of
// its session meanwhile: what is decided about a poll, on any thread, names the poll, and reaches it without the session.

/** The largest number that a poll gets; larger ones are those of the engine's own listener. */
const MAX_POLL = 0x7fffffff

/** The transports that polls wait in, by the polls' numbers. */
const polls = new Map()
let lastPoll = 0

/** The transports that read a POST. */
const posts = new Set()

/** A transport has accepted a poll. Returns its number, which comes again after two thousand million others. */
function acceptPoll(transport) {
  lastPoll = (lastPoll % MAX_POLL) + 1
  polls.set(lastPoll, transport)
  return lastPoll
}

/** The poll has been answered, or its client is gone. */
function endPoll(poll) {
  polls.delete(poll)
}

/** The engine has decided about a poll, see `Kind` in lib/bridge.js. The client may have gone away meanwhile. */
function decidePoll(kind, poll, payload) {
  const transport = polls.get(poll)
  if (transport !== undefined) transport[kOnDecision](kind, payload)
}

module.exports = { polls, posts, acceptPoll, endPoll, decidePoll }
