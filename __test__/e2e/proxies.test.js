'use strict'

// The option `proxyProtocol` behind a real HAProxy, which sends both versions of the header, and checks the servers'
// health with them.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const { Socket } = require('engine.io-client')
const { bind, defer, eventually, listen, listenDirectly, listenNatively, once, upstream } = require('../support')
const { findProgram } = require('../support/debian')
const certificate = require('../fixtures/tls')

/** The client's end, which is not the proxy's. All of 127.0.0.0/8 is loopback on Linux alone. */
const CLIENT = '127.0.0.5'

const haproxy =
  upstream || process.platform !== 'linux'
    ? { skip: upstream ? 'the original has no option proxyProtocol' : 'only Linux has many addresses of its own' }
    : findProgram('haproxy', {
        packages: ['haproxy', 'liblua5.3-0', 'libpcre2-8-0', 'libopentracing-c-wrapper0', 'libopentracing1'],
        file: 'usr/sbin/haproxy',
        version: '-v',
      })

/**
 * Starts a proxy of TCP connections; returns its port. `header`: how it tells the client's address. The proxy inherits the
 * port: one that is free now may be another program's when the proxy asks for it.
 */
async function startProxy(port, header) {
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'engine.io-native-'))
  defer(() => fs.rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'haproxy.cfg')
  const lines = [
    'defaults',
    '  mode tcp',
    '  timeout connect 20s',
    '  timeout client 30s',
    '  timeout server 30s',
    'listen proxy',
    '  bind fd@3',
    `  server engine 127.0.0.1:${port} ${header} check inter 100ms fall 10000 check-send-proxy`,
    '',
  ]
  fs.writeFileSync(file, lines.join('\n'))
  const listener = net.createServer()
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  const { port: own } = listener.address()
  const stdio = ['ignore', 'ignore', 'inherit', listener._handle.fd]
  const child = spawn(haproxy.program, ['-db', '-q', '-f', file], { env: haproxy.env, stdio })
  listener.close()
  const ended = once(child, 'exit', 60_000)
  defer(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return own
}

const WAYS = {
  'attach()': listen,
  'attach() to an HTTPS server': (opts) => listen(opts, https.createServer(certificate)),
  'listen()': listenDirectly,
  'the native listener': listenNatively,
}

for (const [way, listen] of Object.entries(WAYS)) {
  for (const header of ['send-proxy', 'send-proxy-v2']) {
    test(`${way}: real clients behind HAProxy with ${header}`, { skip: haproxy.skip, timeout: 60_000 }, async () => {
      const context = await listen({ proxyProtocol: '127.0.0.1', trustProxy: false })
      const told = []
      context.engine.on('connection', (socket) => {
        told.push(socket.remoteAddress)
        socket.on('message', (data) => socket.send(data))
      })
      const port = await startProxy(context.port, header)
      const scheme = way.includes('HTTPS') ? 'https' : 'http'
      const { Agent } = scheme === 'https' ? https : http
      const agent = new Agent({ localAddress: CLIENT, rejectUnauthorized: false })
      const kinds = [['polling'], ['polling', 'websocket'], ['websocket']]
      for (const transports of kinds) {
        const client = new Socket(`${scheme}://127.0.0.1:${port}`, {
          transports,
          agent,
          rejectUnauthorized: false,
        })
        defer(() => client.close())
        if (transports.length > 1) await once(client, 'upgrade')
        client.send('hello')
        assert.deepEqual(await once(client, 'message'), ['hello'])
        client.close()
      }
      assert.deepEqual(told, [CLIENT, CLIENT, CLIENT])
      assert.equal(context.engine.metrics().refusals.INVALID_PROXY_HEADER, 0)
      await eventually(() => context.engine.clientsCount, 0)
    })
  }
}

test(
  'a proxy that sends no header where one is due reaches nothing',
  { skip: haproxy.skip, timeout: 60_000 },
  async () => {
    const context = await listen({ proxyProtocol: '127.0.0.1' })
    const plain = await bind(
      net.createServer((client) => {
        const server = net.connect(context.port, '127.0.0.1')
        server.on('error', () => client.destroy())
        client.on('error', () => server.destroy())
        client.pipe(server).pipe(client)
      }),
    )
    const client = new Socket(`http://127.0.0.1:${plain}`, { transports: ['websocket'] })
    defer(() => client.close())
    await once(client, 'error')
    assert.equal(context.engine.clientsCount, 0)
    assert.equal(context.engine.metrics().refusals.INVALID_PROXY_HEADER, 1)
  },
)
