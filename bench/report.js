'use strict'
// The table for the terminal, the Markdown report, and its plots.
const fs = require('fs')
const path = require('path')
const results = require('./results')
const { reasons } = require('./rows')

const num = (x) => {
  if (x === null || x === undefined) return '-'
  if (x >= 10000) return Math.round(x).toLocaleString('en-US')
  if (x >= 100) return x.toFixed(0)
  return x >= 10 ? x.toFixed(1) : x.toFixed(2)
}
const ratio = (s, m) => (s.ratio[m] === undefined ? '' : s.ratio[m].toFixed(s.ratio[m] < 0.1 ? 3 : 2))
const withSpread = (s, m) => {
  if (s.ratio[m] === undefined) return ''
  const d = s.ratio[m] < 0.1 ? 3 : 2
  return `${s.ratio[m].toFixed(d)} (${s.low[m].toFixed(d)}-${s.high[m].toFixed(d)})`
}

const LOW = ['total', 'js', 'p50', 'memory']

/** met / missed against the targets; only the engine under test has targets. */
function verdict(row, engine, s) {
  if (engine !== 'native' || s.error) return ''
  const missed = []
  let any = false
  for (const [m, t] of Object.entries(row.target)) {
    const r = s.ratio[m]
    if (r === undefined) continue
    any = true
    if (LOW.includes(m) ? r > t : r < t) missed.push(`${m} ${LOW.includes(m) ? '>' : '<'} ${t}`)
  }
  return any ? (missed.length ? `missed: ${missed.join(', ')}` : 'met') : ''
}

function cells(result) {
  const messages = [
    [
      'row',
      'engine',
      'CPU us',
      'JS us',
      'other us',
      'rate/s',
      'p50 us',
      'p99 us',
      'CPU ratio (min-max)',
      'JS ratio',
      'rate ratio',
      'p50 ratio',
      'target',
    ],
  ]
  const memory = [['row', 'engine', 'RSS KiB/connection', 'JS heap KiB/connection', 'RSS ratio (min-max)', 'target']]
  for (const row of result.rows) {
    for (const [e, s] of Object.entries(row.engines)) {
      if (s.error === 'does not apply') continue
      if (s.error) {
        ;(row.kind === 'memory' ? memory : messages).push([row.id, e, `FAILED: ${s.error}`])
      } else if (row.kind === 'memory') {
        memory.push([row.id, e, num(s.median.memory), num(s.median.heap), withSpread(s, 'memory'), verdict(row, e, s)])
      } else {
        const m = s.median
        messages.push([
          row.id,
          e,
          num(m.total),
          num(m.js),
          num(m.io),
          num(m.rate),
          num(m.p50),
          num(m.p99),
          withSpread(s, 'total'),
          ratio(s, 'js'),
          ratio(s, 'rate'),
          ratio(s, 'p50'),
          verdict(row, e, s),
        ])
      }
    }
  }
  return [messages, memory].filter((t) => t.length > 1)
}

function notes(result) {
  const n = []
  for (const [e, why] of Object.entries(result.unavailable))
    n.push(`**${e}** (${result.engines[e]}) was not available: ${why}`)
  for (const row of result.rows) {
    for (const [e, s] of Object.entries(row.engines)) for (const x of s.notes || []) n.push(`${row.id}, ${e}: ${x}`)
  }
  return n
}

/** Lists the rows in which native needs more CPU than uServer or eiows, by how much and why. */
function rivals(result) {
  const out = []
  const ids = [
    ...new Set(
      result.rows.flatMap((row) =>
        Object.entries(row.engines)
          .filter(([, s]) => s.native)
          .map(([e]) => e),
      ),
    ),
  ]
  for (const e of ids) {
    const shared = result.rows.filter((row) => row.engines[e] && row.engines[e].native)
    const behind = shared
      .filter((row) => row.engines[e].native.ratio >= 1)
      .sort((a, b) => b.engines[e].native.ratio - a.engines[e].native.ratio)
    out.push(
      `native against ${e} (${result.engines[e]}): less CPU per message in ${shared.length - behind.length} of ${shared.length} shared rows` +
        (behind.length ? '; not in:' : ''),
    )
    for (const row of behind) {
      const { ratio: q, low, high } = row.engines[e].native
      const why =
        reasons[`${row.id}/${e}`] ||
        (low < 1 ? 'within the noise: it is not the case in every round' : 'reason not given (rows.js, reasons)')
      out.push(
        `  ${row.id}: ${q.toFixed(2)} times (${low.toFixed(2)}-${high.toFixed(2)}), ${num(row.engines.native.median.total)} against ${num(row.engines[e].median.total)} us; ${why}`,
      )
    }
  }
  return out
}

function table(result) {
  const out = []
  for (const t of cells(result)) {
    const width = t[0].map((_, i) => Math.max(...t.filter((r) => r.length === t[0].length).map((r) => r[i].length)))
    for (const [k, r] of t.entries()) {
      if (k && r[0] !== t[k - 1][0]) out.push(k === 1 ? width.map((w) => '-'.repeat(w)).join('  ') : '')
      const show = k > 1 && r[0] === t[k - 1][0] ? ['', ...r.slice(1)] : r
      out.push(
        show
          .map((c, i) =>
            i < 2 || r.length < t[0].length || i === t[0].length - 1 ? c.padEnd(width[i]) : c.padStart(width[i]),
          )
          .join('  ')
          .trimEnd(),
      )
    }
    out.push('')
  }
  out.push(...rivals(result), '')
  for (const n of notes(result)) out.push(`! ${n.replace(/\*\*/g, '')}`)
  return out.join('\n').trimEnd()
}

// --- plots -----------------------------------------------------------------------------------------------------------

const COLOURS = { js: '#e0a030', io: '#4a7fb5', rate: '#4a9a6a', memory: '#8a6ab5' }
const esc = (s) => s.replace(/&/g, '&amp;').replace(/</g, '&lt;')

/** Horizontal bars; each bar a list of [value, colour] pieces, 100 % being the original. */
function bars(title, legend, groups) {
  const W = 900,
    left = 330,
    right = 70,
    h = 16
  const max = Math.max(1.1, ...groups.flatMap((g) => g.bars.map((b) => b.pieces.reduce((a, p) => a + p[0], 0)))) * 1.02
  const x = (v) => left + (v / max) * (W - left - right)
  let y = 58
  let body = ''
  for (const g of groups) {
    body += `<text x="8" y="${y + 12}" font-weight="600">${esc(g.label)}</text>\n`
    y += 2
    for (const b of g.bars) {
      y += h
      body += `<text x="${left - 8}" y="${y + 11}" text-anchor="end">${esc(b.label)}</text>`
      let at = 0
      for (const [v, c] of b.pieces) {
        body += `<rect x="${x(at).toFixed(1)}" y="${y}" width="${Math.max(0, x(at + v) - x(at)).toFixed(1)}" height="${h - 3}" fill="${c}"/>`
        at += v
      }
      body += `<text x="${(x(at) + 5).toFixed(1)}" y="${y + 11}">${at.toFixed(2)}</text>\n`
    }
    y += h + 8
  }
  const key = legend
    .map(
      ([c, t], i) =>
        `<rect x="${8 + i * 190}" y="32" width="12" height="12" fill="${c}"/><text x="${26 + i * 190}" y="42">${esc(t)}</text>`,
    )
    .join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${W} ${y + 6}" width="${W}" font-family="system-ui,sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/><g fill="#222">
<text x="8" y="20" font-size="15" font-weight="600">${esc(title)}</text>${key}
<line x1="${x(1)}" x2="${x(1)}" y1="52" y2="${y}" stroke="#999" stroke-dasharray="4 3"/>
${body}</g></svg>
`
}

function plots(result) {
  const out = {}
  const ref = result.reference
  const usable = (row) => row.engines[ref] && !row.engines[ref].error
  const ok = (row) => Object.entries(row.engines).filter(([, s]) => !s.error)
  const rows = result.rows.filter((r) => r.kind === 'message' && usable(r))
  if (rows.length) {
    out.cpu = bars(
      'CPU per message, original = 1 (less is better)',
      [
        [COLOURS.js, 'JS thread'],
        [COLOURS.io, 'other threads'],
      ],
      rows.map((r) => {
        const base = r.engines[ref].median.total
        return {
          label: r.title,
          bars: ok(r).map(([e, s]) => {
            const total = e === ref ? 1 : s.ratio.total
            const js = s.median.js === null ? 0 : Math.min(1, s.median.js / s.median.total) * total
            return {
              label: `${e}, ${num(e === ref ? base : s.median.total)} us`,
              pieces: [
                [js, COLOURS.js],
                [total - js, COLOURS.io],
              ],
            }
          }),
        }
      }),
    )
    out.rate = bars(
      'Rate, original = 1 (more is better)',
      [[COLOURS.rate, 'per second']],
      rows.map((r) => ({
        label: r.title,
        bars: ok(r).map(([e, s]) => ({
          label: `${e}, ${num(s.median.rate)}/s`,
          pieces: [[e === ref ? 1 : s.ratio.rate, COLOURS.rate]],
        })),
      })),
    )
  }
  const mem = result.rows.filter((r) => r.kind === 'memory' && usable(r))
  if (mem.length) {
    out.memory = bars(
      'Memory per idle connection, original = 1 (less is better)',
      [[COLOURS.memory, 'RSS']],
      mem.map((r) => ({
        label: r.title,
        bars: ok(r).map(([e, s]) => ({
          label: `${e}, ${num(s.median.memory)} KiB`,
          pieces: [[e === ref ? 1 : Math.max(0, s.ratio.memory), COLOURS.memory]],
        })),
      })),
    )
  }
  return out
}

function markdown(result, images) {
  const m = result.machine
  const out = [
    `# Benchmark ${result.date.slice(0, 10)}`,
    '',
    `${m.cpu}, ${m.cores} cores, ${m.memoryGiB} GiB, Linux ${m.kernel}, Node ${m.node}. ` +
      `${result.pairs} interleaved rounds, ${result.warmup} s warm-up, ${result.duration} s measured${result.quick ? ' (quick mode: indicative only)' : ''}` +
      `${result.pin ? `, server pinned to CPU ${result.pin}` : ''}${result.ioThreads ? `, ${result.ioThreads} I/O threads` : ''}. ` +
      `Medians; ratios are medians of the ratios round by round to \`${result.reference}\`. How to read it: [bench/README.md](../README.md).`,
    '',
  ]
  for (const t of cells(result)) {
    out.push(`| ${t[0].join(' | ')} |`, `|${t[0].map((_, i) => (i < 2 ? ' --- |' : ' ---: |')).join('')}`)
    for (const r of t.slice(1)) out.push(`| ${t[0].map((_, i) => (r[i] ?? '').replace(/\|/g, '\\|')).join(' | ')} |`)
    out.push('')
  }
  for (const i of images) out.push(`![${i.key}](${i.file})`, '')
  out.push(
    '## Rows',
    '',
    ...result.rows.map((r) => `- \`${r.id}\`: ${r.title}${r.kind === 'message' ? `; per ${r.unit}` : ''}`),
    '',
  )
  const against = rivals(result)
  if (against.length)
    out.push('## Against the rivals', '', ...against.map((l) => (l.startsWith(' ') ? `  - ${l.trim()}` : `- ${l}`)), '')
  const ref = result.rows.filter((r) => r.kind === 'message')
  out.push(
    '## Load generator',
    '',
    'Its own CPU per unit of work (us) and the share of a core it used.',
    '',
    '| row | engine | us | share |',
    '| --- | --- | ---: | ---: |',
    ...ref.flatMap((r) =>
      Object.entries(r.engines)
        .filter(([, s]) => !s.error)
        .map(([e, s]) => `| ${r.id} | ${e} | ${num(s.median.loadCpu)} | ${num(s.median.loadBusy)} |`),
    ),
    '',
  )
  const n = notes(result)
  if (n.length) out.push('## Notes', '', ...n.map((x) => `- ${x}`), '')
  return out.join('\n')
}

function write(result, name, raw) {
  const files = results.save(result, name, raw)
  const put = (file, text) => {
    fs.writeFileSync(file, text)
    files.push(file)
  }
  const images = Object.entries(plots(result)).map(([key, svg]) => {
    const file = `${name}-${key}.svg`
    put(path.join(results.folder, file), svg)
    return { key, file }
  })
  put(path.join(results.folder, `${name}.md`), markdown(result, images))
  return files
}

module.exports = { table, write, num, esc }
