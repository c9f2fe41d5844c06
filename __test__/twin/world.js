'use strict'

// One program on one engine: a server of its own, its clients, and the record of all that is seen, step by step.

const net = require('node:net')
const { drawn } = require('./steps')
const { context, noticed, watchServer, worlds } = require('./faults')
const { SAME_ID, applyHooks, hookOptions } = require('./hooks')
const { runCalls } = require('./calls')
const modes = require('./modes')
const { Observer } = require('./observe')
const { TIMES } = require('./options')
const { otherThreads } = require('./other-threads')

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** A turn of the event loop, in which connections are read: timers alone may fire one after the other without. */
const turn = (ms) => new Promise((resolve) => setTimeout(() => setImmediate(resolve), ms))

/** Turns of the event loop in which nothing is seen before a step counts as settled. */
const TURNS = 4

/** A step that never comes to rest. */
const RESTLESS_MS = 3000

/** What is waited for in it, and does not come. */
const STUCK_MS = 15_000

/** The engine looks every 100 ms whether a poll keeps an upgrade waiting. */
const UPGRADE_CHECK_MS = 140

/** A mistake in the twin, which would be the same on both sides: the program's own exceptions have a mark. */
const isOurs = ({ message, stack }) =>
  !/twin#/.test(message) && /^\s+at .*__test__.twin.(?!calls)/.test(String(stack).split('\n')[1])

let lastId = 0

class World {
  /** @param {{ Engine: object, side: string, program: object, pace: { quiet: number, bound: number }, clock: Clock }} how */
  constructor({ Engine, side, program, pace, clock }) {
    Object.assign(this, { Engine, side, program, pace, clock })
    this.id = ++lastId
    this.mode = modes[program.mode]
    this.clients = new Map()
    /** Those that the program does not name. */
    this.strangers = []
    this.wires = new Set()
    this.streams = new Set()
    this.counts = new Map()
    this.steps = []
    this.lastAt = 0
    this.deciding = 0
    this.observer = this.makeObserver()
  }

  /** The kinds of steps. */
  get drawn() {
    return drawn
  }

  makeObserver() {
    return new Observer((object, text) => this.record(object, text), this.program.watch)
  }

  record(object, text) {
    if (this.over) return
    this.lastAt = performance.now()
    noticed(this)
    const { streams } = this.steps.at(-1) ?? { streams: {} }
    ;(streams[object] ??= []).push(text)
  }

  /** The next number of its kind. */
  count(kind) {
    const number = (this.counts.get(kind) ?? 0) + 1
    this.counts.set(kind, number)
    return number
  }

  /** An exception of the program's own. */
  error(text) {
    return new Error(`twin#${this.id}: ${text}`)
  }

  /** The server's object for the session of a client. */
  sessionOf(name) {
    const sid = this.clients.get(name)?.sid
    return sid === undefined ? undefined : this.observer.sessions.find(({ socket }) => socket.id === sid)?.socket
  }

  /** Resolves as the promise does, or after the bound, or so many bounds, when nothing is on its way any more. */
  async within(promise, times = 1) {
    let timer
    const bound = new Promise((resolve) => (timer = setTimeout(resolve, this.pace.bound * times)))
    await Promise.race([promise, bound.then(() => this.settle())])
    clearTimeout(timer)
  }

  async settle() {
    const start = performance.now()
    let turns = 0
    let seen = this.lastAt
    for (;;) {
      const quiet = this.isWaiting() ? Math.max(this.pace.quiet, UPGRADE_CHECK_MS) : this.pace.quiet
      await turn(quiet / TURNS)
      if (this.lastAt !== seen || this.deciding > 0 || this.isConnecting()) {
        seen = this.lastAt
        turns = 0
      } else {
        turns++
      }
      const now = performance.now()
      if (turns >= TURNS && now - Math.max(seen, start) >= quiet && (await this.#staysQuiet())) return
      const isStuck = (this.deciding > 0 || this.isConnecting()) && now - start > STUCK_MS
      if ((now - start > RESTLESS_MS && now - seen < quiet) || isStuck)
        return this.record('process', 'the step does not come to rest')
    }
  }

  /** Whether nothing is seen when other threads, too, have had their turn: to read what came in, and to write what follows. */
  async #staysQuiet() {
    const seen = this.lastAt
    for (let i = 0; i < 2 && this.lastAt === seen; i++) {
      await otherThreads(Boolean(this.program.options?.perMessageDeflate))
      await turn(0)
    }
    return this.lastAt === seen
  }

  /** Whether an upgrade waits for the engine's next look. */
  isWaiting() {
    for (const client of this.clients.values()) if (client.probed && client.ws?.open && client.poll?.open) return true
    return false
  }

  /** Resolves when a hook begins to take its time. */
  nextDecision() {
    return new Promise((resolve) => (this.onDeciding = resolve))
  }

  /** Whether a connection is not there yet, in which a request waits. */
  isConnecting() {
    for (const wire of this.wires) if (wire.connecting) return true
    return false
  }

  /** @returns what was seen: `[{ streams, state }]`, one for each step, and one more for the end */
  run() {
    worlds.set(this.id, this)
    return context.run(this, async () => {
      try {
        await this.#step(() => this.openServer())
        for (const step of this.program.steps) {
          await this.clock.beat()
          await this.#step(() => this.drawn[step.kind].run(this, step))
        }
        await this.clock.beat()
        await this.#step(() => this.closeEngine())
        return this.#result()
      } finally {
        this.clock.leave()
        await this.#close()
      }
    })
  }

  async openServer() {
    const { program } = this
    const options = { ...TIMES, ...structuredClone(program.options), ...hookOptions(program.hooks, this) }
    const prepare = (engine) => {
      this.engine = engine
      applyHooks(program.hooks, engine, this)
      this.observer.server(engine)
      engine.on('connection', (socket) => {
        this.observer.session(socket)
        runCalls(program.listeners, socket, this)
      })
    }
    try {
      this.where = {
        ...(await this.mode.open({ Engine: this.Engine, options, prepare, entered: () => noticed(this) })),
        tls: this.mode.tls,
      }
      if (this.where.server instanceof net.Server) watchServer(this.where.server, this)
    } catch (error) {
      this.record('server', `does not open: ${this.observer.show(error)}`)
    }
  }

  async #step(action) {
    this.steps.push({ streams: {}, state: {}, readyStates: {} })
    try {
      if (this.where || this.steps.length === 1) await action()
    } catch (error) {
      if (isOurs(error)) throw error
      this.record('process', `threw ${this.observer.show(error)}`)
    }
    await this.settle()
    for (const { socket } of this.observer.sessions) this.steps.at(-1).readyStates[socket.id] = socket.readyState
    const last = this.steps.length === this.program.steps.length + 2
    if (this.engine && (this.program.snapshots === 'each' || last)) this.steps.at(-1).state = this.observer.snapshot()
  }

  #result() {
    this.over = true
    const names = this.idNames()
    const tidy = (text) => {
      let result = text.replace(/twin#\d+/g, 'twin')
      for (const [sid, name] of names) result = result.replaceAll(sid, `{${name}}`)
      // of a session that nobody heard of
      return result
        .replace(/(sid\\*":\\*")[\w-]{20}(?=\\*")/g, '$1{unknown}')
        .replace(/=[\w-]{20}(?=; (Path|Max-Age)=)/g, '={unknown}')
    }
    const entries = (object, change) =>
      Object.fromEntries(Object.entries(object).map(([key, value]) => [tidy(key), change(value)]))
    return this.steps.map(({ streams, state, readyStates }) => ({
      streams: entries(streams, (texts) => texts.map(tidy)),
      state: entries(state, (fields) => entries(fields, tidy)),
      // what exceptions are decided by; not compared
      readyStates: entries(readyStates, (text) => text),
    }))
  }

  /** What ids stand for. */
  idNames() {
    const names = new Map()
    for (const client of [...this.clients.values(), ...this.strangers])
      if (client.sid !== undefined && !names.has(client.sid)) names.set(client.sid, client.name)
    let number = 0
    for (const { socket } of this.observer.sessions)
      if (!names.has(socket.id)) names.set(socket.id, `number ${++number}`)
    // whose it is depends on who has been refused
    if (names.has(SAME_ID)) names.set(SAME_ID, 'same')
    return names
  }

  closeEngine() {
    this.engine?.close()
  }

  /** Ends what the program has left open. */
  hangUp() {
    for (const { socket } of this.observer.sessions)
      if (socket.readyState !== 'closed') this.quietly(() => socket.close(true))
    this.quietly(() => this.engine?.close())
  }

  async #close() {
    this.over = true
    for (const stream of this.streams) stream.end()
    for (const wire of this.wires) wire.cut()
    this.hangUp()
    this.quietly(() => this.where?.close())
    await delay(5)
    worlds.delete(this.id)
  }

  quietly(action) {
    try {
      action()
    } catch {
      // the program has broken it
    }
  }
}

module.exports = { World }
