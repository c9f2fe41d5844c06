'use strict'

// Ten thousand clients on one small machine: a process of its own opens the connections, and this one shows what they
// cost. CLIENTS=10000 by default. Each side needs a file descriptor for each client: see `ulimit -n`.

const { fork } = require('node:child_process')
const path = require('node:path')
const engineIo = require('engine.io')

const wanted = Number(process.env.CLIENTS ?? 10_000)
const engine = engineIo.listen(Number(process.env.PORT ?? 3000), { transports: ['websocket'] }, begin)
let before
let cpu = process.cpuUsage()
let messages = 0

engine.on('connection', (socket) => {
  socket.request = null
  socket.on('message', (data) => {
    messages++
    socket.send(data)
  })
})

function begin() {
  const { port } = engine.httpServer.address()
  console.log(`The server listens on port ${port}; ${wanted} clients are on their way.\n`)
  console.log('clients   memory   per client   CPU    messages/s')
  before = process.memoryUsage.rss()
  const clients = fork(path.join(__dirname, 'clients.js'), [String(port), String(wanted)])
  clients.on('exit', (code) => process.exit(code ?? 1))
  setInterval(report, 1000)
}

function report() {
  const used = process.cpuUsage(cpu)
  cpu = process.cpuUsage()
  const rss = process.memoryUsage.rss()
  const count = engine.clientsCount
  const each = count === 0 ? 0 : Math.max(0, rss - before) / count / 1024
  const percent = (used.user + used.system) / 10_000
  console.log(
    [
      String(count).padStart(7),
      `${(rss / 2 ** 20).toFixed(0)} MiB`.padStart(9),
      `${each.toFixed(1)} KiB`.padStart(11),
      `${percent.toFixed(0)} %`.padStart(7),
      String(messages).padStart(9),
    ].join(' '),
  )
  messages = 0
}
