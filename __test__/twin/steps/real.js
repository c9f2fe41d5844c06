'use strict'

// engine.io-client, of either protocol, with its own events. It polls and upgrades by itself, so that of the server's side
// only what does not depend on the number of polls is compared.

const eio = require('engine.io-client')
const eio3 = require('engine.io-client-v3')
const { makeShow } = require('../show')
const { drawValue, makeValue, tellValue } = require('../values')

const show = makeShow((value) =>
  typeof value.createRequest === 'function' || typeof value.readyState === 'number' ? '<request>' : undefined,
)

class RealClient {
  constructor(world, name, options) {
    Object.assign(this, { world, name })
    world.clients.set(name, this)
    const { port, tls } = world.where
    const Socket = world.program.protocol === 3 ? eio3 : eio.Socket
    const path = world.program.options.addTrailingSlash === false ? '/engine.io' : '/engine.io/'
    this.socket = new Socket(`${tls ? 'wss' : 'ws'}://127.0.0.1:${port}`, {
      path,
      rejectUnauthorized: false,
      agent: false,
      timestampRequests: false,
      ...options,
    })
    const { socket } = this
    for (const event of ['open', 'message', 'upgrading', 'upgrade', 'upgradeError', 'close', 'error']) {
      socket.on(event, (...args) => {
        if (event === 'open') this.sid = socket.id
        world.record(
          `client ${name}, ${event.startsWith('upgrad') ? 'real upgrade' : 'real'}`,
          `${event}(${args.map((arg) => this.#tell(event, arg)).join(', ')})`,
        )
      })
    }
    this.upgraded = new Promise((resolve) => {
      socket.on('upgrade', resolve)
      socket.on('close', resolve)
      socket.on('error', resolve)
      socket.on(
        'open',
        () =>
          ((socket.upgrades ?? socket._upgrades).length > 0 &&
            options.transports?.length !== 1 &&
            options.upgrade !== false) ||
          resolve(),
      )
    })
  }

  #tell(event, arg) {
    // a session that ends closes both connections of a probing client, which may hear of either first
    const messageOf = ({ message }) => message.replace(/^(probe error: )(transport|socket) closed$/, '$1closed')
    if (arg instanceof Error)
      return `Error ${JSON.stringify(messageOf(arg))} ${typeof arg.description === 'number' ? arg.description : ''}`
    if (event === 'close' && typeof arg === 'object') return 'details'
    return event.startsWith('upgrad') && typeof arg === 'object' ? arg.name : show(arg)
  }

  cut() {
    this.socket.close()
  }
}

const openReal = {
  weight: (sketch) => (sketch.clients.length === 0 ? 50 : sketch.clients.length < 3 ? 2 : 0),
  draw(random, sketch) {
    const step = {
      as: sketch.name(),
      transports: random.pick([['polling', 'websocket'], ['polling', 'websocket'], ['websocket'], ['polling']]),
    }
    if (random.chance(0.1)) step.upgrade = false
    sketch.clients.push({ name: step.as, kind: 'real' })
    return step
  },
  run(world, { as, transports, upgrade = true }) {
    const client = new RealClient(world, as, { transports, upgrade })
    world.wires.add(client)
    return world.within(client.upgraded, 8)
  },
  tell: ({ as, transports, upgrade }) =>
    `${as}, a real client, opens a session by ${transports.join(' and ')}${upgrade === false ? ', without upgrade' : ''}`,
}

const sendReal = {
  weight: (sketch) => (sketch.some('real') ? 8 : 0),
  draw: (random, sketch) => ({
    on: sketch.pick(random, 'real').name,
    data: Array.from({ length: 1 + random.below(3) }, () => drawValue(random)),
  }),
  run(world, { on, data }) {
    const client = world.clients.get(on)
    for (const value of data) client?.socket?.send(makeValue(value))
  },
  tell: ({ on, data }) => `${on} sends ${data.map(tellValue).join(', ')}`,
}

const closeReal = {
  weight: (sketch) => (sketch.some('real') ? 1 : 0),
  draw: (random, sketch) => ({ on: sketch.pick(random, 'real').name }),
  run: (world, { on }) => void world.clients.get(on)?.socket?.close(),
  tell: ({ on }) => `${on} closes`,
}

module.exports = { openReal, sendReal, closeReal }
