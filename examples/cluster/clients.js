'use strict'

// Clients: a third by polling, a third by WebSocket, and a third that begin with the one and go on with the other. Each
// says something twice a second, and looks whether the echoes come in order and without a gap.

const { Socket } = require('engine.io-client')

const [url, count] = process.argv.slice(2)
const KINDS = [
  ['poll', ['polling']],
  ['upgrade', ['polling', 'websocket']],
  ['ws', ['websocket']],
]
const numbers = { open: 0, echoes: 0, gaps: 0, reconnects: 0 }
let lines = []

/** `again` is '' at first, and then that the client has been connected before. */
function run(name, transports, again) {
  const socket = new Socket(url, { transports, query: { name, again } })
  let timer
  let sent = 0
  let seen = 0
  socket.on('open', () => {
    numbers.open++
    timer = setInterval(() => socket.send(String(++sent)), 500)
  })
  socket.on('message', (text) => {
    numbers.echoes++
    // what is missing, or comes twice
    numbers.gaps += Math.abs(Number(text) - seen - 1)
    seen = Number(text)
  })
  socket.on('close', (reason) => {
    // a client that could not connect just tries again
    if (timer !== undefined) {
      clearInterval(timer)
      numbers.open--
      numbers.reconnects++
      lines.push(`${name}: ${reason}; it connects again.`)
    }
    setTimeout(run, 200 + Math.random() * 500, name, transports, timer === undefined ? again : 'again')
  })
}

for (let i = 0; i < Number(count); i++) {
  const [kind, transports] = KINDS[i % KINDS.length]
  setTimeout(run, i * 50, `${kind} ${1 + Math.floor(i / KINDS.length)}`, transports, '')
}

setInterval(() => {
  // the server may have ended
  process.send({ ...numbers, lines }, () => {})
  lines = []
}, 250)

process.on('disconnect', () => process.exit())
