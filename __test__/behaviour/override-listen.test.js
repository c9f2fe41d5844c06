"use strict";

// The same freedom on a server that `listen()` made, where the engine serves requests itself until somebody looks.

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { listenDirectly, engine, once, record, eventually, openPolling, openWebSocket, openUpgraded } = require("../support");

for (const name of ["prepare", "verify", "handleRequest"]) {
  test(`${name} patched while a session polls sees its next requests`, async () => {
    const context = await listenDirectly();
    const { peer, socket } = await openPolling(context);
    await peer.post("4x");
    const calls = [];
    const original = context.engine[name];
    context.engine[name] = function (req, ...rest) {
      calls.push(req.method);
      return original.call(this, req, ...rest);
    };
    await peer.post("4x");
    socket.send("y");
    assert.equal((await peer.poll()).body, "4y");
    assert.deepEqual(calls, ["POST", "GET"]);
  });
}

test("verify patched on the class sees the requests of open sessions", async (t) => {
  const context = await listenDirectly();
  const { verify } = engine.Server.prototype;
  t.after(() => (engine.Server.prototype.verify = verify));
  const calls = [];
  engine.Server.prototype.verify = function (req, ...rest) {
    calls.push(req.method);
    return verify.call(this, req, ...rest);
  };
  const { peer } = await openPolling(context);
  await peer.post("4x");
  assert.deepEqual(calls, ["GET", "POST"]);
});

test("a middleware added while a session polls sees its next requests", async () => {
  const context = await listenDirectly();
  const { peer } = await openPolling(context);
  context.engine.use((req, res, next) => {
    res.setHeader("x-middleware", "1");
    next();
  });
  assert.equal((await peer.post("4x")).headers["x-middleware"], "1");
});

for (const name of ["onRequest", "onPollRequest", "onDataRequest", "onData", "headers", "write", "doWrite"]) {
  test(`${name} patched on a transport is called for its next requests`, async () => {
    const { peer, socket } = await openPolling(await listenDirectly());
    let calls = 0;
    const original = socket.transport[name];
    socket.transport[name] = function (...args) {
      calls++;
      return original.apply(this, args);
    };
    const message = once(socket, "message");
    assert.equal((await peer.post("4x")).body, "ok");
    assert.deepEqual(await message, ["x"]);
    socket.send("y");
    assert.equal((await peer.poll()).body, "4y");
    assert.ok(calls > 0);
  });
}

test("listeners of a transport's headers add to its responses", async () => {
  const { peer, socket } = await openPolling(await listenDirectly());
  socket.transport.on("headers", (headers) => (headers["x-own"] = "1"));
  assert.equal((await peer.post("4x")).headers["x-own"], "1");
});

test("a poll that waited before a method was patched is answered", async () => {
  const { peer, socket } = await openPolling(await listenDirectly());
  const poll = peer.poll();
  await eventually(() => socket.transport.writable, true);
  const { headers } = socket.transport;
  socket.transport.headers = function (...args) {
    return Object.assign(headers.apply(this, args), { "x-own": "1" });
  };
  socket.send("first");
  assert.equal((await poll).body, "4first");
  socket.send("second");
  const next = await peer.poll();
  assert.deepEqual([next.body, next.headers["x-own"]], ["4second", "1"]);
});

test("send patched on a transport gets the packets, flush the order, and heartbeats pass", async () => {
  for (const open of [openPolling, openWebSocket, openUpgraded]) {
    const { peer, socket } = await open(await listenDirectly({ pingInterval: 100 }));
    const { send } = socket.transport;
    const sent = [];
    socket.transport.send = function (packets) {
      sent.push(...packets.map(({ type }) => type));
      send.call(this, packets);
    };
    socket.send("x");
    assert.equal(peer.packet ? await peer.packet() : (await peer.poll()).body, "4x");
    assert.deepEqual(sent, ["message"]);
    const log = record(socket, "packet", (event, { type }) => type);
    assert.equal(peer.packet ? await peer.packet() : (await peer.poll()).body, "2");
    if (peer.packet) peer.sendText("3");
    else await peer.post("3");
    await eventually(() => log, ["pong"]);
  }
});
