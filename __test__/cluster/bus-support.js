'use strict'

const assert = require('node:assert/strict')
const { setTimeout: wait } = require('node:timers/promises')
const { RawWebSocket, defer } = require('../support')
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
 * @param {{hub?: Hub, bus?: object, processes?: number, gateways?: number, options?: object, cluster?: object}} settings
 *   `processes` of each machine, of which the first have the bus, or as many as `gateways` says
 */
async function startMachines(count, settings = {}, program = undefined) {
  const { hub = new Hub(), bus = { name: 'parent' }, processes = 1, options = {}, cluster = {}, ...rest } = settings
  const { gateways = processes, ...others } = rest
  const machines = []
  for (let i = 0; i < count; i++) {
    const all = {
      ...others,
      bus,
      options: { ...options, cluster: { directory: clusterDirectory(), key: KEY, ...cluster } },
    }
    const members = []
    for (let j = 0; j < processes; j++) {
      const own = j < gateways ? all : { ...all, bus: undefined }
      members.push(await startMember(own, program, (member) => hub.join(member)))
    }
    machines.push({ members, settings: all })
  }
  const members = machines.flatMap((machine) => machine.members)
  await meet(machines.flatMap((machine) => machine.members.slice(0, gateways)))
  return { hub, machines, members, port: await startBalancer(members) }
}

/** Waits until each process exchanges requests with all others, or with as many. */
async function meet(members, count = members.length - 1, metrics = 'metrics') {
  for (const member of members) await until(member, ({ nodes }) => nodes === count, `${count} nodes`, metrics)
}

/**
 * Starts two machines, on each a process with the bus (two with `gateways: 2`) and one without, and waits until they
 * know each other.
 */
async function startGateways({ gateways = 1, ...settings } = {}) {
  const { machines, ...rest } = await startMachines(2, { processes: gateways + 1, gateways, ...settings })
  const [near, far] = machines.map(({ members }) => ({ gateways: members.slice(0, -1), inner: members.at(-1) }))
  for (const one of [...near.gateways, ...far.gateways]) await standsFor(one, 1)
  await isKnownTo(near.inner, far.gateways)
  await isKnownTo(far.inner, near.gateways)
  const [gateway, farGateway] = [near.gateways[0], far.gateways[0]]
  return { ...rest, machines, near, far, gateway, inner: near.inner, farGateway, farInner: far.inner }
}

/** Waits until as many sessions of a process have a poll that waits, or a WebSocket. */
function polled(owner, count) {
  return becomes(() => owner.ask('settled'), count)
}

/** Waits until it is known that all answers have arrived. */
async function settled(gateways) {
  for (const one of gateways) await until(one, ({ served }) => served === 0, 'no request')
}

/** What `describe` returns for the warnings of this process from now on. */
function recordWarnings(describe = ({ code, message }) => [code, message]) {
  const warnings = []
  const onWarning = (warning) => warnings.push(describe(warning))
  process.on('warning', onWarning)
  defer(() => process.removeListener('warning', onWarning))
  return warnings
}

/** Nothing arrives at a process that is sent to it alone, so that it does not hear of the ends of requests. */
function makeDeaf(hub, member) {
  const own = [...hub.members.get(member)].filter((channel) => !channel.endsWith('.all'))
  hub.fate = ({ channel }) => (own.includes(channel) ? [] : [0])
}

/** Waits until a process stands for as many of its machine. */
function standsFor(gateway, count) {
  return until(gateway, ({ neighbours }) => neighbours === count, `${count} neighbours`)
}

/** Waits until members of the bus know where sessions of a process are. */
async function isKnownTo(owner, nodes) {
  const sid = await owner.ask('issueId')
  for (const node of nodes) await becomes(() => node.ask('knows', { sid }), true)
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
  const end = Date.now() + 30_000
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

module.exports = {
  Hub,
  KEY,
  becomes,
  makeDeaf,
  recordWarnings,
  meet,
  polled,
  says,
  settled,
  standsFor,
  startGateways,
  startMachines,
  until,
  upgrade,
}
