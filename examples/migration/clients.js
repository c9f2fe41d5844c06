'use strict'

// 100 clients of Socket.IO, each of which asks 50 ms after it was answered. Ends after SECONDS, and tells how many answers
// came.

const { setTimeout: delay } = require('node:timers/promises')
const { io } = require('socket.io-client')

const [port, seconds] = process.argv.slice(2).map(Number)
const end = Date.now() + seconds * 1000
let answers = 0

async function client() {
  const socket = io(`http://127.0.0.1:${port}`, { forceNew: true })
  while (Date.now() < end) {
    await socket.emitWithAck('ask', 'how are you?')
    answers++
    await delay(50)
  }
  socket.close()
}

Promise.all(Array.from({ length: 100 }, client)).then(() => process.send(answers, () => process.exit()))
