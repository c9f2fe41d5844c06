'use strict'
// node bench/tables.js [--check]: writes the figures of one run (bench/results/readme.json), of the same rows on Node.js 20
// (readme-node20.json), of a run with all engines (readme-peers.json), and of one with several processes
// (readme-cluster.json, if it is there) into README.md, docs/PERFORMANCE.md, docs/scaling/numbers.md and
// docs/scaling/million.md, between <!-- table --> and <!-- /table --> and their like, so that no figure is copied by hand.
// With --check nothing is written, and the exit code is 1 if something would change.
const fs = require('fs')
const path = require('path')
const clusterReport = require('./cluster-report')
const { exists, read } = require('./results')
const rows = require('./rows')

const root = path.join(__dirname, '..')
const result = read('readme')
const peers = read('readme-peers')
const node20 = read('readme-node20')

/** Rows that PERFORMANCE.md shows for all engines; the report of that run has the others. */
const BESIDE = ['echo64', 'echo64x8', 'broadcast64', 'connect', 'poll', 'tls1k', 'sio-echo100', 'lone']

/** The day of the first run beside engine.io 6.6.13. */
const FIRST_ON_6_6_13 = '2026-11-28'

/** What README shows; PERFORMANCE.md shows all. */
const MAIN = [
  'echo64',
  'echo64x8',
  'echo16k',
  'receive64',
  'broadcast64',
  'connect',
  'connect-listen',
  'poll',
  'poll-listen',
  'tls1k',
  'deflate1k',
  'sio-echo100',
  'sio-room1000',
  'lone',
]

const digits = (x) => (x === undefined || x === null ? '' : x.toFixed(x < 0.1 ? 3 : x < 10 ? 2 : 1))
const measured = result.rows.filter((row) => row.engines.native && !row.engines.native.error && row.engines.upstream)
const speed = measured.filter((row) => row.kind !== 'memory')
const memory = measured.filter((row) => row.kind === 'memory')
const LOW = ['total', 'js', 'p50', 'memory']
const NAMES = { total: 'total', js: 'JS', rate: 'rate', p50: 'p50', memory: '' }

/** The target as it is now, not as it was when the run was made. */
const targetOf = (row) => (rows.find((r) => r.id === row.id) || row).target

function verdict(row) {
  const { ratio } = row.engines.native
  const entries = Object.entries(targetOf(row)).filter(([m]) => ratio[m] !== undefined)
  if (entries.length === 0) return ''
  const missed = entries
    .filter(([m, t]) => (LOW.includes(m) ? +ratio[m].toFixed(3) > t : +ratio[m].toFixed(2) < t))
    .map(([m, t]) => `${NAMES[m]} ${LOW.includes(m) ? '≤' : '≥'} ${t}`.trim())
  return missed.length === 0 ? 'met' : `missed: ${missed.join(', ')}`
}

const line = (...cells) => `| ${cells.join(' | ')} |`

function setting({ machine, pairs, warmup, duration, date, rows }) {
  const taken = Math.max(
    ...rows.flatMap((row) => Object.values(row.engines)).map(({ median }) => (median && median.foreign) || 0),
  )
  return `${machine.cores} cores (${machine.cpu}), Linux ${machine.kernel}, Node ${machine.node}, ${date.slice(0, 10)}; medians of ${pairs} interleaved rounds of ${duration} s after ${warmup} s of warm-up, during which others took up to ${taken.toFixed(2)} cores`
}

/** Says of which versions an older run is: results do not keep them. */
const age = ({ date }) =>
  date.slice(0, 10) < FIRST_ON_6_6_13 ? ' It is of an older build, beside `engine.io` 6.6.12.' : ''

/** What the text beside the tables refers to, in figures of the run. */
function findings() {
  const of = (id) => measured.find((row) => row.id === id)?.engines.native.median
  const [echo, batched, plain, deflated] = ['echo64', 'echo64x8', 'echo1k', 'deflate1k'].map((id) => of(id)?.total)
  const [kept, released] = ['memory', 'memory-released'].map((id) => of(id)?.memory)
  const out = []
  if (echo && batched)
    out.push(
      `- With 8 messages of a connection in flight, each takes ${digits(batched)} us of CPU; one at a time, ${digits(echo)} us.`,
    )
  if (plain && deflated)
    out.push(`- An echo of 1 KiB takes ${digits(deflated)} us with permessage-deflate, ${digits(plain)} us without.`)
  if (kept && released)
    out.push(
      `- \`socket.request = null\` frees ${Math.round((1 - released / kept) * 100)} % of the memory of a connection behind \`attach()\`, with a small young generation of V8 (\`--max-semi-space-size=1\`), as in all memory rows that do not say otherwise.`,
    )
  return out
}

/** The ratios of a row on Node.js 20. */
function beside({ id }) {
  const ratio = node20.rows.find((row) => row.id === id)?.engines.native?.ratio
  return ratio ? ['total', 'js', 'rate'].map((figure) => digits(ratio[figure])).join(' / ') : ''
}

function performance() {
  const out = [
    `${setting(result)}.`,
    '',
    `The column "Node 20" has total CPU, CPU of the JS thread, and rate: ${setting(node20)}.`,
    '',
  ]
  out.push(line('work', 'total CPU', 'CPU of the JS thread', 'rate', 'p50', 'Node 20', 'target'))
  out.push(line('---', '---:', '---:', '---:', '---:', '---', '---'))
  for (const row of speed) {
    const { ratio } = row.engines.native
    out.push(
      line(
        row.title,
        digits(ratio.total),
        digits(ratio.js),
        digits(ratio.rate),
        digits(ratio.p50),
        beside(row),
        verdict(row),
      ),
    )
  }
  if (memory.length) {
    out.push(
      '',
      line('memory', 'original, KiB', 'native, KiB', 'ratio', 'ratio on Node 20', 'target'),
      line('---', '---:', '---:', '---:', '---:', '---'),
    )
    for (const row of memory) {
      const { upstream, native } = row.engines
      out.push(
        line(
          row.title,
          digits(upstream.median.memory),
          digits(native.median.memory),
          digits(native.ratio.memory),
          digits(node20.rows.find(({ id }) => id === row.id)?.engines.native?.ratio?.memory),
          verdict(row),
        ),
      )
    }
  }
  out.push('', ...findings())
  const verdicts = measured.map(verdict).filter((text) => text !== '')
  out.push('', `${verdicts.filter((text) => text === 'met').length} of ${verdicts.length} rows with a target meet it.`)
  const others = Object.keys(peers.engines).filter(
    (e) => e !== 'native' && e !== 'upstream' && peers.rows.some((row) => row.engines[e] && row.engines[e].ratio),
  )
  out.push('', `Total CPU per message beside others, in us: ${setting(peers)}.${age(peers)}`, '')
  out.push(line('work', 'original', 'native', ...others), line('---', '---:', '---:', ...others.map(() => '---:')))
  for (const row of peers.rows.filter((r) => BESIDE.includes(r.id))) {
    const us = (e) => (row.engines[e] && row.engines[e].median ? digits(row.engines[e].median.total) : '')
    if (others.some((e) => us(e))) out.push(line(row.title, us('upstream'), us('native'), ...others.map(us)))
  }
  return out.join('\n')
}

function readme() {
  const out = [
    `${setting(result)}.`,
    '',
    line('work', 'total CPU', 'CPU of the JS thread', 'rate'),
    line('---', '---:', '---:', '---:'),
  ]
  for (const row of speed.filter((r) => MAIN.includes(r.id))) {
    const { ratio } = row.engines.native
    out.push(line(row.title, digits(ratio.total), digits(ratio.js), digits(ratio.rate)))
  }
  const of = (id) => memory.find((row) => row.id === id)
  const [plain, plainListen, kept, released, listen] = [
    'memory-defaults',
    'memory-listen-defaults',
    'memory',
    'memory-released',
    'memory-listen',
  ].map((id) => of(id) && digits(of(id).engines.native.ratio.memory))
  if (plain && plainListen && kept && released && listen) {
    out.push(
      '',
      `Memory per idle WebSocket with V8's defaults: ${plain} of the original's behind \`attach()\`, ${plainListen} with the native`,
      `listener. With a small young generation (\`--max-semi-space-size=1\`): ${kept} and ${listen}, and ${released} behind \`attach()\``,
      'once the application has released `socket.request`.',
    )
  }
  return out.join('\n')
}

function put(name, text, mark = 'table') {
  const target = path.join(root, name)
  const old = fs.readFileSync(target, 'utf8')
  const marked = new RegExp(`(<!-- ${mark} -->\\n)[\\s\\S]*?(\\n<!-- /${mark} -->)`)
  if (!marked.test(old)) throw new Error(`${name} has no <!-- ${mark} --> … <!-- /${mark} -->`)
  const now = old.replace(marked, (all, start, end) => `${start}\n${text}\n${end}`)
  if (now === old) return
  if (!process.argv.includes('--check')) return fs.writeFileSync(target, now)
  console.error(`The tables of ${name} are not those of bench/results: run node bench/tables.js`)
  process.exitCode = 1
}

put('docs/PERFORMANCE.md', performance())
put('README.md', readme())
if (exists('readme-cluster')) {
  const cluster = read('readme-cluster')
  put('docs/PERFORMANCE.md', `${setting(cluster)}.\n\n${clusterReport.tables(cluster, '###').trimEnd()}`, 'cluster')
  put('docs/scaling/numbers.md', clusterReport.findings(cluster), 'cluster')
  put('docs/scaling/million.md', clusterReport.arithmetic(cluster), 'bus')
}
