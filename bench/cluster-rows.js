'use strict'
// The rows of npm run bench -- --cluster. Each one compares ways to serve the same load; the first way is the reference.
//
// A way: its number of processes, members of a cluster unless they are `alone`. Sessions are opened at the `owners` in turn;
// other connections go to the `fronts` in turn, or without them to the session's owner, as behind a perfect sticky balancer.
// `bus`: the client by which the processes meet, each as if it were alone on its machine. `workers`: one process that starts
// them with Node's cluster; all connections go to their one port.

const local = { name: 'at its owner', processes: 2, owners: [0], fronts: [0] }
const foreign = (name) => ({ name, processes: 2, owners: [0], fronts: [1] })
const over = (name, bus) => ({ ...foreign(name), bus })
const four = [
  { name: 'one process', processes: 1, alone: true, owners: [0] },
  { name: 'four, sticky', processes: 4, alone: true, owners: [0, 1, 2, 3] },
  { name: 'four, any', processes: 4, owners: [0, 1, 2, 3], fronts: [1, 2, 3, 0] },
  { name: 'engine.io, four, sticky', processes: 4, alone: true, engine: 'upstream', owners: [0, 1, 2, 3] },
]
const workers = { processes: 1, workers: 4, owners: [0] }
const fourWorkers = [
  { name: 'engine.io, four, sticky', ...workers, alone: true, sticky: true, engine: 'upstream' },
  { name: 'four, sticky', ...workers, alone: true, sticky: true },
  { name: 'four, `cluster: true`', ...workers },
  { name: 'one process', processes: 1, alone: true, owners: [0] },
]
const plain = { name: 'without `cluster`', processes: 1, alone: true, owners: [0] }
const member = { name: 'with `cluster`', processes: 2, owners: [0] }
const RATE = 20_000
const flood = { scenario: 'forged', load: { conns: 64, rate: RATE } }
const sioLoad = { sio: true, path: '/socket.io/', conns: 200, size: 64 }

const rows = [
  {
    id: 'echo',
    group: 'machine',
    title: 'WebSocket: echo, 100 connections, 64 B',
    scenario: 'echo',
    load: { conns: 100, size: 64 },
    ways: [local, foreign('moved to its owner')],
    target: { cpu: 1.03 },
  },
  {
    id: 'upgrade',
    group: 'machine',
    title: 'session: handshake by polling, upgrade, one echo, close',
    scenario: 'poll-upgrade',
    load: { conns: 16, size: 64 },
    ways: [local, foreign('the upgrade moved')],
    target: { cpu: 1.3 },
    // there are some 150 sessions a second, because upgrades wait for 100 ms: V8 compiles for long
    minWarmup: 9,
    minDuration: 4,
  },
  {
    id: 'poll',
    group: 'machine',
    title: 'polling: echo by POST and GET, 100 clients, 64 B',
    scenario: 'poll-echo',
    load: { conns: 100, size: 64 },
    ways: [local, foreign('both forwarded')],
    target: { cpu: 2 },
    minWarmup: 5,
  },
  {
    id: 'bus-echo',
    group: 'bus',
    title: 'WebSocket: echo, 100 connections, 64 B',
    scenario: 'echo',
    load: { conns: 100, size: 64 },
    ways: [
      { ...local, bus: 'redis' },
      over('relayed over Redis, `redis`', 'redis'),
      over('relayed over Redis, `ioredis`', 'ioredis'),
      over('relayed over NATS', 'nats'),
    ],
    minWarmup: 3,
  },
  {
    id: 'bus-poll',
    group: 'bus',
    title: 'polling: echo by POST and GET, 100 clients, 64 B',
    scenario: 'poll-echo',
    load: { conns: 100, size: 64 },
    ways: [
      { ...local, bus: 'redis' },
      over('forwarded over Redis, `redis`', 'redis'),
      over('forwarded over Redis, `ioredis`', 'ioredis'),
      over('forwarded over NATS', 'nats'),
    ],
    minWarmup: 4,
  },
  {
    id: 'bus-echo-lone',
    group: 'bus',
    title: 'WebSocket: echo, one connection',
    scenario: 'echo',
    load: { conns: 1, size: 64 },
    ways: [{ ...local, bus: 'redis' }, over('relayed over Redis, `redis`', 'redis'), over('relayed over NATS', 'nats')],
  },
  {
    id: 'bus-poll-lone',
    group: 'bus',
    title: 'polling: echo by POST and GET, one client',
    scenario: 'poll-echo',
    load: { conns: 1, size: 64 },
    ways: [
      { ...local, bus: 'redis' },
      over('forwarded over Redis, `redis`', 'redis'),
      over('forwarded over NATS', 'nats'),
    ],
  },
  {
    id: 'forged',
    group: 'forged',
    title: 'polls with forged ids, 20,000 a second',
    ...flood,
    rate: RATE,
    ways: [plain, member, { ...plain, name: "Node's HTTP server alone", engine: 'refusal' }],
    // of a core, more than without `cluster`
    target: { more: 0.05 },
  },
  {
    id: 'beside',
    group: 'beside',
    title: 'WebSocket: echo, one connection, beside such polls',
    scenario: 'echo',
    load: { conns: 1, size: 64 },
    ways: [
      { ...plain, flood },
      { ...member, flood },
      { ...plain, name: 'no such polls' },
    ],
  },
  {
    id: 'four-echo',
    group: 'four',
    title: 'WebSocket: echo, 200 connections, 64 B',
    scenario: 'echo',
    load: { conns: 200, size: 64 },
    ways: four,
  },
  {
    id: 'four-poll',
    group: 'four',
    title: 'polling: echo by POST and GET, 200 clients, 64 B',
    scenario: 'poll-echo',
    load: { conns: 200, size: 64 },
    ways: four,
  },
  {
    id: 'four-sio-echo',
    group: 'socketio',
    title: 'Socket.IO: echo, 200 clients, 64 B',
    scenario: 'echo',
    load: sioLoad,
    server: { socketIo: true, task: 'echo' },
    ways: fourWorkers,
  },
  {
    id: 'four-sio-broadcast',
    group: 'socketio',
    title: 'Socket.IO: broadcast to all of 200 clients, 64 B',
    scenario: 'broadcast',
    load: sioLoad,
    server: { socketIo: true, task: 'broadcast' },
    ways: fourWorkers,
  },
]

module.exports = rows
