'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { launch } = require('../e2e/browser')
const { scratchFolder } = require('../packaging/scratch')

const COLORS = ['#3f7fdb', '#e08a28', '#3f9e5a', '#c8453c', '#8560c4', '#6b7280', '#c45f9e', '#2c9aa8']
const [WIDTH, HEIGHT, LEFT] = [380, 150, 60]

/** Draws panels with their values into a PNG. */
async function drawn(panels, file, source) {
  const page = path.join(scratchFolder(), 'dashboard.html')
  const style = `body { font: 12px sans-serif; margin: 12px; background: #f4f5f5; color: #24292e }
    main { display: grid; grid-template-columns: repeat(3, 1fr); gap: 10px }
    section { background: #fff; border: 1px solid #d8dadd; padding: 8px } h1 { font-size: 16px } h2 { font-size: 13px; margin: 0 0 6px }
    i { display: inline-block; width: 10px; height: 3px; margin: 0 4px 3px 0 } span { margin-right: 10px; white-space: nowrap }`
  const html = `<!doctype html><meta charset="utf-8"><style>${style}</style>
    <h1>examples/metrics/dashboard.json, each expression evaluated by ${text(source)} (not drawn by Grafana)</h1>
    <main>${panels.map(panel).join('')}</main>`
  fs.writeFileSync(page, html)
  const browser = await launch({ viewport: { width: 1240, height: 900 } })
  try {
    const shown = await browser.newPage(pathToFileURL(page).href)
    await shown.screenshot({ path: file, fullPage: true })
  } finally {
    await browser.close()
  }
}

function panel({ title, type, unit, series }) {
  if (type === 'stat') {
    const value = series[0].values.at(-1)[1]
    return `<section><h2>${text(title)}</h2><p style="font-size: 56px; text-align: center; margin: 40px 0">${value}</p></section>`
  }
  const points = series.flatMap(({ values }) => values).filter(([, value]) => Number.isFinite(value))
  const from = Math.min(...points.map(([time]) => time))
  const top = Math.max(...points.map(([, value]) => value)) * 1.1 || 1
  const x = (time) => LEFT + ((time - from) / (-from || 1)) * (WIDTH - LEFT)
  const y = (value) => HEIGHT - (value / top) * (HEIGHT - 8)
  const lines = series.map(({ values }, index) => {
    const line = values.filter(([, value]) => Number.isFinite(value)).map(([time, value]) => `${x(time)},${y(value)}`)
    return `<polyline points="${line.join(' ')}" fill="none" stroke-width="1.5" stroke="${COLORS[index % COLORS.length]}"/>`
  })
  const axis = [0, 0.5, 1].map((part) => {
    const value = (top / 1.1) * part
    return `<line x1="${LEFT}" x2="${WIDTH}" y1="${y(value)}" y2="${y(value)}" stroke="#e3e5e8"/>
      <text x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end" font-size="11">${amount(value, unit)}</text>`
  })
  const names = series.map(({ name, values }, index) => {
    const last = values.at(-1)[1]
    return `<span><i style="background: ${COLORS[index % COLORS.length]}"></i>${text(name)}: ${amount(last, unit)}</span>`
  })
  return `<section><h2>${text(title)}</h2><svg viewBox="0 0 ${WIDTH} ${HEIGHT + 4}">${axis.join('')}${lines.join('')}</svg>
    <div>${names.join(' ')}</div></section>`
}

function amount(value, unit) {
  const of = { ops: '/s', Bps: ' B/s', bytes: ' B', s: ' s' }[unit] ?? ''
  if (!Number.isFinite(value)) return '-'
  if (unit === 's' && value < 1) return `${Number((value * 1000).toPrecision(3))} ms`
  if (value >= 10_000) return `${Number((value / 1000).toPrecision(3))} k${of.trim()}`
  return `${Number(value.toPrecision(3))}${of}`
}

function text(value) {
  return String(value).replace(/[<&]/g, (char) => (char === '<' ? '&lt;' : '&amp;'))
}

module.exports = { drawn }
