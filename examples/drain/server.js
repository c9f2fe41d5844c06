'use strict'

// A server that a deploy replaces without a storm of clients: on SIGTERM (Kubernetes, systemd) or SIGINT (PM2) it stops
// being ready, lets its clients go little by little, and exits. See README.md beside this file.

const http = require('http')
const { attach } = require('../..') // in your project: require('engine.io')

const port = process.env.PORT === undefined ? 3000 : Number(process.env.PORT)
/** Milliseconds. Less than what the supervisor waits before it kills: see README.md. */
const timeout = Number(process.env.DRAIN_TIMEOUT || 20_000)
const spread = Number(process.env.DRAIN_SPREAD || 10_000)

const server = http.createServer((req, res) => {
  const isReady = !engine.draining
  if (req.url === '/live') return res.end('live\n')
  if (req.url !== '/ready') return res.writeHead(404).end()
  res.writeHead(isReady ? 200 : 503).end(isReady ? 'ready\n' : 'draining\n')
})
const engine = attach(server)

engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))

server.listen(port, () => {
  console.log(`listening on ${server.address().port}`)
  // tells PM2 (wait_ready) that this process may take over
  if (process.send) process.send('ready')
})

async function stop(signal) {
  console.log(`${signal}: draining`)
  const outcome = await engine.drain({ timeout, spread })
  console.log(`drained: ${JSON.stringify(outcome)}`)
  // the port stays open until now, so that the readiness probe is answered and new clients get their 503
  server.close(() => process.exit(0))
  server.closeIdleConnections()
  // a request of another route may hang
  setTimeout(() => process.exit(0), 1000).unref()
}

// a second signal finds the drain under way
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, stop)
