'use strict'

/**
 * Messages that JavaScript itself receives and sends: those of transports that it drives, and those that it decodes
 * because a transport's `packet` has a listener. The engine counts all others, see src/runtime/owner/counts.rs.
 */
const traffic = { received: 0, sent: 0 }

/** Counts the messages among packets that a transport sends by itself. */
function countSent(packets) {
  for (const { type } of packets) if (type === 'message') traffic.sent++
}

module.exports = { traffic, countSent }
