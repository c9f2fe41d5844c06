'use strict'

// The example of metrics, scraped by a real Prometheus, which evaluates every expression of the dashboard. With
// `PICTURE=file.png` a headless Chromium draws what it has found, panel by panel.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { test } = require('node:test')
const { installApp } = require('../packaging/app')
const { scratchFolder } = require('../packaging/scratch')
const { findProgram } = require('../support/debian')
const { freePort, start } = require('./child')
const { drawn } = require('./dashboard')
const { dependenciesOn } = require('./versions')

const example = path.join(__dirname, '../../examples/metrics')
const read = (name) => fs.readFileSync(path.join(example, name), 'utf8')

/** How long Prometheus scrapes, once a second, before it is asked. */
const SECONDS = Number(process.env.SECONDS ?? 15)

/** What the variables of the dashboard stand for. */
const VARIABLES = { $instance: '.+', $__rate_interval: '10s' }

const { program, env, skip } = findProgram('prometheus', {
  packages: ['prometheus'],
  file: 'usr/bin/prometheus',
  version: '--version',
})

/** Starts a Prometheus that scrapes this port; returns its address. */
async function startPrometheus(t, port) {
  const folder = scratchFolder()
  const settings = read('prometheus.yml').replace('5s', '1s').replace('localhost:3000', `127.0.0.1:${port}`)
  fs.writeFileSync(path.join(folder, 'prometheus.yml'), settings)
  const own = await freePort()
  const options = {
    'config.file': path.join(folder, 'prometheus.yml'),
    'storage.tsdb.path': path.join(folder, 'data'),
    'web.listen-address': `127.0.0.1:${own}`,
    'log.level': 'warn',
  }
  const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = new Promise((resolve) => child.on('exit', resolve))
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return `http://127.0.0.1:${own}`
}

/** Asks Prometheus; rejects for everything but an answer with data. */
async function ask(url, route, query = {}) {
  const response = await fetch(`${url}/api/v1/${route}?${new URLSearchParams(query)}`)
  const { status, data, error } = await response.json()
  assert.equal(status, 'success', `${query.query}: ${error}`)
  return data
}

async function until(what, probe) {
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 200))) {
    if (await probe().catch(() => false)) return
  }
  assert.fail(`expected ${what} within a minute`)
}

const filled = (text) => Object.entries(VARIABLES).reduce((all, [name, value]) => all.replaceAll(name, value), text)

test('a real Prometheus has data for every expression of the dashboard', { skip, timeout: 180_000 }, async (t) => {
  const app = installApp(dependenciesOn(), { 'server.js': read('server.js') })
  const [, port] = await start(t, {
    cwd: app,
    args: ['server.js'],
    env: { PORT: '0', CLIENTS: '20' },
    until: /:(\d+)\/metrics/,
  })
  const url = await startPrometheus(t, port)
  const scraped = () => ask(url, 'query', { query: 'count_over_time(engine_io_stale_calls_total[1h])' })
  await until('the first scrape', async () => (await scraped()).result.length === 1)
  // requests that are refused
  const refused = setInterval(() => {
    for (const query of ['transport=polling&sid=nobody', 'transport=pigeon'])
      http.get(`http://127.0.0.1:${port}/engine.io/?EIO=4&${query}`, (res) => res.resume()).on('error', () => {})
  }, 500)
  t.after(() => clearInterval(refused))
  await until('enough scrapes', async () => Number((await scraped()).result[0].value[1]) >= SECONDS)

  const dashboard = JSON.parse(read('dashboard.json'))
  const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(dashboard.templating.list.at(-1).query)
  assert.deepEqual(await ask(url, `label/${label}/values`, { 'match[]': metric }), [`127.0.0.1:${port}`])
  const now = Date.now() / 1000
  const panels = []
  for (const { title, type, targets, fieldConfig } of dashboard.panels) {
    const series = []
    for (const { expr, legendFormat } of targets) {
      const range = { query: filled(expr), start: now - SECONDS, end: now, step: 1 }
      const { result } = await ask(url, 'query_range', range)
      assert.ok(result.length > 0, `no data for ${range.query}`)
      const numbers = result.flatMap(({ values }) => values.map(([, value]) => Number(value)))
      assert.ok(numbers.some(Number.isFinite), `no number for ${range.query}`)
      for (const { metric, values } of result) {
        const name = legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label) => {
          assert.ok(label in metric, `${title} has no label ${label}: ${JSON.stringify(metric)}`)
          return metric[label]
        })
        series.push({ name, values: values.map(([time, value]) => [time - now, Number(value)]) })
      }
      t.diagnostic(`${title}: ${result.length} series of ${range.query}`)
    }
    panels.push({ title, type, unit: fieldConfig.defaults.unit, series })
  }
  if (process.env.PICTURE)
    await drawn(panels, process.env.PICTURE, `Prometheus ${(await ask(url, 'status/buildinfo')).version}`)
})
