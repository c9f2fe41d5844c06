"use strict";

const assert = require("node:assert/strict");
const path = require("node:path");
const { spawn } = require("node:child_process");
const { test } = require("node:test");
const { defer, skip, upstream } = require("./support");

const SECONDS = Number(process.env.SOAK_SECONDS) || 20;

for (const way of upstream ? ["attach()"] : ["attach()", "listen()"]) {
  test(`churn of clients of every kind for ${SECONDS} s loses nothing and leaves descriptors, threads and memory flat: ${way}`, {
    skip,
    timeout: (SECONDS + 60) * 1000,
  }, async () => {
    const args = [path.join(__dirname, "soak.js"), "--seconds", String(SECONDS), ...(way === "listen()" ? ["--listen"] : [])];
    const child = spawn(process.execPath, args, { env: { ...process.env, NODE_OPTIONS: "", NODE_TEST_CONTEXT: "" } });
    defer(() => child.kill("SIGKILL"));
    let out = "";
    child.stdout.on("data", (chunk) => (out += chunk));
    child.stderr.on("data", (chunk) => (out += chunk));
    const code = await new Promise((resolve) => child.on("close", resolve));
    if (process.env.FIGURES) console.error(out);
    assert.equal(code, 0, out);
  });
}
