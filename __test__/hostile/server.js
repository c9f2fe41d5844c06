'use strict'

// The process that is attacked: it opens doors as it is told, keeps account of what happens at each, and answers when asked.
// One door is one engine of its own, so that many cells of the table can be run at once.

const { doors } = require('./doors')
const faults = require('./faults')

const OPTS = {
  pingInterval: 600,
  // on a busy machine honest clients may take their time
  pingTimeout: 8000,
  upgradeTimeout: 5000,
  maxHttpBufferSize: 20_000,
  allowEIO3: true,
}

/** By the cell's number. */
const cells = new Map()

class Cell {
  constructor(number) {
    this.number = number
    this.connections = 0
    /** How often each session was closed. */
    this.closes = new Map()
    /** Exceptions that the application threw on purpose. */
    this.thrown = 0
    this.surfaced = 0
    /** What the application's fault keeps for later. */
    this.kept = []
  }

  /** What an application throws. */
  fault() {
    this.thrown++
    return Object.assign(new Error(`fault of cell ${this.number}`), { cell: this.number })
  }

  isAttacker(socket) {
    const { session } = socket.transport
    return session ? session.attacker : Boolean(socket.request && socket.request._query.attacker)
  }

  account(socket) {
    this.connections++
    this.closes.set(socket, 0)
    socket.on('close', () => this.closes.set(socket, this.closes.get(socket) + 1))
    socket.on('message', (data) => socket.send(data))
  }

  state() {
    const { engine, connections, thrown, surfaced } = this
    const closes = [...this.closes.values()]
    const clients = engine.clientsCount
    return {
      connections,
      thrown,
      surfaced,
      clients,
      listed: Object.keys(engine.clients).length,
      unclosed: closes.filter((count) => count === 0).length,
      closedTwice: closes.filter((count) => count > 1).length,
    }
  }
}

const commands = {
  async open({ cell: number, door: name, fault, opts }) {
    const cell = new Cell(number)
    cells.set(number, cell)
    const app = fault === undefined ? {} : faults[fault](cell)
    const { engine, port, channelPort, close } = await doors
      .find((door) => door.name === name)
      .open({ ...OPTS, ...opts, ...app.opts })
    Object.assign(cell, { engine, close })
    engine.on('connection', (socket) => {
      cell.account(socket)
      if (app.socket !== undefined && cell.isAttacker(socket)) app.socket(socket)
    })
    app.engine?.(engine)
    return { port, channelPort }
  },

  /** Resolves when no session is left, or with what is left after `ms`. */
  async settle({ cell: number, ms }) {
    const cell = cells.get(number)
    const end = Date.now() + ms
    for (;;) {
      const state = cell.state()
      const over = state.clients === 0 && state.listed === 0 && state.unclosed === 0
      if (over || Date.now() > end) return state
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  },

  /** What the application does in the midst of it, or afterwards. */
  async act({ cell: number, what }) {
    const cell = cells.get(number)
    return faults.acts[what](cell)
  },

  async close({ cell: number }) {
    const cell = cells.get(number)
    cell.engine.close()
    await cell.close()
    const state = cell.state()
    cells.delete(number)
    return state
  },
}

function onError(error, origin) {
  const number = error?.cell ?? /\["cell-(\d+)/.exec(error?.message)?.[1]
  if (number === undefined) return process.send({ stray: `${origin}: ${(error && error.stack) || error}` })
  const cell = cells.get(Number(number))
  if (cell !== undefined) cell.surfaced++
}

process.on('uncaughtException', onError)
process.on('unhandledRejection', (error) => onError(error, 'unhandledRejection'))

process.on('message', async ({ id, command, args }) => {
  try {
    process.send({ id, result: (await commands[command](args)) ?? null })
  } catch (error) {
    process.send({ id, error: error.stack })
  }
})
process.on('disconnect', () => process.exit())
