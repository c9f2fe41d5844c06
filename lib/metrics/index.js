'use strict'

// Exporters of `server.metrics()`: `require('engine.io-native/metrics')`. They load nothing: registry and meter are the
// application's.

const { checked, checkMethods } = require('./checks')
const { familiesOf, partsOf } = require('./families')

const PREFIX = 'engine_io_'

/** Returns the numbers in Prometheus's text format. */
function prometheus(server, options = {}) {
  const lines = []
  for (const { name, help, type, values } of read(server, checked(server, options))) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
    for (const { metricName = name, labels, value } of values) lines.push(`${metricName}${textOf(labels)} ${value}`)
  }
  return lines.join('\n') + '\n'
}

/** Adds the numbers to a registry of `prom-client`. Returns a function that removes them. */
function register(registry, server, options = {}) {
  checkMethods('registry', registry, ['registerMetric', 'removeSingleMetric'])
  const given = checked(server, options)
  let current
  // a registry asks for each family by itself
  const all = () => {
    if (current === undefined) {
      current = new Map(read(server, given).map((family) => [family.name, family]))
      setImmediate(() => (current = undefined))
    }
    return current
  }
  const names = []
  const leave = () => names.forEach((name) => registry.removeSingleMetric(name))
  for (const { name, help, type } of read(server, given)) {
    const metric = { name, help, type, aggregator: 'sum', collect() {}, reset() {} }
    // for OpenMetrics the registry takes `_total` from the name of a counter, and adds it to those of its values
    metric.get = async () => ({ ...metric, values: all().get(name).values })
    try {
      registry.registerMetric(metric)
    } catch (error) {
      // another metric has this name
      leave()
      throw error
    }
    names.push(name)
  }
  return leave
}

/** Gives the numbers to a meter of OpenTelemetry. Returns a function that ends this. */
function observe(meter, server, options = {}) {
  const methods = ['createObservableGauge', 'createObservableCounter']
  checkMethods('meter', meter, [...methods, 'addBatchObservableCallback', 'removeBatchObservableCallback'])
  // the names of attributes have no grammar
  const { labels = {}, eventLoop } = checked(server, options, /^/)
  const instruments = new Map()
  const add = (name, type, description) => {
    const make = type === 'gauge' ? 'createObservableGauge' : 'createObservableCounter'
    instruments.set(name, meter[make](name, { description }))
  }
  for (const { name, help, type, value } of familiesOf(server.metrics({ eventLoop }))) {
    if (type !== 'histogram') add(dotted(name), type, help)
    else for (const suffix of new Set(partsOf(value).map((part) => part.suffix))) add(dotted(name, suffix), type, help)
  }
  const observables = [...instruments.values()]
  const callback = (result) => {
    for (const { name, type, values, value } of familiesOf(server.metrics({ eventLoop }))) {
      for (const one of type === 'histogram' ? partsOf(value) : values)
        result.observe(instruments.get(dotted(name, one.suffix)), one.value, { ...labels, ...one.labels })
    }
  }
  meter.addBatchObservableCallback(callback, observables)
  return () => meter.removeBatchObservableCallback(callback, observables)
}

/** Returns the name of an instrument of OpenTelemetry. */
function dotted(name, suffix) {
  return `engine_io.${suffix === undefined ? name : `${name}.${suffix}`}`
}

/**
 * Reads the numbers, named and labelled for Prometheus.
 *
 * @param {{ metrics(options: object): any }} server
 * @param {{ labels?: object, prefix?: string, eventLoop?: boolean }} options
 */
function read(server, { labels = {}, prefix = PREFIX, eventLoop }) {
  return familiesOf(server.metrics({ eventLoop })).map(({ name: short, help, type, values, value }) => {
    const name = `${prefix}${short}${type === 'counter' ? '_total' : ''}`
    const parts = type === 'histogram' ? partsOf(value) : values
    return {
      name,
      help,
      type,
      values: parts.map((part) => ({
        metricName: part.suffix === undefined ? undefined : `${name}_${part.suffix}`,
        labels: { ...labels, ...part.labels },
        value: part.value,
      })),
    }
  })
}

function textOf(labels) {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(value) {
  return String(value).replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`))
}

module.exports = { prometheus, register, observe }
