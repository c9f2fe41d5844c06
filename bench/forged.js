'use strict'
// node bench/forged.js: what it costs to see that no process has made an id, without the request around it. The rows of
// `--cluster` measure whole processes, which differ from round to round by more than this.
const fs = require('fs')
const os = require('os')
const path = require('path')
const { randomBytes } = require('crypto')
const { Server } = require('..')
const { kState } = require('../lib/base/symbols')

const COUNT = 1_000_000
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-bench-'))
const [server, other] = [0, 1].map(() => new Server({ cluster: { directory } }))
const { cluster } = server[kState]
const ids = Array.from({ length: 1000 }, () => randomBytes(15).toString('base64url'))

/** Nanoseconds for each of many ids. */
function measure() {
  const begin = process.hrtime.bigint()
  for (let i = 0; i < COUNT; i++) cluster.peerOf(ids[i % ids.length])
  return Number(process.hrtime.bigint() - begin) / COUNT
}

const all = Array.from({ length: 5 }, measure).sort((a, b) => a - b)
if (cluster.counts.forged !== 5 * COUNT)
  throw new Error(`expected ${5 * COUNT} forged ids, got ${cluster.counts.forged}`)
const [least, , middle, , most] = all.map((ns) => ns.toFixed(0))
console.log(`Node ${process.versions.node}: ${middle} ns (${least} to ${most}) for a forged id`)
server.close()
other.close()
fs.rmSync(directory, { recursive: true, force: true })
