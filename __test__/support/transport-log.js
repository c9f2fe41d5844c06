'use strict'

// What can be seen of a session and of its transports: their events, in order, each with the state that its listeners see.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { delay, eventually } = require('./events')
const { listen } = require('./server')

const TRANSPORT_EVENTS = ['error', 'ready', 'packet', 'drain', 'close']
const SOCKET_EVENTS = ['packet', 'upgrading', 'upgrade', 'drain', 'heartbeat', 'close']

/** What is recorded of a session whose transports nobody listens to. */
const QUIET_EVENTS = ['upgrading', 'upgrade', 'close']

function wordOf(arg) {
  if (arg === undefined) return ''
  if (arg instanceof Error) return ` "${arg.message}"`
  if (typeof arg === 'string') return ` "${arg}"`
  if (arg.name !== undefined) return ` ${arg.name}`
  return ` ${[arg.type, ...(arg.data === undefined ? [] : [arg.data])].join(':')}`
}

function wordsOf(object, flags) {
  return [object.readyState, ...flags.filter((flag) => object[flag])].join(' ')
}

/**
 * Records the events of a session and of its transports, of those that it is upgraded to, too: an array that grows by
 * `websocket packet message:a [open: websocket open writable]`, in brackets the state of the session and of each transport.
 */
function transportLog(socket, quiet) {
  const log = []
  const transports = []
  const states = () => {
    const each = transports.map((transport) => `${transport.name} ${wordsOf(transport, ['writable', 'discarded'])}`)
    return `[${wordsOf(socket, ['upgrading', 'upgraded'])}: ${each.join(', ')}]`
  }
  const note = (who, event, arg) => log.push(`${who} ${event}${wordOf(arg)} ${states()}`)
  const watch = (transport) => {
    if (transports.includes(transport)) return
    transports.push(transport)
    if (quiet) return
    for (const event of TRANSPORT_EVENTS) transport.on(event, (arg) => note(transport.name, event, arg))
  }
  watch(socket.transport)
  socket.on('upgrading', watch)
  for (const event of quiet ? QUIET_EVENTS : SOCKET_EVENTS) socket.on(event, (arg) => note('socket', event, arg))
  return Object.assign(log, { states })
}

/**
 * Tests that all that happens to a session and its transports is `log`, the state in the end last, and that the session meets the
 * same where nobody listens to its transports. `open` opens it, `act` gets what that gives, and `seen(text)`, which waits for an
 * entry that begins so.
 */
function scene(name, { open, act = () => {}, opts, query, log: expected }) {
  for (const quiet of [false, true]) {
    test(quiet ? `${name}: the same where nobody listens to transports` : name, async () => {
      const context = await listen({ pingInterval: 10_000, ...opts })
      let log
      context.engine.on('connection', (socket) => (log = transportLog(socket, quiet)))
      const opened = await open(context, query)
      const isQuiet = (line) => /^(socket (upgrading|upgrade|close)|then) /.test(line)
      const wanted = quiet ? expected.filter(isQuiet) : expected
      const seen = async (text) => {
        const found = () => log.some((line) => line.startsWith(text)) || (quiet && !isQuiet(text))
        await eventually(found, true)
        if (quiet) await delay(5)
      }
      await act({ context, ...opened, log, seen })
      const all = () => [...log, `then ${log.states()}`]
      if (process.env.RECORD) {
        await delay(100)
        if (!quiet) require('node:fs').appendFileSync(process.env.RECORD, `${JSON.stringify([name, all()])}\n`)
        return
      }
      await eventually(all, wanted)
      // and nothing follows
      await delay(10)
      assert.deepEqual(all(), wanted)
    })
  }
}

module.exports = { scene }
