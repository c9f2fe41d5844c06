'use strict'

// What the clients of each row do. Servers load it beside their own packages, tests load it from here.

const { io: connect } = require('socket.io-client')

const TRANSPORTS = [['polling'], ['polling', 'websocket'], ['websocket']]

/** Whether this process has loaded engine.io-native. */
function isNative() {
  process.report.excludeNetwork = true
  const { sharedObjects } = process.report.getReport()
  return sharedObjects.some((file) => file.includes('engine.io-native'))
}

/** The answers of a Socket.IO server to its clients. */
function serve(io) {
  io.on('connection', (socket) => {
    socket.on('ask', (bytes, answer) => answer(bytes))
    socket.on('native', (answer) => answer(isNative()))
  })
}

/** A client that is connected, and upgraded if it may. */
async function open(url, transports, options = {}) {
  const client = connect(url, { transports, forceNew: true, ...options })
  await new Promise((resolve, reject) => {
    client.once('connect', resolve).once('connect_error', (error) => {
      client.close()
      reject(error)
    })
  })
  if (transports.length > 1 && client.io.engine.transport.name !== 'websocket') {
    await new Promise((resolve) => client.io.engine.once('upgrade', resolve))
  }
  return client
}

async function askBack(client) {
  const bytes = Buffer.from([1, 2, 3])
  const answer = await client.emitWithAck('ask', bytes)
  if (!Buffer.from(answer).equals(bytes)) throw new Error(`expected the bytes back, got ${answer}`)
}

async function askWhichEngine(client) {
  if (!(await client.emitWithAck('native'))) throw new Error('expected a server with engine.io-native, got another')
}

/** Asks a server by each transport, and the framework's own route. */
async function askAll(url, { route = '/hello', options, ask = askBack, which = askWhichEngine } = {}) {
  for (const transports of TRANSPORTS) {
    const client = await open(url, transports, options)
    try {
      await ask(client)
      await which(client)
    } finally {
      client.close()
    }
  }
  if (route) {
    const text = await (await fetch(url + route)).text()
    if (!text.includes('hello')) throw new Error(`expected a page with hello, got ${text}`)
  }
}

/** The whole of a row in one process, which ends. */
async function check(url, { ask, ...rest } = {}) {
  process.on('unhandledRejection', (error) => {
    console.error(error)
    process.exit(1)
  })
  setTimeout(() => {
    console.error('too slow')
    process.exit(1)
  }, 180_000).unref()
  const which = async () => {
    if (!isNative()) throw new Error('expected engine.io-native in this process, got another')
  }
  await askAll(url, { ask, which, ...rest })
  console.log('it works')
  process.exit()
}

const urlOf = (server) => `http://127.0.0.1:${server.address().port}`

module.exports = { TRANSPORTS, askAll, askBack, check, isNative, open, serve, urlOf }
