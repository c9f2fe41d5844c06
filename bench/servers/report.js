'use strict'
// Reports of a server in JavaScript to run.js: it answers the lines mark, report and gc on stdin; the end of stdin ends it.
const fs = require('fs')

let count
const say = (o) => fs.writeSync(1, JSON.stringify(o) + '\n')

function threads() {
  if (process.platform !== 'linux') return []
  const dir = '/proc/self/task'
  return fs
    .readdirSync(dir)
    .map((tid) => {
      try {
        const ns = Number(fs.readFileSync(`${dir}/${tid}/schedstat`, 'utf8').split(' ')[0])
        const stat = fs.readFileSync(`${dir}/${tid}/stat`, 'utf8')
        const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        return {
          tid: +tid,
          main: +tid === process.pid,
          ns,
          userTicks: +f[11],
          systemTicks: +f[12],
          name: fs.readFileSync(`${dir}/${tid}/comm`, 'utf8').trim(),
        }
      } catch {
        return null // ended meanwhile
      }
    })
    .filter(Boolean)
}

const snapshot = () => ({ t: process.hrtime.bigint(), count: { ...count }, threads: threads() })
let mark

function report() {
  const now = snapshot()
  const delta = now.threads.map((t) => {
    const b = mark.threads.find((x) => x.tid === t.tid) || { ns: 0, userTicks: 0, systemTicks: 0 }
    return { ...t, ns: t.ns - b.ns, userTicks: t.userTicks - b.userTicks, systemTicks: t.systemTicks - b.systemTicks }
  })
  const sum = (f) => delta.filter(f).reduce((a, t) => a + t.ns, 0)
  return {
    event: 'report',
    seconds: Number(now.t - mark.t) / 1e9,
    messages: now.count.messages - mark.count.messages,
    connections: now.count.connections - mark.count.connections,
    closes: now.count.closes - mark.count.closes,
    sent: now.count.sent - mark.count.sent,
    jsNs: sum((t) => t.main),
    otherNs: sum((t) => !t.main),
    threads: delta.filter((t) => t.ns > 0),
    ...memory(),
  }
}

function memory() {
  const m = process.memoryUsage()
  const handles = process.getActiveResourcesInfo ? process.getActiveResourcesInfo().length : -1
  return { rss: m.rss, heapUsed: m.heapUsed, external: m.external, arrayBuffers: m.arrayBuffers, handles }
}

async function gc() {
  for (let i = 0; i < 4; i++) {
    if (global.gc) global.gc()
    await new Promise((r) => setTimeout(r, 30))
  }
  return { event: 'report', open: count.connections - count.closes, ...memory() }
}

/** @param {{messages: number, connections: number, closes: number, sent?: number}} counters kept by the application; `sent`: on a bus */
module.exports = (counters) => {
  count = counters
  mark = snapshot()
  let rest = ''
  process.stdin
    .setEncoding('latin1')
    .on('data', async (s) => {
      const lines = (rest + s).split('\n')
      rest = lines.pop()
      for (const l of lines) {
        if (l === 'mark') mark = snapshot()
        else if (l === 'report') say(report())
        else if (l === 'gc') say(await gc())
        else if (l === 'exit') process.exit(0)
      }
    })
    .on('end', () => process.exit(0))
}
