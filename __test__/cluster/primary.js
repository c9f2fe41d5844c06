'use strict'

// The primary process of Node's cluster, whose workers are members. It has no code for that.

const cluster = require('node:cluster')
const path = require('node:path')

const { policy, workers } = JSON.parse(process.env.MEMBER)
cluster.schedulingPolicy = policy === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR
cluster.setupPrimary({ exec: path.join(__dirname, 'member.js') })

let listening = 0
/** What waits for the answer of a worker, by the number of the question. */
const asked = new Map()
let lastNumber = 0
for (let i = 0; i < workers; i++) cluster.fork()
cluster.on('message', (worker, message) => {
  if (message.event === 'result') return asked.get(message.number)(message.result)
  if (message.event !== 'listening' || ++listening === workers) process.send(message)
})
cluster.on('exit', (worker) => process.send({ event: 'exit', pid: worker.process.pid }))

/** Has all workers do something, and gives the sum of the results. */
async function askAll(command) {
  const results = Object.values(cluster.workers).map((worker) => {
    const number = ++lastNumber
    worker.send({ command, number })
    return new Promise((resolve) => asked.set(number, resolve))
  })
  return (await Promise.all(results)).reduce((sum, result) => sum + result)
}

process.on('message', async ({ pid, command, number }) => {
  if (command !== undefined) return process.send({ event: 'result', number, result: await askAll(command) })
  Object.values(cluster.workers)
    .find((worker) => worker.process.pid === pid)
    .process.kill('SIGKILL')
})
process.on('disconnect', () => {
  for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL')
  process.exit()
})
