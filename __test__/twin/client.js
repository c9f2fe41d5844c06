'use strict'

// A client made of raw connections: each request has one of its own, so that requests may overlap.

const { frame, closePayload, upgradeRequest } = require('../support/frames')
const { Wire } = require('./wire')

class Client {
  constructor(world, name, { protocol, jsonp, b64 } = {}) {
    Object.assign(this, { world, name, jsonp, b64 })
    this.protocol = protocol ?? world.program.protocol
    world.clients.set(name, this)
  }

  /** One that the program does not name: it comes with the id of a client's session, or with none. */
  static stranger(world, known) {
    const name = `stranger${world.count('stranger')}`
    const client = new Client(world, known?.sid === undefined ? name : `${known.name}, ${name}`, {})
    world.clients.delete(client.name)
    world.strangers.push(client)
    return client
  }

  path(transport, sid = this.sid, extra = {}) {
    const query = { EIO: String(this.protocol), transport }
    if (sid !== undefined) query.sid = sid
    if (this.jsonp && transport === 'polling') query.j = '3'
    if (this.b64) query.b64 = '1'
    const base = this.world.program.options.addTrailingSlash === false ? '/engine.io' : '/engine.io/'
    return `${base}?${new URLSearchParams({ ...query, ...extra })}`
  }

  /** Sends a request. @returns the wire, whose `done` resolves when an answer has come, or the end */
  request(what, { method = 'GET', path, headers = {}, body, hold, version = '1.1' }) {
    const wire = this.#wire(what, { method })
    const all = { Host: '127.0.0.1', ...headers }
    if (body !== undefined && all['Transfer-Encoding'] === undefined)
      all['Content-Length'] ??= String(body.length + (hold ?? 0))
    const lines = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : `${name}: ${value}\r\n`))
    const head = Buffer.from(`${method} ${path} HTTP/${version}\r\n${lines.join('')}\r\n`, 'latin1')
    wire.write(body === undefined ? head : Buffer.concat([head, body]))
    return wire
  }

  #wire(what, options) {
    let settle
    const done = new Promise((resolve) => (settle = resolve))
    const { onResponse, onFrame, ...rest } = options
    const number = this.world.count(`${what} of ${this.name}`)
    const wire = new Wire(this.world, `client ${this.name}, ${what} ${number}`, {
      deaf: this.world.program.deaf,
      ...rest,
      onResponse: (status, body) => {
        onResponse?.(status, body)
        if (status !== 101) settle()
      },
      onFrame: (opcode, payload) => {
        onFrame?.(opcode, payload)
        settle()
      },
      onEnd: settle,
    })
    wire.done = done
    return wire
  }

  /** The id of the session, from its open packet. */
  learn(text) {
    this.sid ??= /"sid":"([^"]+)"/.exec(text.replaceAll('\\"', '"'))?.[1]
  }

  websocket(what, { sid, headers, path, head, method, version } = {}) {
    const wire = this.#wire(what, {
      onFrame: (opcode, payload) => {
        const text = payload.toString()
        if (sid === undefined) this.learn(text)
        if (text === '3probe') this.probed = true
      },
    })
    wire.write(
      Buffer.concat([
        Buffer.from(upgradeRequest(path ?? this.path('websocket', sid), { headers, method, version }), 'latin1'),
        head ?? Buffer.alloc(0),
      ]),
    )
    return wire
  }
}

/** The bytes of frames that are given as data. */
function framesOf(list) {
  return Buffer.concat(
    list.map(({ code, reason, bytes, text, ...rest }) => {
      const payload =
        code === undefined
          ? bytes === undefined
            ? Buffer.from(text ?? '')
            : Buffer.from(bytes, 'hex')
          : closePayload(code, reason)
      return frame({ ...rest, payload })
    }),
  )
}

module.exports = { Client, framesOf }
