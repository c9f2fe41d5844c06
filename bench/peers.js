'use strict';
// Who can be measured. To add a peer: say how to start it and what it can do. A server is any process that
//   - prints one line {"event":"listening","port":N,"pid":N} on stdout,
//   - ends when its stdin ends,
//   - answers "report" and "gc" lines with one JSON line (an empty {"event":"report"} will do).
// CPU is read from outside by the load generator, so a peer in any language needs nothing else.
const path = require('path');
const root = path.join(__dirname, '..');

// V8's young generation grows by up to 48 MB while connections are opened and is as large afterwards as before, however many
// there are; in a slope over a few thousand connections it would count as theirs. Memory rows keep it small, on every engine.
const YOUNG = ['--max-semi-space-size=1'];

const app = (engine) => ({ mode, task, env, socketIo, memory }) => ({
  command: process.execPath,
  args: ['--expose-gc', ...(memory ? YOUNG : []), path.join(__dirname, 'servers', 'app.js')],
  env: { ENGINE: engine, MODE: mode, TASK: task, ...(socketIo ? { SOCKETIO: '1' } : {}), ...env },
});
const all = () => true;

module.exports = {
  upstream: { title: 'engine.io 6.6.12 + ws', start: app('upstream'), can: all, js: true },
  native: { title: 'engine.io-native', start: app('native'), can: all, js: true },
  floor: {
    title: 'raw epoll floor (Rust)',
    start: ({ task, env }) => ({
      command: path.join(__dirname, 'loadgen', 'target', 'release', 'floor'),
      args: [],
      env: { TASK: task === 'broadcast-pre' ? 'broadcast' : task, ...env },
    }),
    // No HTTP polling, no Socket.IO, no heartbeats.
    can: (row) => !row.scenario.startsWith('poll') && !row.server.socketIo && row.id !== 'idle10k',
    js: false,
  },
  // Seams. `missing` makes run.js say why instead of trying.
  userver: { title: "engine.io uServer on uWebSockets.js", missing: 'not written yet: servers/userver.js, needs @trufflesuite/uws-js-unofficial as uWebSockets.js' },
  uws: { title: 'raw uWebSockets.js', missing: 'not written yet: servers/uws.js (load generator option --raw)' },
  eiows: { title: 'engine.io + eiows', missing: 'not written yet: app.js with OPTS wsEngine, where eiows builds' },
  engineioxide: { title: 'engineioxide (Rust)', missing: 'not written yet: bench/engineioxide crate' },
};
module.exports.root = root;
Object.defineProperty(module.exports, 'root', { enumerable: false });
