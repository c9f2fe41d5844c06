'use strict'

// Runs the cells of the table. All cells of a row share a server's process, or one of two, and are run at once, each on an engine of its
// own; when that process dies, or something goes wrong in it that tells of no cell, those that were under way are run again,
// one by one and each in a process of its own, so that it is known which it was.

const assert = require('node:assert/strict')
const { fork } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { after, test } = require('node:test')
const { Attacker } = require('./attacker')
const { unavailable } = require('./doors')
const { upstream } = require('../support/engine')
const { Honest } = require('./honest')
const { rows, columns, cellOf, line } = require('./table')

const CALL_MS = 25_000
const SETTLE_MS = 15_000

/**
 * The number of cells that attack at once; those that wait for their last sessions to end are not counted. The original
 * serves all clients by one thread, and closes sessions whose pongs that has not got to.
 */
const ATTACKING = upstream ? 10 : 20

let lastCell = 0
let attacking = 0
const waiting = []

async function takeTurn() {
  if (attacking >= ATTACKING) await new Promise((resolve) => waiting.push(resolve))
  else attacking++
}

function endTurn() {
  const next = waiting.shift()
  if (next === undefined) attacking--
  else next()
}

/** A process that opens doors. */
class Server {
  constructor() {
    this.child = fork(path.join(__dirname, 'server.js'), {
      env: { ...process.env, NODE_OPTIONS: '', NODE_TEST_CONTEXT: '' },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.calls = new Map()
    this.lastCall = 0
    this.tainted = undefined
    let stderr = ''
    this.child.stderr.on('data', (chunk) => (stderr = (stderr + chunk).slice(-3000)))
    this.child.on('message', ({ id, result, error, stray }) => {
      if (stray !== undefined) return this.#taint(stray)
      const call = this.calls.get(id)
      this.calls.delete(id)
      if (error === undefined) call.resolve(result)
      else call.reject(new Error(error))
    })
    this.ended = new Promise((resolve) => {
      this.child.on('exit', (code, signal) => {
        if (!this.stopped) this.#taint(`the server's process ended with ${signal ?? code}: ${stderr}`)
        resolve()
      })
    })
  }

  #taint(why) {
    this.tainted ??= why
    if (!why.startsWith("the server's process")) return
    for (const { reject } of this.calls.values()) reject(new Error(why))
    this.calls.clear()
  }

  call(command, args) {
    if (!this.child.connected) return Promise.reject(new Error(this.tainted ?? "the server's process has ended"))
    const id = ++this.lastCall
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => finish(reject, new Error(`no answer to "${command}" within ${CALL_MS} ms`)),
        CALL_MS,
      )
      const finish = (how, value) => {
        clearTimeout(timer)
        how(value)
      }
      this.calls.set(id, { resolve: (value) => finish(resolve, value), reject: (error) => finish(reject, error) })
      this.child.send({ id, command, args })
    })
  }

  stop() {
    this.stopped = true
    this.child.kill('SIGKILL')
    return this.ended
  }
}

/** Runs attacks at once on one server, which keeps its promises to all. */
async function attackOnce(server, cell) {
  await takeTurn()
  let opened
  try {
    opened = await attackBeside(server, cell)
  } finally {
    endTurn()
  }
  const { fault } = cell.column
  const [{ thrown: throws, kept }] = cell.attacks
  for (const number of opened) {
    const { thrown, surfaced, ...left } = await server.call('settle', { cell: number, ms: SETTLE_MS })
    const { connections } = left
    assert.deepEqual(
      left,
      { connections, clients: 0, listed: 0, unclosed: 0, closedTwice: 0 },
      'sessions are left, or closed twice',
    )
    if (number === opened[0] && fault !== undefined && throws !== false) {
      assert.ok(thrown > 0, "the application's fault never came about")
      if (!kept) assert.equal(surfaced, thrown, "exceptions of the application's that nobody hears of")
    }
    // calls back only when no connection is left
    await server.call('close', { cell: number })
  }
}

/** The attacks themselves, beside an honest client; gives the numbers of the servers. */
async function attackBeside(server, { row, column, attacks }) {
  const { fault, opts, closes } = column
  const cell = ++lastCell
  const address = await server.call('open', { cell, door: row.door, opts, fault })
  const otherCell = column.other ? ++lastCell : undefined
  const other = column.other ? await server.call('open', { cell: otherCell, door: row.door, opts }) : undefined
  const honest = new Honest(row, address, `client-${cell}`)
  const attackers = []
  const failures = []
  try {
    await honest.more(1)
    if (closes) honest.stopping = true
    await Promise.all(
      attacks.map(async (attack) => {
        const attacker = new Attacker(row, address, (what) => server.call('act', { cell, what }), other)
        attackers.push(attacker)
        try {
          await attack.run(attacker)
          await attacker.settled()
        } catch (error) {
          failures.push(`${attack.name}: ${error.message}`)
        }
      }),
    )
    if (!closes) await honest.more(2)
  } catch (error) {
    failures.push(error.message)
  } finally {
    for (const attacker of attackers) attacker.destroy()
    honest.stop()
  }
  assert.deepEqual(failures, [])
  return column.other ? [cell, otherCell] : [cell]
}

/** Each attack of a cell by itself, in a process of its own. */
async function attackOneByOne(cell) {
  const failures = []
  for (const attack of cell.attacks) {
    const server = new Server()
    try {
      await attackOnce(server, { ...cell, attacks: [attack] })
      assert.equal(server.tainted, undefined)
    } catch (error) {
      failures.push(`${attack.name}: ${server.tainted ?? error.message}`)
    } finally {
      await server.stop()
    }
  }
  if (failures.length > 0) throw new Error(failures.join('\n'))
}

class Row {
  constructor(row) {
    this.row = row
    /** Processes: of cells whose applications throw, and of the others. */
    this.current = { throwing: undefined, calm: undefined }
    this.servers = []
    this.counts = {}
    this.outcomes = new Map()
    /** What went wrong in a process, until a cell is known to be the cause. */
    this.unexplained = []
  }

  #server(kind) {
    if (this.current[kind] === undefined || this.current[kind].tainted !== undefined) {
      this.current[kind] = new Server()
      this.servers.push(this.current[kind])
    }
    return this.current[kind]
  }

  count(cell, outcome) {
    this.outcomes.set(cell.column.name, outcome)
    const add = (what, count) => (this.counts[what] = (this.counts[what] ?? 0) + count)
    add(outcome, 1)
    add('attacks', outcome === 'passed' ? cell.attacks.length : 0)
    add('defects', cell.defects.length)
  }

  async run(cell) {
    const throws = cell.column.fault !== undefined
    const server = this.#server(throws ? 'throwing' : 'calm')
    let failure
    try {
      await attackOnce(server, cell)
    } catch (error) {
      failure = error
    }
    try {
      // Node drops the rest of a request if, while it delivers a body, a tick of somebody else's throws (`end` never comes): beside
      // applications that throw, an honest client's POST may be lost in the original, too
      if (server.tainted !== undefined || (throws && failure !== undefined)) await attackOneByOne(cell)
      else if (failure !== undefined) throw failure
      this.count(cell, 'passed')
    } catch (error) {
      if (server.tainted !== undefined) server.explained = true
      this.count(cell, 'failed')
      throw error
    }
  }

  async finish() {
    const unexplained = this.servers
      .filter(({ tainted, explained }) => tainted !== undefined && !explained)
      .map(({ tainted }) => tainted)
    await Promise.all(this.servers.map((server) => server.stop()))
    assert.deepEqual(unexplained, [], 'something went wrong, and not again when each cell was run by itself')
  }
}

/** Registers the tests of all rows of one revision of the protocol. */
function suite(protocol) {
  const only = process.env.CELL ? new RegExp(process.env.CELL) : undefined
  const done = []
  test(`doors, protocol ${protocol}`, { concurrency: 5 }, async (t) => {
    await Promise.all(
      rows
        .filter((row) => row.protocol === protocol)
        .map((row) =>
          t.test(row.name, { concurrency: 100, skip: unavailable(row) ?? false }, async (t) => {
            const running = new Row(row)
            const cells = columns
              .map((column) => cellOf(row, column))
              .filter(({ column }) => !only || only.test(`${row.name}: ${column.name}`))
            const tests = cells.map((cell) => {
              const [defect] = cell.attacks.length === 0 ? cell.defects : []
              const skip = cell.notApplicable ?? defect?.reason ?? false
              if (skip) running.count(cell, cell.notApplicable === undefined ? 'known' : 'notApplicable')
              return t.test(cell.column.name, { skip }, () => running.run(cell))
            })
            await Promise.all(tests)
            await t.test('no cell is missing, and nothing is left unexplained', async () => {
              await running.finish()
              assert.deepEqual([...running.outcomes.keys()].sort(), cells.map(({ column }) => column.name).sort())
            })
            done.push(line(row, running.counts))
          }),
        ),
    )
  })
  after(() => {
    const lines = rows
      .filter((row) => row.protocol === protocol)
      .map(
        (row) =>
          done.find((text) => text.startsWith(row.name)) ?? `${row.name.padEnd(44)} ${unavailable(row) ?? 'not run'}`,
      )
    if (process.env.HOSTILE_TABLE) fs.appendFileSync(process.env.HOSTILE_TABLE, `${lines.join('\n')}\n`)
    else console.log(lines.join('\n'))
  })
}

module.exports = { suite, attackOnce, Server }
