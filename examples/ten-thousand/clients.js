'use strict'

// Opens clients, 100 at a time, which answer heartbeats. Once all are there, each says something every 20 seconds.

const WebSocket = require('ws')

const [port, wanted] = process.argv.slice(2).map(Number)
const url = `ws://127.0.0.1:${port}/engine.io/?EIO=4&transport=websocket`
const clients = []

async function open() {
  const client = new WebSocket(url, { perMessageDeflate: false })
  await new Promise((resolve, reject) => {
    client.once('open', resolve)
    client.once('error', reject)
  })
  client.on('message', (data) => data.toString() === '2' && client.send('3'))
  client.on('error', fail)
  clients.push(client)
}

function fail(error) {
  const hint = error.code === 'EMFILE' ? ' The limit of file descriptors is too low: see `ulimit -n`.' : ''
  console.error(`Client ${clients.length + 1} of ${wanted} failed: ${error.message}.${hint}`)
  process.exit(1)
}

async function lane() {
  while (started++ < wanted) await open()
}

let started = 0
Promise.all(Array.from({ length: 100 }, lane)).then(() => {
  const perTick = Math.ceil(wanted / 200)
  let next = 0
  setInterval(() => {
    for (let sent = 0; sent < perTick; sent++) clients[next++ % clients.length].send('4hello')
  }, 100)
}, fail)

process.on('disconnect', () => process.exit())
