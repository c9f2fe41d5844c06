'use strict'
// npm run bench -- --growth: how cost grows with connections, message size, messages in flight, I/O threads; and on one core.
const fs = require('fs')
const os = require('os')
const path = require('path')
const peers = require('./peers')
const rows = require('./rows')
const results = require('./results')
const { num, esc } = require('./report')
const { fail, tryEngine, runMessages, runMemory, median, seconds, progress, machine } = require('./measure')

const opts = (o) => ({ OPTS: JSON.stringify(o) })
const row = (scenario, load, server) => ({
  id: scenario,
  scenario,
  load,
  kind: 'message',
  server: { mode: 'attach', task: scenario, env: {}, ...server },
})
const known = (id) => rows.find((r) => r.id === id)
const withClients = (id, conns) => ({ ...known(id), load: { ...known(id).load, conns } })
const CPU = { id: 'cpu', title: 'CPU per message, us', keys: ['total', 'js'] }
const RATE = { id: 'rate', title: 'messages per second', keys: ['rate'] }
const CONNECTIONS = [100, 1000, 10000]

/** A series: points xs; at each, `lines` are measured in turn; each figure becomes a plot (`js` dashed) and a table. */
function allSeries(o) {
  const each = (make, options = () => ({})) => o.engines.map((e) => ({ label: e.id, engine: e, row: make, options }))
  const native = o.engines.find((e) => e.peer === peers.native)
  return [
    {
      id: 'connections',
      x: 'connections',
      xs: CONNECTIONS,
      title: 'Connections: opening them, and a heartbeat per second on each',
      lines: each((n) => ({
        ...row('hold', { conns: n }, { env: opts({ pingInterval: 1000, pingTimeout: 20000 }) }),
        minWarmup: 2,
        minDuration: 3,
      })),
      figures: [
        { id: 'connect', title: 'CPU per connection opened, us', keys: ['connectTotal', 'connectJs'] },
        { id: 'heartbeats', title: 'CPU of the heartbeats, ms per second', keys: ['totalPerSecond', 'jsPerSecond'] },
      ],
    },
    {
      id: 'memory',
      x: 'connections',
      xs: CONNECTIONS,
      memory: true,
      title: 'Memory with idle connections',
      lines: each(() => ({ ...row('hold', {}), kind: 'memory', steps: CONNECTIONS })),
      figures: [{ id: 'rss', title: 'RSS after garbage collection, MiB', keys: ['rss'] }],
    },
    {
      id: 'size',
      x: 'bytes',
      xs: [16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576],
      title: 'Message size: echo, 20 connections, binary',
      lines: each((n) => row('echo', { conns: 20, size: n, binary: true }, { env: opts({ maxHttpBufferSize: 4e6 }) })),
      figures: [CPU, RATE],
    },
    {
      id: 'few',
      x: 'connections',
      xs: [1, 2, 5, 10, 20, 50, 100],
      title: 'Few connections in turn: echo, 64 B text, one message in flight',
      lines: each((n) => row('echo', { conns: n, size: 64 })),
      figures: [CPU, RATE],
    },
    {
      id: 'few-sio',
      x: 'clients',
      xs: [1, 2, 5, 10, 20, 50, 100],
      title: 'Few clients of Socket.IO in turn: echo, 64 B, one message in flight',
      lines: each((n) => withClients('sio-echo100', n)),
      figures: [CPU, RATE],
    },
    {
      id: 'room',
      x: 'clients',
      xs: [2, 3, 5, 8, 10, 20, 50, 100],
      title: 'Rooms of Socket.IO: an event to all for each event of one, 64 B; per delivery',
      lines: each((n) => withClients('sio-room100', n)),
      figures: [CPU, RATE],
    },
    {
      id: 'inflight',
      x: 'messages in flight on each connection',
      xs: [1, 2, 4, 8, 16, 32, 64],
      title: 'Batches: echo, 100 connections, 64 B text',
      lines: each((n) => row('echo', { conns: 100, size: 64, inflight: n })),
      figures: [CPU, RATE],
    },
    {
      id: 'threads',
      x: 'I/O threads',
      xs: os.cpus().length >= 8 ? [1, 2, 4] : [1, 2],
      title: `I/O threads of engine.io-native (${os.cpus().length} cores, the load generator's included)`,
      lines: !native
        ? []
        : ['echo64', 'echo64x8', 'broadcast64'].map((id) => ({
            label: id,
            engine: native,
            row: () => known(id),
            options: (n) => ({ ioThreads: n }),
          })),
      figures: [CPU, RATE],
    },
    {
      id: 'pinned',
      x: 'row',
      xs: ['echo64', 'echo64x8', 'receive64', 'broadcast64', 'connect', 'poll-listen', 'lone'],
      categories: true,
      title: 'The server pinned to one core',
      lines: os.cpus().length < 2 ? [] : each(known, () => ({ pin: o.pin || '0' })),
      figures: [CPU, RATE],
    },
  ].filter((s) => s.lines.length && (!o.rows || o.rows.includes(s.id)))
}

async function measure(o, series, left) {
  const samples = series.lines.map(() => series.xs.map(() => []))
  const errors = []
  for (let p = 0; p < o.pairs; p++) {
    const order = p % 2 ? [...series.lines.keys()].reverse() : [...series.lines.keys()]
    for (const [k, x] of (series.memory ? [null] : series.xs).entries()) {
      for (const l of order) {
        const line = series.lines[l]
        progress(
          `${series.id}${x === null ? '' : ` ${x}`}: round ${p + 1}/${o.pairs}, ${line.label}; ${seconds(left())} left`,
        )
        try {
          const options = { ...o, ...line.options(x) }
          if (series.memory) {
            const { points } = await runMemory(options, line.row(x), line.engine)
            points.forEach((m, i) => samples[l][i].push({ rss: m.rss / 2 ** 20 }))
          } else {
            samples[l][k].push(await runMessages(options, line.row(x), line.engine))
          }
        } catch (e) {
          errors.push(`${series.id} ${x ?? ''}, ${line.label}: ${e.message}`)
        }
        left.done()
      }
    }
  }
  // As in the table of rows: the median of the ratios round by round.
  const at = (label) => samples[series.lines.findIndex((l) => l.label === label)]
  const [base, mine] = [at('upstream'), at('native')]
  const ratios =
    base &&
    mine &&
    series.xs.map((_, i) =>
      Object.fromEntries(
        series.figures
          .flatMap((f) => f.keys)
          .map((key) => [key, median(mine[i].map((s, r) => s[key] / base[i][r]?.[key]))]),
      ),
    )
  return {
    ...series,
    errors,
    ratios,
    lines: series.lines.map((line, l) => ({
      label: line.label,
      points: series.xs.map((x, i) => ({
        x,
        ...Object.fromEntries(
          series.figures.flatMap((f) => f.keys).map((key) => [key, median(samples[l][i].map((s) => s[key]))]),
        ),
      })),
    })),
  }
}

// --- plots -----------------------------------------------------------------------------------------------------------

const COLOURS = ['#8a8a8a', '#d0602a', '#4a7fb5', '#4a9a6a', '#8a6ab5', '#b0a030', '#333333']

/** Plots with logarithmic axes, because factors matter. */
function plot(series, figure) {
  const W = 760,
    H = 420,
    left = 70,
    right = 190,
    top = 50,
    bottom = 55
  const curves = series.lines
    .flatMap((line, i) =>
      figure.keys.map((key, k) => ({
        label: `${line.label}${figure.keys.length > 1 ? (k ? ', JS thread' : ', total') : ''}`,
        colour: COLOURS[i % COLOURS.length],
        dash: k > 0,
        points: line.points.map((p) => [p.x, p[key]]).filter(([, y]) => y > 0),
      })),
    )
    .filter((c) => c.points.length)
  if (!curves.length) return null
  const all = curves.flatMap((c) => c.points)
  const span = (v) => [Math.log10(Math.min(...v)), Math.log10(Math.max(...v))]
  const [x0, x1] = span(all.map((p) => p[0]))
  let [y0, y1] = span(all.map((p) => p[1]))
  ;[y0, y1] = [y0 - 0.05, Math.max(y1, y0 + 0.3) + 0.05]
  const x = (v) => left + ((Math.log10(v) - x0) / (x1 - x0 || 1)) * (W - left - right)
  const y = (v) => H - bottom - ((Math.log10(v) - y0) / (y1 - y0)) * (H - top - bottom)
  let body = ''
  for (const v of series.xs) {
    body += `<line x1="${x(v).toFixed(1)}" x2="${x(v).toFixed(1)}" y1="${top}" y2="${H - bottom}" stroke="#eee"/><text x="${x(v).toFixed(1)}" y="${H - bottom + 16}" text-anchor="middle">${short(v)}</text>\n`
  }
  const marks = y1 - y0 > 2.5 ? [1] : [1, 2, 5]
  for (let d = Math.floor(y0); d <= y1; d++) {
    for (const m of marks) {
      const v = m * 10 ** d
      if (Math.log10(v) < y0 || Math.log10(v) > y1) continue
      body += `<line x1="${left}" x2="${W - right}" y1="${y(v).toFixed(1)}" y2="${y(v).toFixed(1)}" stroke="#ddd"/><text x="${left - 6}" y="${(y(v) + 4).toFixed(1)}" text-anchor="end">${short(v)}</text>\n`
    }
  }
  for (const c of curves) {
    body += `<polyline fill="none" stroke="${c.colour}" stroke-width="2"${c.dash ? ' stroke-dasharray="5 4"' : ''} points="${c.points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(' ')}"/>\n`
    body +=
      c.points
        .map((p) => `<circle cx="${x(p[0]).toFixed(1)}" cy="${y(p[1]).toFixed(1)}" r="3" fill="${c.colour}"/>`)
        .join('') + '\n'
  }
  const key = curves
    .map(
      (c, i) =>
        `<line x1="${W - right + 14}" x2="${W - right + 38}" y1="${top + 8 + i * 20}" y2="${top + 8 + i * 20}" stroke="${c.colour}" stroke-width="2"${c.dash ? ' stroke-dasharray="5 4"' : ''}/><text x="${W - right + 44}" y="${top + 12 + i * 20}">${esc(c.label)}</text>`,
    )
    .join('\n')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${W} ${H}" width="${W}" font-family="system-ui,sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/><g fill="#222">
<text x="8" y="20" font-size="15" font-weight="600">${esc(series.title)}</text><text x="8" y="38">${esc(figure.title)} (logarithmic)</text>
${body}${key}
<text x="${(left + W - right) / 2}" y="${H - 12}" text-anchor="middle">${esc(series.x)}</text></g></svg>
`
}

const short = (v) =>
  v >= 1048576 && v % 1048576 === 0
    ? `${v / 1048576} Mi`
    : v >= 1024 && v % 1024 === 0
      ? `${v / 1024} Ki`
      : v >= 1e6
        ? `${v / 1e6}M`
        : v >= 1e3
          ? `${v / 1e3}k`
          : String(+v.toPrecision(3))

/** One row per point, one column per line and key. */
function cells(series, figure) {
  const head = [series.x, ...series.lines.flatMap((l) => figure.keys.map((k, i) => `${l.label}${i ? ' JS' : ''}`))]
  if (series.ratios) head.push(...figure.keys.map((k, i) => `ratio${i ? ' JS' : ''}`))
  return [
    head,
    ...series.xs.map((x, i) => [
      String(x),
      ...series.lines.flatMap((l) => figure.keys.map((k) => num(l.points[i][k]))),
      ...(series.ratios ? figure.keys.map((k) => num(series.ratios[i][k])) : []),
    ]),
  ]
}

async function run(o) {
  const able = []
  for (const e of o.engines) {
    try {
      await tryEngine(o, e)
      able.push(e)
    } catch (err) {
      console.error(`not available: ${e.id} (${e.peer.title}): ${err.message}`)
    }
  }
  o.engines = able
  const todo = allSeries(o)
  if (!todo.length) fail('nothing to measure')
  const runs = (s) => o.pairs * s.lines.length * (s.memory ? 1 : s.xs.length)
  let left = todo.reduce((a, s) => a + runs(s), 0)
  const began = Date.now()
  let done = 0
  const remaining = () => (done ? ((Date.now() - began) / 1000 / done) * left : left * 2.5)
  remaining.done = () => {
    done++
    left--
  }
  const result = {
    date: new Date().toISOString(),
    pairs: o.pairs,
    warmup: o.warmup,
    duration: o.duration,
    machine: machine(),
    series: [],
  }
  for (const s of todo) result.series.push(await measure(o, s, remaining))
  progress('')

  const name = `${o.name || `local-${result.date.slice(0, 19).replace(/[:T]/g, '-')}`}-growth`
  results.save(result, name)
  const m = result.machine
  const md = [
    `# Growth ${result.date.slice(0, 10)}`,
    '',
    `${m.cpu}, ${m.cores} cores, ${m.memoryGiB} GiB, Linux ${m.kernel}, Node ${m.node}. Medians of ${result.pairs} interleaved rounds of ${result.duration} s; ratios native to upstream are medians round by round. "JS": the main thread.`,
    '',
  ]
  for (const s of result.series) {
    md.push(`## ${s.title}`, '')
    for (const f of s.figures) {
      const t = cells(s, f)
      md.push(
        `${f.title}:`,
        '',
        `| ${t[0].join(' | ')} |`,
        `|${t[0].map(() => ' ---: |').join('')}`,
        ...t.slice(1).map((r) => `| ${r.join(' | ')} |`),
        '',
      )
      console.log(`\n${s.title}: ${f.title}`)
      for (const r of t) console.log(r.map((c, i) => c.padStart(Math.max(...t.map((q) => q[i].length)))).join('  '))
      const svg = !s.categories && plot(s, f)
      if (svg) {
        const file = `${name}-${s.id}-${f.id}.svg`
        fs.writeFileSync(path.join(results.folder, file), svg)
        md.push(`![${s.id}](${file})`, '')
      }
    }
    for (const e of s.errors) md.push(`FAILED: ${e}`, '')
  }
  fs.writeFileSync(path.join(results.folder, `${name}.md`), md.join('\n'))
  console.log(`\n${seconds((Date.now() - began) / 1000)}. Written: bench/results/${name}.md, .json and .svg`)
  const errors = result.series.flatMap((s) => s.errors)
  if (errors.length) {
    console.error(`failed:\n${errors.join('\n')}`)
    process.exitCode = 1
  }
}

module.exports = { run }
