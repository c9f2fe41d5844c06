'use strict'
// The load generator must catch what a wrong server does, in every scenario that carries messages; and find nothing
// wrong with a right one. node bench/selftest.js
const { spawn } = require('child_process')
const path = require('path')

const loadgen = path.join(__dirname, 'loadgen', 'target', 'release', 'loadgen')
const app = path.join(__dirname, 'servers', 'app.js')

function once(env, args) {
  return new Promise((resolve, reject) => {
    const server = spawn(process.execPath, [app], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    server.stdout.once('data', (line) => {
      const { port } = JSON.parse(line)
      const load = spawn(loadgen, [...args, '--port', port, '--warmup', '0.2', '--duration', '0.6'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      let out = ''
      load.stdout.on('data', (d) => {
        out += d
      })
      load.on('close', () => {
        server.stdin.end()
        try {
          resolve(JSON.parse(out.trim().split('\n').pop()))
        } catch (e) {
          reject(e)
        }
      })
    })
  })
}

const scenarios = {
  echo: ['echo', '--conns', '20', '--inflight', '4'],
  'echo binary': ['echo', '--conns', '20', '--binary', '--size', '500', '--inflight', '4'],
  'echo tls': ['echo', '--conns', '20', '--inflight', '4', '--tls'],
  'echo deflate': ['echo', '--conns', '20', '--size', '1024', '--inflight', '4', '--deflate'],
  broadcast: ['broadcast', '--conns', '50'],
  'poll-echo': ['poll-echo', '--conns', '20'],
  'poll-upgrade': ['poll-upgrade', '--conns', '200'],
  'poll-upgrade heartbeats': ['poll-upgrade', '--conns', '200'],
}
const faults = ['none', 'drop', 'duplicate', 'corrupt', 'reorder', 'stranger', 'close', 'type']

;(async () => {
  let bad = 0
  for (const [name, args] of Object.entries(scenarios)) {
    for (const fault of faults) {
      // A single message in flight cannot come out of order: there reorder is only a delay.
      if (fault === 'reorder' && !name.startsWith('echo')) continue
      const env = {
        TASK: name === 'broadcast' ? 'broadcast' : 'echo',
        ENGINE: fault === 'none' ? 'upstream' : path.join(__dirname, 'servers', 'broken.js'),
        BREAK: fault,
      }
      if (name === 'echo tls') env.TLS = '1'
      if (name === 'echo deflate') env.OPTS = JSON.stringify({ perMessageDeflate: true })
      if (name.endsWith('heartbeats')) env.OPTS = JSON.stringify({ pingInterval: 1 })
      const r = await once(env, args)
      const right = r.errors > 0 === (fault !== 'none') && (fault !== 'none' || r.messages > 100)
      if (!right) bad++
      console.log(
        `${right ? 'ok  ' : 'FAIL'} ${name}, ${fault}: ${r.errors} errors${r.errors ? ` (${r.error_samples[0]})` : `, ${r.messages} messages`}`,
      )
    }
  }
  process.exitCode = bad ? 1 : 0
})()
