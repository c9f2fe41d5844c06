'use strict'

// The primary process of Node's cluster, whose workers are members. It has no code for that.

const cluster = require('node:cluster')
const path = require('node:path')

const { policy, workers } = JSON.parse(process.env.MEMBER)
cluster.schedulingPolicy = policy === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR
cluster.setupPrimary({ exec: path.join(__dirname, 'member.js') })

let listening = 0
for (let i = 0; i < workers; i++) cluster.fork()
cluster.on('message', (worker, message) => {
  if (message.event !== 'listening' || ++listening === workers) process.send(message)
})
cluster.on('exit', (worker) => process.send({ event: 'exit', pid: worker.process.pid }))

process.on('message', ({ pid }) => {
  Object.values(cluster.workers)
    .find((worker) => worker.process.pid === pid)
    .process.kill('SIGKILL')
})
process.on('disconnect', () => {
  for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL')
  process.exit()
})
