'use strict';
// What is measured. scenario and load go to the load generator, server to the peer, target is what we aim at
// (ratios to the original: total CPU, JS-thread CPU, rate; p50; memory).
const row = (id, title, scenario, load, server, target = {}, more = {}) => ({
  id, title, scenario, load, server: { mode: 'attach', task: scenario, env: {}, ...server }, target, kind: 'message', unit: 'message', ...more,
});
const opts = (o) => ({ OPTS: JSON.stringify(o) });
const sio = { socketIo: true };
const sioLoad = { sio: true, path: '/socket.io/' };
// A polling handshake leaves a session that nobody closes. Short deadlines make opening and expiry a steady state,
// in place of a heap that grows through the whole run. The same for every engine.
const expiring = opts({ pingInterval: 300, pingTimeout: 200 });
const quick = { quick: true };

module.exports = [
  row('echo64', 'echo, 100 connections, 64 B text', 'echo', { conns: 100, size: 64 }, {}, { total: 0.5, js: 0.1, rate: 2 }, quick),
  row('echo64x8', 'echo, 100 connections, 64 B text, 8 in flight', 'echo', { conns: 100, size: 64, inflight: 8 }, {}, { total: 0.14, js: 0.06, rate: 6 }, quick),
  row('echo1k', 'echo, 100 connections, 1 KiB text', 'echo', { conns: 100, size: 1024 }, {}, { total: 0.5, js: 0.12, rate: 2 }, quick),
  row('echo16k', 'echo, 100 connections, 16 KiB binary', 'echo', { conns: 100, size: 16384, binary: true }, {}, { total: 0.3, js: 0.12, rate: 3.2 }, quick),
  row('receive64', 'receive only, 64 B text', 'receive', { conns: 100, size: 64 }, {}, { total: 0.2, js: 0.12, rate: 5 }, quick),
  row('broadcast64', 'broadcast to 1,000, 64 B', 'broadcast', { conns: 1000, size: 64 }, {}, { total: 0.5, js: 0.06, rate: 1.9 }, { ...quick, unit: 'delivery' }),
  row('broadcast1k', 'broadcast to 1,000, 1 KiB', 'broadcast', { conns: 1000, size: 1024 }, {}, { total: 0.5, js: 0.06, rate: 1.9 }, { unit: 'delivery' }),
  row('broadcast64pre', 'broadcast to 1,000, 64 B, shared pre-encoded frame', 'broadcast', { conns: 1000, size: 64 }, { task: 'broadcast-pre' }, { total: 0.45, js: 0.06, rate: 2 }, { unit: 'delivery' }),
  row('broadcast1kpre', 'broadcast to 1,000, 1 KiB, shared pre-encoded frame', 'broadcast', { conns: 1000, size: 1024 }, { task: 'broadcast-pre' }, { total: 0.45, js: 0.06, rate: 2 }, { unit: 'delivery' }),
  row('connect', 'WebSocket connect + close, attach', 'connect', { conns: 32 }, {}, { total: 0.3, js: 0.25, rate: 3 }, { ...quick, unit: 'connection' }),
  row('connect-listen', 'WebSocket connect + close, native listener', 'connect', { conns: 32 }, { mode: 'listen' }, { total: 0.16, js: 0.06, rate: 4.5 }, { unit: 'connection' }),
  row('shake', 'polling handshakes, attach', 'poll-handshake', { conns: 32 }, { task: 'hold', env: expiring }, { total: 0.85, js: 0.8, rate: 1.15 }, { unit: 'handshake', minWarmup: 1.2 }),
  row('shake-listen', 'polling handshakes, native listener', 'poll-handshake', { conns: 32 }, { task: 'hold', mode: 'listen', env: expiring }, { total: 0.35, js: 0.1, rate: 2.5 }, { unit: 'handshake', minWarmup: 1.2 }),
  row('poll', 'polling echo, 100 clients, attach', 'poll-echo', { conns: 100, size: 64 }, { task: 'echo' }, { total: 0.85, js: 0.8, rate: 1.15 }, quick),
  row('poll-listen', 'polling echo, 100 clients, native listener', 'poll-echo', { conns: 100, size: 64 }, { task: 'echo', mode: 'listen' }, { total: 0.28, js: 0.04, rate: 3.5 }, quick),
  row('poll-upgrade', 'session: polling, upgrade, one echo, close; attach', 'poll-upgrade', { conns: 400, size: 64 }, { task: 'echo' }, {}, { unit: 'session', minWarmup: 1.2 }),
  row('poll-upgrade-listen', 'session: polling, upgrade, one echo, close; native listener', 'poll-upgrade', { conns: 400, size: 64 }, { task: 'echo', mode: 'listen' }, {}, { unit: 'session', minWarmup: 1.2 }),
  row('tls1k', 'echo over TLS, 100 connections, 1 KiB text, attach', 'echo', { conns: 100, size: 1024, tls: true }, { tls: true }, { total: 0.8, js: 0.75, rate: 1.2 }),
  row('deflate1k', 'echo with permessage-deflate, 100 connections, 1 KiB JSON', 'echo', { conns: 100, size: 1024, deflate: true }, { env: opts({ perMessageDeflate: true }) }, { total: 0.6, js: 0.1, rate: 1.6 }),
  row('sio-echo100', 'Socket.IO echo, 100 clients, 64 B', 'echo', { ...sioLoad, conns: 100, size: 64 }, sio, { total: 0.65, js: 0.45, rate: 1.5 }, quick),
  row('sio-echo1000', 'Socket.IO echo, 1,000 clients, 64 B', 'echo', { ...sioLoad, conns: 1000, size: 64 }, sio, { total: 0.65, js: 0.45, rate: 1.5 }),
  row('sio-room100', 'Socket.IO room broadcast, 100 clients, 64 B', 'broadcast', { ...sioLoad, conns: 100, size: 64 }, sio, { total: 0.65, js: 0.45, rate: 1.5 }, { unit: 'delivery' }),
  row('sio-room1000', 'Socket.IO room broadcast, 1,000 clients, 64 B', 'broadcast', { ...sioLoad, conns: 1000, size: 64 }, sio, { total: 0.65, js: 0.45, rate: 1.5 }, { unit: 'delivery' }),
  row('lone', 'one connection, one 64 B message in flight', 'echo', { conns: 1, size: 64 }, {}, { p50: 1 }, quick),
  row('idle10k', '10,000 idle connections, a heartbeat each second', 'hold', { conns: 10000 }, { env: opts({ pingInterval: 1000, pingTimeout: 20000 }) }, { js: 0.02 }, { unit: 'heartbeat', minWarmup: 2, minDuration: 3, long: true }),
  row('memory', 'memory per idle connection, attach', 'hold', {}, {}, { memory: 0.55 }, { kind: 'memory', quick: true }),
  row('memory-released', 'memory per idle connection, attach, request released', 'hold', {}, { env: { RELEASE_REQUEST: '1' } }, { memory: 0.4 }, { kind: 'memory' }),
  row('memory-defaults', 'memory per idle connection, attach, V8 with its defaults', 'hold', {}, {}, {}, { kind: 'memory', nodeDefaults: true }),
  row('memory-listen-defaults', 'memory per idle connection, native listener, V8 with its defaults', 'hold', {}, { mode: 'listen' }, {}, { kind: 'memory', nodeDefaults: true }),
  row('memory-listen', 'memory per idle connection, native listener', 'hold', {}, { mode: 'listen' }, { memory: 0.3 }, { kind: 'memory' }),
];

// Why native needs more CPU than a rival, where somebody found out: { 'row/engine': 'reason' }.
module.exports.reasons = {
  'connect/userver': "behind attach() Node's HTTP server parses the request and makes its objects, more than half of the cost; uWebSockets.js is its own HTTP server",
  'poll-upgrade/userver': "as in connect: of its three requests, too, Node's HTTP server makes objects",
  'connect-listen/userver': 'accepting, hyper and the hand-over to WebSocket take 50 us of the I/O thread, as in engineioxide, which is built of the same parts; uWebSockets.js does it in 36',
  'tls1k/userver': "Node's TLS on the JavaScript thread, half of the cost; uWebSockets.js has a TLS of its own below its sockets",
  'deflate1k/userver': 'both keep a window per connection; zlib-rs takes nearly all of ours',
  'deflate1k/eiows': 'each connection keeps its window (context takeover), as the original does; eiows negotiates it away and compresses each message by itself',
  'echo16k/userver': 'messages are copied across threads: out of the read buffer, into a Buffer, into the frame; uWebSockets.js shows its read buffer itself',
  'echo16k/eiows': 'messages are copied across threads: out of the read buffer, into a Buffer, into the frame',
  'sio-room100/userver': 'a hundred small sends share one change of thread each way, of which uServer has none',
};
Object.defineProperty(module.exports, 'reasons', { enumerable: false });
