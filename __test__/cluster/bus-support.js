'use strict'

const assert = require('node:assert/strict')
const { setTimeout: wait } = require('node:timers/promises')
const { RawWebSocket } = require('../support')
const { clusterDirectory, startBalancer, startMember, target } = require('./support')

const KEY = 'a key that all machines have'

/** The bus of the processes under test: what becomes of a message, the test says. */
class Hub {
  constructor() {
    /** The channels of the processes. */
    this.members = new Map()
    /** Returns the delays of the copies that arrive of a message, in ms. */
    this.fate = () => [0]
    /** Nothing arrives while this is set. */
    this.isDown = false
    /** The messages, if they are recorded. */
    this.record = undefined
    this.passed = 0
  }

  join(member) {
    const channels = new Set()
    this.members.set(member, channels)
    member.on('bus', ({ subscribe, channel, bytes }) => {
      if (subscribe !== undefined) return channels.add(subscribe)
      this.record?.push({ channel, bytes })
      if (this.isDown) return
      for (const delay of this.fate({ channel, bytes })) {
        if (delay === 0) this.deliver({ channel, bytes })
        else setTimeout(() => this.deliver({ channel, bytes }), delay)
      }
    })
  }

  /** Has a message arrive at all processes that have its channel. */
  deliver(message) {
    if (this.isDown) return
    this.passed++
    for (const [{ child }, channels] of this.members) {
      // a process may have gone
      if (channels.has(message.channel) && child.connected) child.send(message, () => {})
    }
  }
}

/**
 * Starts machines, each with a directory of its own, and connects them by a bus.
 *
 * @param {number} count of machines
 * @param {{hub?: Hub, bus?: object, processes?: number, options?: object, cluster?: object}} settings `processes` of each
 *   machine
 */
async function startMachines(count, settings = {}, program = undefined) {
  const { hub = new Hub(), bus = { name: 'parent' }, processes = 1, options = {}, cluster = {}, ...rest } = settings
  const machines = []
  for (let i = 0; i < count; i++) {
    const all = {
      ...rest,
      bus,
      options: { ...options, cluster: { directory: clusterDirectory(), key: KEY, ...cluster } },
    }
    const members = []
    for (let j = 0; j < processes; j++) members.push(await startMember(all, program, (member) => hub.join(member)))
    machines.push({ members, settings: all })
  }
  const members = machines.flatMap((machine) => machine.members)
  await meet(members)
  return { hub, machines, members, port: await startBalancer(members) }
}

/** Waits until each process exchanges requests with all others, or with as many. */
async function meet(members, count = members.length - 1, metrics = 'metrics') {
  for (const member of members) await until(member, ({ nodes }) => nodes === count, `${count} nodes`, metrics)
}

/** Waits until the numbers of the bus are so. */
async function until(member, isSo, what, metrics = 'metrics') {
  const end = Date.now() + 30_000
  for (;;) {
    const { bus } = await member.ask(metrics)
    if (isSo(bus)) return bus
    if (Date.now() > end) throw new Error(`expected ${what}, got ${JSON.stringify(bus)}`)
    await wait(20)
  }
}

/** Waits until a promise of what `read` asks for gives this. */
async function becomes(read, expected) {
  const end = Date.now() + 10_000
  for (;;) {
    const value = await read()
    if (value === expected || Date.now() > end) return assert.equal(value, expected)
    await wait(20)
  }
}

/** Upgrades a session by way of a process. */
async function upgrade(front, sid) {
  const websocket = await RawWebSocket.open(front.port, target({ sid, transport: 'websocket' }))
  assert.equal(websocket.status, 101)
  websocket.sendText('2probe')
  assert.equal(await websocket.packet(), '3probe')
  websocket.sendText('5')
  return websocket
}

/** A message on a WebSocket comes back. */
async function says(websocket, text) {
  websocket.sendText(`4${text}`)
  assert.equal(await websocket.packet(), `4${text}`)
}

module.exports = { Hub, KEY, becomes, meet, says, startMachines, until, upgrade }
