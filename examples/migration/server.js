'use strict'

// Runs the application before and after the migration, under the same load, and compares what it took. This needs both
// engines at once, as a clone of engine.io-native has them.

const { fork } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')

const seconds = Number(process.env.SECONDS ?? 3)
const local = path.join(__dirname, '..', 'local.js')

async function measure(execArgv) {
  const env = { ...process.env, PORT: '0', NODE_OPTIONS: '' }
  const app = fork(path.join(__dirname, 'app.js'), { execArgv, env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const [port] = await once(app, 'message')
  const before = await report(app)
  const clients = fork(path.join(__dirname, 'clients.js'), [String(port), String(seconds)], { execArgv: [], env })
  const [answers] = await once(clients, 'message')
  const { cpu, memory } = await report(app)
  app.disconnect()
  return { answers, micros: (cpu.user + cpu.system - before.cpu.user - before.cpu.system) / answers, memory }
}

async function report(app) {
  app.send('report')
  const [numbers] = await once(app, 'message')
  return numbers
}

function print(name, { answers, micros, memory }) {
  const cells = [`${Math.round(answers / seconds)}`, `${micros.toFixed(1)} us`, `${(memory / 2 ** 20).toFixed(0)} MiB`]
  console.log(name.padEnd(8) + cells.map((cell) => cell.padStart(14)).join(''))
}

async function main() {
  console.log(`100 clients of Socket.IO ask for ${seconds} seconds. CPU is that of all threads of the server.\n`)
  console.log(`${' '.repeat(8)}${['answers/s', 'CPU/answer', 'memory'].map((cell) => cell.padStart(14)).join('')}`)
  print('before', await measure([]))
  print('after', await measure(['--require', local]))
  console.log('\nThe change is an override in package.json: see before.package.json and after.package.json.')
  console.log('Other work on this machine changes the figures; with SECONDS=20 they differ less from run to run.')
}

main()
