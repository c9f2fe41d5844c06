'use strict'
// Who can be measured. To add a peer: say how to start it and what it can do. A server is any process that
//   - prints one line {"event":"listening","port":N,"pid":N} on stdout,
//   - ends when its stdin ends,
//   - answers "report" and "gc" lines with one JSON line (an empty {"event":"report"} will do).
// CPU is read from outside by the load generator, so a peer in any language needs nothing else.
//
// title; start; can (which rows); js (its main thread runs JavaScript); load (more options of the load generator);
// prepare (install it, throw why not); rival (less CPU than it uses is the aim).
const path = require('path')
const install = require('./install')

// V8's young generation grows by up to 48 MB while connections are opened and is as large afterwards as before, however many
// there are; in a slope over a few thousand connections it would count as theirs. Memory rows keep it small, on every engine.
const YOUNG = ['--max-semi-space-size=1']

const node =
  (script, more) =>
  ({ mode, task, env, socketIo, tls, smallYoung }) => ({
    command: process.execPath,
    args: ['--expose-gc', ...(smallYoung ? YOUNG : []), path.join(__dirname, 'servers', script)],
    env: {
      ...more,
      MODE: mode,
      TASK: task,
      ...(socketIo ? { SOCKETIO: '1' } : {}),
      ...(tls ? { TLS: '1' } : {}),
      ...env,
    },
  })
const app = (engine, more) => node('app.js', { ENGINE: engine, ...more })
const native =
  (program) =>
  ({ task, env }) => ({
    command: program,
    args: [],
    env: { TASK: task === 'broadcast-pre' ? 'broadcast' : task, ...env },
  })
const all = () => true
const polling = (row) => row.scenario.startsWith('poll')
const bare = (row) =>
  !polling(row) && !row.server.socketIo && row.id !== 'idle10k' && row.id !== 'memory-released' && !row.nodeDefaults
const encodedByServer = (row) => row.server.task !== 'broadcast-pre'
const unmasks = (row) => /^(echo|receive)/.test(row.id)
const oxide = path.join(__dirname, 'engineioxide')

module.exports = {
  // As `npm install engine.io` leaves it: ws without its optional addon, which another package may have brought here.
  upstream: { title: 'engine.io 6.6.13 + ws', start: app('upstream', { WS_NO_BUFFER_UTIL: '1' }), can: all, js: true },
  native: { title: 'engine.io-native', start: app('native'), can: all, js: true },
  bufferutil: { title: 'engine.io 6.6.13 + ws + bufferutil', start: app('upstream'), can: unmasks, js: true },
  userver: {
    title: "engine.io's uServer on uWebSockets.js",
    start: app('userver'),
    // It keeps no request to release.
    can: (row) => row.id !== 'memory-released' && !row.nodeDefaults,
    js: true,
    rival: true,
  },
  eiows: {
    title: 'engine.io + eiows 9.2.0',
    prepare: install.eiows,
    start: app('upstream', { WS_ENGINE: path.join(install.local, 'node_modules', 'eiows') }),
    // On polling it is the original.
    can: (row) => !polling(row) && !row.nodeDefaults && (!row.server.tls || install.eiows.hasTls()),
    js: true,
    rival: true,
  },
  uws: {
    title: 'raw uWebSockets.js (no Engine.IO)',
    start: node('uws.js'),
    load: { raw: true },
    can: (row) => bare(row) && encodedByServer(row),
    js: true,
  },
  engineioxide: {
    title: 'engineioxide 0.17 (Rust, one thread)',
    prepare: () => install.crate(oxide),
    start: native(path.join(oxide, 'target', 'release', 'engineioxide-bench')),
    // It is its own HTTP server: rows that are about Node's do not apply.
    can: (row) =>
      !row.server.socketIo &&
      !row.nodeDefaults &&
      !row.server.tls &&
      !row.load.deflate &&
      encodedByServer(row) &&
      (row.server.mode === 'listen' || !/^(connect|shake|poll|memory)/.test(row.id)),
    js: false,
  },
  floor: {
    title: 'raw epoll floor (Rust)',
    start: native(path.join(__dirname, 'loadgen', 'target', 'release', 'floor')),
    can: (row) => bare(row) && !row.server.tls && !row.load.deflate,
    js: false,
  },
}

// Ours while something reads its numbers: --engines native,metrics. Not among the engines that run unless they are named.
Object.defineProperty(module.exports, 'metrics', {
  value: {
    title: 'engine.io-native, server.metrics() each second',
    start: app('native', { METRICS: '1' }),
    can: all,
    js: true,
  },
})

// What Node's HTTP server takes to refuse a request.
Object.defineProperty(module.exports, 'refusal', {
  value: { title: "Node's HTTP server that answers 400", start: node('refusal.js'), can: () => false, js: true },
})

// Another build of ours, to compare two: --engines native,/path/of/its/checkout
Object.defineProperty(module.exports, 'at', {
  value: (folder) => ({ title: folder, start: app(path.resolve(folder)), can: all, js: true }),
})
