'use strict'

// The numbers of server.metrics() as Prometheus text, in a registry of prom-client, and in a meter of OpenTelemetry.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} = require('@opentelemetry/sdk-metrics')
const { Gauge, Registry } = require('prom-client')
const { observe, prometheus, register } = require('engine.io-native/metrics')
const { defer, listen, once, openPolling, openWebSocket, path: pathOf, request } = require('../support')

/** A server with a session by WebSocket that has got a message, and one that polls. */
async function used() {
  const context = await listen()
  const { peer, socket } = await openWebSocket(context)
  await openPolling(context)
  socket.send('hello')
  await peer.packet()
  await request({ port: context.port, path: pathOf(context, { sid: 'nobody' }) })
  return context
}

/** Reads Prometheus's text: `{ types, values }`, values by name and labels. */
function parse(text) {
  assert.ok(text.endsWith('\n'))
  const types = {}
  const values = {}
  for (const line of text.split('\n').filter((line) => line !== '' && line !== '# EOF')) {
    const meta = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line)
    if (meta?.[1] === 'TYPE') {
      assert.equal(meta[2] in types, false, `${line} comes twice`)
      types[meta[2]] = meta[3]
    }
    if (meta) continue
    const sample =
      /^([a-z_]+)(\{[a-z]+="(?:[^"\\]|\\.)*"(?:,[a-z]+="(?:[^"\\]|\\.)*")*\})? (\d+(?:\.\d+)?(?:e-\d+)?)$/.exec(line)
    assert.ok(sample, `not a sample: ${line}`)
    const [, name, labels = '', value] = sample
    assert.equal(name + labels in values, false, `${line} comes twice`)
    values[name + labels] = Number(value)
  }
  return { types, values }
}

/** What the numbers of `used()` are whoever exports them. */
function check(values) {
  assert.equal(values['engine_io_sessions{transport="websocket",protocol="4"}'], 1)
  assert.equal(values['engine_io_sessions{transport="polling",protocol="4"}'], 1)
  assert.equal(values['engine_io_sessions_opened_total{transport="websocket",protocol="4"}'], 1)
  assert.equal(values['engine_io_refusals_total{reason="UNKNOWN_SID"}'], 1)
  assert.equal(values['engine_io_sessions_closed_total{reason="ping timeout"}'], 0)
  assert.ok(values['engine_io_messages_total{direction="sent"}'] >= 1)
  assert.ok(values['engine_io_message_bytes_total{direction="sent"}'] >= 5)
}

test('the text has every family once, and cumulative histograms', async () => {
  const { engine } = await used()
  const { types, values } = parse(prometheus(engine))
  check(values)
  for (const [name, type] of Object.entries(types)) {
    assert.match(name, /^engine_io_/)
    assert.equal(name.endsWith('_total'), type === 'counter')
    if (type !== 'histogram') continue
    const buckets = Object.entries(values).filter(([key]) => key.startsWith(`${name}_bucket`))
    const counts = buckets.map(([, count]) => count)
    assert.deepEqual(counts, counts.toSorted?.((a, b) => a - b) ?? counts)
    assert.match(buckets.at(-1)[0], /le="\+Inf"/)
    assert.equal(counts.at(-1), values[`${name}_count`])
    assert.ok(values[`${name}_sum`] >= 0)
  }
  assert.equal(types.engine_io_event_loop_delay_seconds, undefined)
})

test('the dashboard of the examples asks only for names that the text has', async () => {
  const { engine } = await used()
  const { values } = parse(prometheus(engine, { eventLoop: true }))
  const names = new Set(Object.keys(values).map((key) => key.replace(/\{.*/, '')))
  const dashboard = fs.readFileSync(path.join(__dirname, '../../examples/metrics/dashboard.json'), 'utf8')
  // those of a cluster are looked for in `cluster/metrics`
  const asked = new Set(dashboard.match(/engine_io_(?!cluster_)\w+/g))
  assert.ok(asked.size > 10, [...asked].join())
  for (const name of asked) assert.ok(names.has(name), `${name} is not in the text`)
})

test('labels of the application are on every value, escaped, and its prefix before every name', async () => {
  const { engine } = await used()
  const text = prometheus(engine, { labels: { name: 'a "b"\\\n' }, prefix: 'chat_' })
  const { values } = parse(text)
  for (const key of Object.keys(values)) assert.match(key, /^chat_[a-z_]+\{name="a \\"b\\"\\\\\\n"/)
})

test('the delay of the event loop is exported if it is asked for', async () => {
  const { engine } = await listen()
  const { values } = parse(prometheus(engine, { eventLoop: true }))
  assert.equal(typeof values['engine_io_event_loop_delay_seconds{quantile="0.99"}'], 'number')
})

test('a registry of prom-client shows what the text shows, and fresh numbers each time', async () => {
  const context = await used()
  const registry = new Registry()
  register(registry, context.engine)
  const { types, values } = parse(await registry.metrics())
  check(values)
  const text = parse(prometheus(context.engine))
  assert.deepEqual(types, text.types)
  assert.deepEqual(Object.keys(values), Object.keys(text.values))
  await openWebSocket(context)
  const later = parse(await registry.metrics())
  assert.equal(later.values['engine_io_sessions{transport="websocket",protocol="4"}'], 2)
  registry.resetMetrics()
  const json = await registry.getMetricsAsJSON()
  assert.equal(json.length, Object.keys(types).length)
})

test('a registry of prom-client shows the numbers in the format of OpenMetrics', async () => {
  const { engine } = await used()
  const registry = new Registry(Registry.OPENMETRICS_CONTENT_TYPE)
  register(registry, engine)
  for (const text of [await registry.metrics(), await registry.metrics()]) {
    const { types, values } = parse(text)
    check(values)
    assert.equal(types.engine_io_sessions_opened, 'counter')
  }
})

test('two servers share a registry by prefixes, and leave it', async () => {
  const [one, two] = [await used(), await listen()]
  const registry = new Registry()
  const leave = [register(registry, one.engine), register(registry, two.engine, { prefix: 'two_' })]
  const { values } = parse(await registry.metrics())
  check(values)
  assert.equal(values['two_sessions{transport="websocket",protocol="4"}'], 0)
  assert.throws(() => register(registry, two.engine), /already been registered/)
  for (const fn of leave) fn()
  assert.deepEqual(await registry.getMetricsAsJSON(), [])
})

test('a registry that has one of the names keeps none of the others', async () => {
  const { engine } = await listen()
  const registry = new Registry()
  new Gauge({ name: 'engine_io_polls_total', help: 'another one', registers: [registry] })
  assert.throws(() => register(registry, engine), /already been registered/)
  const left = await registry.getMetricsAsJSON()
  assert.deepEqual(
    left.map(({ name }) => name),
    ['engine_io_polls_total'],
  )
})

test('mistakes throw before anything is exported, and say what was expected', async () => {
  const { engine } = await listen()
  const registry = new Registry()
  const meter = new MeterProvider().getMeter('test')
  const exporters = {
    prometheus: (server, options) => prometheus(server, options),
    register: (server, options) => register(registry, server, options),
    observe: (server, options) => observe(meter, server, options),
  }
  for (const [name, run] of Object.entries(exporters)) {
    const refuses = (options, message) =>
      assert.throws(() => run(engine, options), { name: 'TypeError', message }, name)
    for (const options of [null, 5, 'chat_', true, [], () => {}]) refuses(options, /the options must be an object, got/)
    for (const prefix of [null, 5, {}, 'a b', '1a', 'a-', 'ü', 'a\n', Symbol('x')])
      refuses({ prefix }, /prefix must be/)
    for (const labels of [null, 5, 'x', [], () => {}]) refuses({ labels }, /labels must be an object, got/)
    for (const own of ['transport', 'reason', 'how', 'le']) refuses({ labels: { [own]: 'x' } }, /must not be named/)
    for (const value of [null, undefined, NaN, Infinity, {}, [], Symbol('x'), () => {}])
      refuses({ labels: { name: value } }, /the label name must be a string, a number or a boolean, got/)
    for (const eventLoop of [null, 1, 'yes']) refuses({ eventLoop }, /eventLoop must be a boolean/)
    refuses({ prefixes: 'x' }, /the option prefixes is unknown/)
    refuses({ labels: { '': 'x' } }, /the name of a label/)
    for (const server of [null, undefined, 5, {}, { metrics: 1 }])
      assert.throws(() => run(server), { name: 'TypeError', message: /the server must have a method metrics\(\), got/ })
  }
  for (const name of ['a-b', '1a', '__name__', 'a.b', 'ü', 'a b']) {
    for (const run of [exporters.prometheus, exporters.register])
      assert.throws(() => run(engine, { labels: { [name]: 'x' } }), {
        name: 'TypeError',
        message: /the name of a label/,
      })
  }
  // attributes of OpenTelemetry have dots
  observe(meter, engine, { labels: { 'service.name': 'chat' } })()
  for (const [what, call] of [
    ['registry', () => register(null, engine)],
    ['registry', () => register({ registerMetric() {} }, engine)],
    ['meter', () => observe(undefined, engine)],
    ['meter', () => observe({}, engine)],
  ])
    assert.throws(call, { name: 'TypeError', message: new RegExp(`the ${what} must have a method`) })
  for (const options of [null, 5, 'x'])
    assert.throws(() => engine.metrics(options), { message: /options of metrics\(\)/ })
  assert.deepEqual(await registry.getMetricsAsJSON(), [])
})

test('labels may be numbers and booleans, and a prefix may be empty', async () => {
  const { engine } = await listen()
  const text = prometheus(engine, { prefix: '', labels: { shard: 3, main: true } })
  assert.match(text, /^sessions\{shard="3",main="true",transport="polling",protocol="4"\} 0$/m)
})

test('a meter of OpenTelemetry collects the numbers until that is ended', async () => {
  const { engine } = await used()
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e8 })
  const provider = new MeterProvider({ readers: [reader] })
  const end = observe(provider.getMeter('test'), engine, { labels: { name: 'a' } })
  await reader.forceFlush()
  const collected = exporter.getMetrics().at(-1).scopeMetrics[0].metrics
  const point = (name, attributes) => {
    const { dataPoints } = collected.find(({ descriptor }) => descriptor.name === name)
    const isIt = (point) => Object.entries(attributes).every(([key, value]) => point.attributes[key] === value)
    return dataPoints.find(isIt)
  }
  assert.equal(point('engine_io.sessions', { transport: 'websocket', protocol: '4', name: 'a' }).value, 1)
  assert.equal(point('engine_io.refusals', { reason: 'UNKNOWN_SID' }).value, 1)
  assert.ok(point('engine_io.messages', { direction: 'sent' }).value >= 1)
  assert.equal(
    point('engine_io.batch_events.bucket', { le: '+Inf' }).value,
    point('engine_io.batch_events.count', {}).value,
  )
  end()
  let reads = 0
  engine.metrics = () => reads++
  await reader.forceFlush()
  assert.equal(reads, 0)
  await provider.shutdown()
})

test('the dashboard is as Grafana expects it: panels beside each other, one data source, known variables', () => {
  const dashboard = JSON.parse(fs.readFileSync(path.join(__dirname, '../../examples/metrics/dashboard.json'), 'utf8'))
  assert.ok(dashboard.schemaVersion >= 36 && dashboard.uid && dashboard.title && dashboard.time.from)
  const variables = new Set([...dashboard.templating.list.map(({ name }) => name), '__rate_interval'])
  const cells = new Set()
  const ids = new Set()
  for (const { id, type, title, datasource, gridPos, fieldConfig, targets } of dashboard.panels) {
    assert.ok(Number.isInteger(id) && !ids.has(id), `${title}: ${id}`)
    ids.add(id)
    assert.ok(['timeseries', 'stat'].includes(type), `${title}: ${type}`)
    // eslint-disable-next-line no-template-curly-in-string -- a variable of the dashboard
    assert.deepEqual(datasource, { type: 'prometheus', uid: '${datasource}' }, title)
    assert.ok(['short', 'ops', 'Bps', 'bytes', 's'].includes(fieldConfig.defaults.unit), title)
    assert.ok(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24, title)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.equal(cells.has(`${x} ${y}`), false, `${title} covers another panel`)
        cells.add(`${x} ${y}`)
      }
    }
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title)
    for (const { expr, legendFormat } of targets) {
      for (const [, name] of expr.matchAll(/\$(\w+)/g)) assert.ok(variables.has(name), `${title}: $${name}`)
      // what a legend names, the expression keeps
      const kept = /by \(([^)]*)\)/.exec(expr)?.[1].split(', ') ?? []
      for (const [, name] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        assert.ok(kept.includes(name), `${title}: ${name}`)
    }
  }
})

test('the example serves all numbers that its dashboard shows', async () => {
  const folder = path.join(__dirname, '../../examples')
  const dashboard = JSON.parse(fs.readFileSync(path.join(folder, 'metrics/dashboard.json'), 'utf8'))
  const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
  // the example has no bus
  const shown = new Set(expressions.flatMap((expr) => expr.match(/engine_io_(?!cluster_bus_)[a-z_]+/g) ?? []))
  const args = ['--require', path.join(folder, 'local.js'), path.join(folder, 'metrics/server.js')]
  const server = spawn(process.execPath, args, { env: { ...process.env, PORT: '0', CLIENTS: '1', NODE_OPTIONS: '' } })
  defer(() => server.kill())
  const [line] = await once(server.stdout, 'data', 60_000)
  const [, port] = /:(\d+)\/metrics/.exec(line)
  const { body } = await request({ port, path: '/metrics', ms: 60_000 })
  const served = new Set(Object.keys(parse(body).values).map((key) => key.replace(/\{.*/, '')))
  assert.ok(shown.size > 15)
  assert.deepEqual(
    [...shown].filter((name) => !served.has(name)),
    [],
  )
})
