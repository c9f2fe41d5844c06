'use strict'

const fs = require('node:fs')
const { performance } = require('node:perf_hooks')

/** What the server does between two readings. All shares are of one core: 1 is a core fully used. */
class Meter {
  constructor() {
    this.messages = 0
    this.last = this.counters()
  }

  /** @returns {{ js: number, other: number, loop: number, rate: number, exact: boolean }} */
  read() {
    const now = this.counters()
    const { last } = this
    this.last = now
    const elapsed = now.at - last.at
    const total = (now.process - last.process) / elapsed
    const loop = performance.eventLoopUtilization(now.loop, last.loop).utilization
    const js = now.thread === undefined ? Math.min(loop, total) : (now.thread - last.thread) / elapsed
    return {
      js,
      other: Math.max(0, total - js),
      loop,
      rate: Math.round(((now.messages - last.messages) / elapsed) * 1000),
      exact: now.thread !== undefined,
    }
  }

  /** Times in ms since some beginning. */
  counters() {
    const { user, system } = process.cpuUsage()
    return {
      at: performance.now(),
      process: (user + system) / 1000,
      thread: jsThreadTime(),
      loop: performance.eventLoopUtilization(),
      messages: this.messages,
    }
  }
}

/** CPU time of the JavaScript thread in ms, where the system tells it: the main thread has the process's id. */
function jsThreadTime() {
  if (process.threadCpuUsage) {
    const { user, system } = process.threadCpuUsage()
    return (user + system) / 1000
  }
  try {
    return Number(fs.readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0]) / 1e6
  } catch {
    return undefined
  }
}

module.exports = { Meter }
