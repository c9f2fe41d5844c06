'use strict'

// One of the processes: an echo server. `cluster: true` is all that it needs to serve the sessions of the others.

const http = require('node:http')
const { attach } = require('engine.io')

const httpServer = http.createServer()
const engine = attach(httpServer, { cluster: true })
/** What is shown of each session that is here. */
const shown = new Map()
let requests = 0

engine.use((req, res, next) => {
  requests++
  next()
})

engine.on('connection', (socket) => {
  // the id is a secret, so that the page shows a name
  const { name, again } = socket.request._query
  shown.set(socket, { name: String(name).slice(0, 20), again: again === 'again' })
  socket.on('message', (data) => socket.send(data))
  socket.on('close', () => shown.delete(socket))
})

function tell() {
  const { forwarded, moved, served, accepted } = engine.metrics().cluster
  const sessions = Array.from(shown, ([{ transport }, client]) => ({ ...client, transport: transport.name }))
  // the primary process may have ended
  process.send({ sessions, counts: { requests, forwarded, moved, served, accepted } }, () => {})
}
setInterval(tell, 200).unref()

/** Ends in order: requests come to the other processes from now on, which bring those of this one's sessions here. */
async function stop() {
  const closed = new Promise((resolve) => httpServer.close(resolve))
  await engine.drain({ timeout: 10_000, spread: 2000 })
  // answers what it has taken for other processes, and leaves them
  engine.close()
  await closed
  process.exit()
}

process.on('message', (message) => message === 'drain' && stop())

httpServer.listen(0, '127.0.0.1')
