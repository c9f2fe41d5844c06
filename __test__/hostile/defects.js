'use strict'

// What the original does not survive, or does not do: cells that are left out there, with the reason. `EXPECTED=run` runs
// them all the same, to see that they fail.

const NODE = /^(?!uServer|WebTransport)/
const UWS = /^uServer/
const WEBTRANSPORT = /^WebTransport/

/** `attack` and `row` are names or patterns of them; a missing one stands for all. Numbers are rows of docs/DIFFERENCES.md. */
const defects = [
  {
    attack: /^a (data|message|packet|transport packet) listener that throws$/,
    reason: 'the POST whose packet it heard is never answered, and a WebSocket never read again (8)',
  },
  {
    attack: /^a (drain|transport drain|flush|packetCreate|close) listener that throws$/,
    reason: 'the poll or POST that was about to be answered never is (8, 9)',
  },
  {
    attack: 'a transport close listener that throws',
    row: /^(?!uServer)/,
    reason: 'the poll or POST that was about to be answered never is (8, 9)',
  },
  {
    attack: 'a server flush listener that throws',
    row: NODE,
    reason: 'the poll that was about to be answered never is (9)',
  },
  {
    attack: /^a (headers|initial_headers|connection_error) listener that throws$/,
    row: NODE,
    reason: 'the request it heard of is never answered (10)',
  },
  { attack: /^header with/, row: NODE, reason: 'the request that was to get the header is never answered (10, 14)' },
  { attack: /^allowRequest (throws|rejects)$/, reason: 'the request is never answered (24)' },
  { attack: 'allowRequest twice', reason: 'the second session has no request to answer: an unhandled rejection (16)' },
  {
    attack: 'middleware answers and goes on',
    reason: 'the answered request is answered anew: an unhandled rejection (25)',
  },
  {
    attack: /^(allowRequest|allowRequest refuses|middleware) late, after reset$/,
    row: NODE,
    reason: 'a socket without a listener of errors: the process ends (12)',
  },
  {
    attack: 'forged ids of upgrades',
    row: /^onWebSocket/,
    reason: 'the name of a property of all objects is taken for a session: the process ends',
  },
  {
    attack: /^(a heartbeat listener that throws|a upgrade listener that throws|a probe that is the upgrade itself)$/,
    row: /protocol 3$/,
    reason: 'the session stays without a heartbeat until its client goes (11)',
  },
  {
    attack: /^a (heartbeat|upgrade|upgrading) listener that throws$/,
    row: WEBTRANSPORT,
    reason: "the session's stream is never read again, and nobody hears of the exception (8)",
  },
  {
    attack: /^reset (after the stream is opened|within the first packet's header)$/,
    row: WEBTRANSPORT,
    reason: 'a stream that breaks before the handshake is an unhandled rejection (30)',
  },
  {
    attack:
      /^a (connection|headers|initial_headers|connection_error|server flush|transport close) listener that throws$/,
    row: UWS,
    reason: 'the upgrade or request is never answered, or its session stays (34)',
  },
  { attack: /^header with/, row: UWS, reason: 'the header is sent as it is, and splits the response (14)' },
  {
    attack: /^(allowRequest|allowRequest refuses|generateId|middleware) late, after (abort|half-close|reset)$/,
    row: UWS,
    reason: 'the response is used after its client is gone: the process ends (34)',
  },
  {
    attack: /^(an application that closes in connection|an upgrade for the polling transport)$/,
    row: UWS,
    reason: 'the session is closed before there is a WebSocket, or has none: an unhandled rejection (34)',
  },
]

const matches = (pattern, name) =>
  pattern === undefined || (pattern instanceof RegExp ? pattern.test(name) : pattern === name)

/** Why the original is not attacked in this way at this door; undefined: it is. */
function defectOf(row, attack) {
  return defects.find((one) => matches(one.row, row.name) && matches(one.attack, attack.name))?.reason
}

module.exports = { defects, defectOf }
