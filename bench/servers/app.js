'use strict';
// One application for every engine with engine.io's API. Started by run.js as a child:
//   ENGINE=upstream|native|<path>  MODE=attach|listen  TASK=echo|receive|broadcast|broadcast-pre|hold|connect
//   SOCKETIO=1 (the same task as a Socket.IO application)  OPTS=<json merged into the options>
// It prints {"event":"listening","port":..} and answers lines on stdin: mark, report, gc. End of stdin ends it.
const http = require('http');
const fs = require('fs');
const Module = require('module');
const path = require('path');

const root = path.join(__dirname, '..', '..');
const { ENGINE = 'upstream', MODE = 'attach', TASK = 'echo', SOCKETIO, ACK_EVERY = '100', RELEASE_REQUEST } = process.env;
const where = { upstream: require.resolve('engine.io', { paths: [root] }), native: root }[ENGINE] || path.resolve(ENGINE);
const opts = JSON.parse(process.env.OPTS || '{}');

const count = { messages: 0, connections: 0, closes: 0 };

// What each application does with a session. `send` and `all` differ between engine.io and Socket.IO, nothing else.
const tasks = {
  echo: (message, send) => message((d) => { count.messages++; send(d); }),
  receive: (message, send) => {
    const every = +ACK_EVERY;
    let n = 0;
    let bytes = 0;
    message((d) => {
      count.messages++;
      bytes += d.length;
      if (++n % every === 0) send(`${n} ${bytes}`);
    });
  },
  broadcast: (message, send, all) => message((d) => { count.messages++; all(d); }),
  'broadcast-pre': (message, send, all) => message((d) => { count.messages++; all(d, true); }),
  hold: () => {},
  connect: () => {},
};

function engineApp(engine) {
  const { Sender } = require(require.resolve('ws', { paths: [root] }));
  const sockets = new Set();
  const all = (d, pre) => {
    if (!pre) {
      for (const s of sockets) s.send(d);
      return;
    }
    // What Socket.IO's adapter does: one frame, one options object, shared by all recipients.
    const o = {
      wsPreEncodedFrame: Sender.frame(Buffer.from('4' + d), { readOnly: false, mask: false, rsv1: false, opcode: 1, fin: true }),
    };
    for (const s of sockets) s.send(d, o);
  };
  engine.on('connection', (s) => {
    count.connections++;
    if (RELEASE_REQUEST) s.request = null;
    sockets.add(s);
    s.on('close', () => { count.closes++; sockets.delete(s); });
    tasks[TASK]((f) => s.on('message', f), (d) => s.send(d), all);
  });
}

function socketIoApp(io) {
  const all = (d) => io.to('room').emit('m', d);
  io.on('connection', (s) => {
    count.connections++;
    s.join('room');
    s.on('disconnect', () => { count.closes++; });
    tasks[TASK]((f) => s.on('m', f), (d) => s.emit('m', d), all);
  });
}

function start() {
  if (SOCKETIO) {
    // Socket.IO on the engine under test, as npm `overrides` would give it.
    const resolve = Module._resolveFilename;
    Module._resolveFilename = function (request, ...rest) {
      return resolve.call(this, request === 'engine.io' ? where : request, ...rest);
    };
    const { Server } = require(require.resolve('socket.io', { paths: [root] }));
    const server = http.createServer();
    socketIoApp(new Server(server, opts));
    server.listen(0, () => listening(server));
    return;
  }
  const engineIo = require(where);
  if (MODE === 'listen') {
    const engine = engineIo.listen(0, opts, () => listening(engine.httpServer));
    engineApp(engine);
  } else {
    const server = http.createServer((req, res) => res.writeHead(404).end());
    engineApp(engineIo.attach(server, opts));
    server.listen(0, () => listening(server));
  }
}

const say = (o) => fs.writeSync(1, JSON.stringify(o) + '\n');
const listening = (server) => say({ event: 'listening', port: server.address().port, pid: process.pid });

// --- what it reports -------------------------------------------------------------------------------------------------

function threads() {
  if (process.platform !== 'linux') return [];
  const dir = '/proc/self/task';
  return fs.readdirSync(dir).map((tid) => {
    try {
      const ns = Number(fs.readFileSync(`${dir}/${tid}/schedstat`, 'utf8').split(' ')[0]);
      const stat = fs.readFileSync(`${dir}/${tid}/stat`, 'utf8');
      const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return {
        tid: +tid, main: +tid === process.pid, ns, userTicks: +f[11], systemTicks: +f[12],
        name: fs.readFileSync(`${dir}/${tid}/comm`, 'utf8').trim(),
      };
    } catch {
      return null; // ended meanwhile
    }
  }).filter(Boolean);
}

const snapshot = () => ({ t: process.hrtime.bigint(), count: { ...count }, threads: threads() });
let mark = snapshot();

function report() {
  const now = snapshot();
  const delta = now.threads.map((t) => {
    const b = mark.threads.find((x) => x.tid === t.tid) || { ns: 0, userTicks: 0, systemTicks: 0 };
    return { ...t, ns: t.ns - b.ns, userTicks: t.userTicks - b.userTicks, systemTicks: t.systemTicks - b.systemTicks };
  });
  const sum = (f) => delta.filter(f).reduce((a, t) => a + t.ns, 0);
  return {
    event: 'report',
    seconds: Number(now.t - mark.t) / 1e9,
    messages: now.count.messages - mark.count.messages,
    connections: now.count.connections - mark.count.connections,
    closes: now.count.closes - mark.count.closes,
    jsNs: sum((t) => t.main),
    otherNs: sum((t) => !t.main),
    threads: delta.filter((t) => t.ns > 0),
    ...memory(),
  };
}

function memory() {
  const m = process.memoryUsage();
  const handles = process.getActiveResourcesInfo ? process.getActiveResourcesInfo().length : -1;
  return { rss: m.rss, heapUsed: m.heapUsed, external: m.external, arrayBuffers: m.arrayBuffers, handles };
}

async function gc() {
  for (let i = 0; i < 4; i++) {
    if (global.gc) global.gc();
    await new Promise((r) => setTimeout(r, 30));
  }
  return { event: 'report', open: count.connections - count.closes, ...memory() };
}

let rest = '';
process.stdin.setEncoding('latin1').on('data', async (s) => {
  const lines = (rest + s).split('\n');
  rest = lines.pop();
  for (const l of lines) {
    if (l === 'mark') mark = snapshot();
    else if (l === 'report') say(report());
    else if (l === 'gc') say(await gc());
    else if (l === 'exit') process.exit(0);
  }
}).on('end', () => process.exit(0));

start();
