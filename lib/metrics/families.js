'use strict'

// The numbers of `server.metrics()` as exporters name them: families of values with labels.

const MS = 1000

const gauge = (name, help, values) => ({ name, help, type: 'gauge', values })
const counter = (name, help, values) => ({ name, help, type: 'counter', values })
const histogram = (name, help, value) => ({ name, help, type: 'histogram', value })

/** A number without labels. */
const one = (value) => [{ labels: {}, value }]

/** Numbers by one label. */
const by = (label, numbers) => Object.entries(numbers).map(([name, value]) => ({ labels: { [label]: name }, value }))

/** Numbers of sessions. */
const byKind = (numbers) =>
  Object.entries(numbers).flatMap(([transport, protocols]) =>
    by('protocol', protocols).map(({ labels, value }) => ({ labels: { transport, ...labels }, value })),
  )

const bothWays = (received, sent) => by('direction', { received, sent })

/** A histogram of milliseconds in seconds. */
const seconds = ({ bounds, counts, count, sum }) => ({
  bounds: bounds.map((bound) => bound / MS),
  counts,
  count,
  sum: sum / MS,
})

/** Returns the families of what `server.metrics()` has returned. Names lack their prefix, and counters `_total`. */
function familiesOf({ sessions, refusals, upgrades, closes, backpressure, cluster, thread }) {
  const { messages, websocket, polling, eventLoop } = thread
  const { failed, ...ended } = upgrades
  const { givenUp, sessionEnded, closed, error } = failed
  const families = [
    gauge('sessions', 'Sessions that are open.', byKind(sessions.open)),
    counter('sessions_opened', 'Sessions that were opened.', byKind(sessions.opened)),
    counter('sessions_closed', 'Sessions that have closed.', by('reason', closes)),
    counter('refusals', 'Requests that were refused.', by('reason', refusals)),
    counter('upgrades', 'Upgrades of sessions that were started, completed or refused.', by('state', ended)),
    counter(
      'upgrade_failures',
      'Upgrades of sessions that have failed.',
      by('reason', { 'given up': givenUp, 'session ended': sessionEnded, closed, error }),
    ),
    gauge('slow_sessions', 'Sessions whose client does not take what is sent.', one(backpressure.sessions)),
    gauge('slow_session_bytes', 'Bytes that wait for these clients.', one(backpressure.bytes)),
    counter('backpressure_closes', 'Sessions that were closed because of maxBackpressure.', one(backpressure.closed)),
    counter('backpressure_drops', 'Messages that were dropped because of maxBackpressure.', one(backpressure.dropped)),
    counter('messages', 'Messages of all servers of the thread.', bothWays(messages.received, messages.sent)),
    counter(
      'message_bytes',
      'Bytes of the contents of messages.',
      bothWays(messages.receivedBytes, messages.sentBytes),
    ),
    counter(
      'websocket_frames',
      'Frames of WebSocket connections.',
      bothWays(websocket.framesReceived, websocket.framesSent),
    ),
    counter(
      'websocket_bytes',
      'Bytes of WebSocket connections.',
      bothWays(websocket.receivedBytes, websocket.sentBytes),
    ),
    counter('congestions', 'Times that a WebSocket peer was too slow.', one(websocket.congestions)),
    counter('polls', 'GET requests of polling clients.', one(polling.polls)),
    counter('posts', 'POST requests of polling clients.', one(polling.posts)),
    counter('polling_bytes', 'Bytes of payloads.', bothWays(polling.receivedBytes, polling.sentBytes)),
    histogram('batch_events', 'Events that JavaScript took at once.', thread.batches),
    histogram('delay_seconds', 'Time that events waited for JavaScript.', seconds(thread.delay)),
    gauge('untaken_bytes', 'Bytes of events that wait for JavaScript.', one(thread.untakenBytes)),
    counter('stale_calls', 'Calls into the engine with a stale handle.', one(thread.staleCalls)),
  ]
  if (cluster !== undefined) families.push(...familiesOfCluster(cluster))
  if (eventLoop !== undefined) {
    const { mean, p50, p99, max } = eventLoop
    const values = by('quantile', { mean: mean / MS, 0.5: p50 / MS, 0.99: p99 / MS, max: max / MS })
    families.push(gauge('event_loop_delay_seconds', 'How late the event loop was.', values))
  }
  return families
}

/** Returns the families of what processes do for each other. */
function familiesOfCluster({ bus, ...numbers }) {
  const { peers, gateways, links, waiting, searches, unavailable, served, accepted, forged, gone, failed } = numbers
  const { forwarded, moved, relayed, viaGateway } = numbers
  const passed = { forwarded, moved, relayed, 'via gateway': viaGateway }
  const families = [
    gauge('cluster_peers', 'Other processes in the directory.', one(peers)),
    gauge('cluster_gateways', 'Those of them with a bus.', one(gateways)),
    gauge('cluster_links', 'Links to other processes.', one(links)),
    gauge('cluster_waiting', 'Requests that other processes have to answer.', one(waiting)),
    counter('cluster_searches', 'Searches for sessions.', one(searches)),
    counter('cluster_passed', 'Requests that were passed on.', by('how', passed)),
    counter('cluster_taken', 'Requests that others have passed on.', by('how', { served, accepted })),
    counter('cluster_unknown', 'Ids without a session.', by('why', { forged, gone, failed })),
    counter('cluster_unavailable', 'Requests that were answered 503.', one(unavailable + (bus?.unavailable ?? 0))),
  ]
  return bus === undefined ? families : [...families, ...familiesOfBus(bus)]
}

function familiesOfBus(bus) {
  const { nodes, neighbours, waiting, served, asked, relayed, claimed, given, sent, received, failures } = bus
  const { unsent, refused, unreadable, misdirected, stale, violations } = bus
  const dropped = { unsent, refused, unreadable, misdirected, stale, violations }
  return [
    gauge('cluster_bus_nodes', 'Other processes on the bus.', one(nodes)),
    gauge('cluster_bus_neighbours', 'Processes that are reached by way of this one.', one(neighbours)),
    gauge('cluster_bus_served', 'Requests from the bus that are being served.', one(served)),
    gauge('cluster_bus_waiting', 'Requests that wait for an earlier answer.', one(waiting)),
    counter('cluster_bus_asked', 'Requests that were passed on over the bus.', one(asked)),
    counter('cluster_bus_handed_on', 'Requests from the bus for other processes of this machine.', one(bus.handedOn)),
    counter('cluster_bus_relayed', 'Connections that were relayed over the bus.', one(relayed)),
    counter('cluster_bus_sessions', 'Sessions that have moved.', by('how', { claimed, given })),
    counter('cluster_bus_messages', 'Messages on the bus.', bothWays(received, sent)),
    counter('cluster_bus_dropped', 'Messages that were dropped, or not taken by the bus.', by('why', dropped)),
    counter('cluster_bus_failures', 'Attempts to subscribe that have failed.', one(failures)),
  ]
}

/**
 * Returns a histogram's values: `{ suffix, labels, value }`, with cumulative buckets.
 */
function partsOf({ bounds, counts, count, sum }) {
  let below = 0
  const buckets = counts.map((number, index) => ({
    suffix: 'bucket',
    labels: { le: index < bounds.length ? String(bounds[index]) : '+Inf' },
    value: (below += number),
  }))
  return [...buckets, { suffix: 'sum', labels: {}, value: sum }, { suffix: 'count', labels: {}, value: count }]
}

module.exports = { familiesOf, partsOf }
