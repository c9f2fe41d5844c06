'use strict'

// Whether all processes see each other, by `server.metrics()` and its exporters.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { setTimeout: wait } = require('node:timers/promises')
const { prometheus } = require('engine.io-native/metrics')
const { Server } = require('../..')
const { defer, eventually } = require('../support')
const { becomes, recordWarnings } = require('./bus-support')
const { Bus, startMachine } = require('./claims-support')
const { clusterDirectory, openSession, poll, post, startCluster } = require('./support')

test('`peers` tells how many other processes there are, while they come, close and are killed', async () => {
  const { directory, members } = await startCluster(3)
  const peers = async (member) => (await member.ask('metrics')).peers
  for (const member of members) assert.equal(await peers(member), 2)
  const server = new Server({ cluster: { directory } })
  defer(() => server.close())
  assert.equal(server.metrics().cluster.peers, 3)
  for (const member of members) assert.equal(await peers(member), 3)
  server.close()
  await becomes(() => peers(members[0]), 2)
  assert.equal(server.metrics().cluster.peers, 0)
  await members[2].kill()
  for (const member of members.slice(0, 2)) assert.equal(await peers(member), 1)
})

test('`gateways` tells how many of them have a bus, while they come, close and come back', async () => {
  const bus = new Bus()
  const directory = clusterDirectory()
  const inner = await startMachine(undefined, { cluster: { directory } })
  const counts = () => [inner.engine.metrics().cluster.peers, inner.engine.metrics().cluster.gateways]
  assert.deepEqual(counts(), [0, 0])
  const [one] = [
    await startMachine(bus, { cluster: { directory } }),
    await startMachine(bus, { cluster: { directory } }),
  ]
  assert.deepEqual(counts(), [2, 2])
  assert.equal(one.engine.metrics().cluster.gateways, 1)
  one.engine.close()
  await eventually(counts, [1, 1])
})

test('processes of one directory with different keys are not peers, and the one that comes later warns once', async () => {
  const warnings = recordWarnings((warning) => warning)
  const directory = clusterDirectory()
  const one = await startMachine(undefined, { cluster: { directory } })
  const same = await startMachine(undefined, { cluster: { directory, showOwner: true } })
  const other = await startMachine(new Bus(), { cluster: { directory, key: 'of another application' } })
  const counts = ({ engine }) => {
    const { peers, gateways, bus } = engine.metrics().cluster
    return [peers, gateways, bus?.neighbours]
  }
  await eventually(() => warnings.length, 1)
  assert.deepEqual([counts(other), counts(other)], Array(2).fill([0, 0, 0]))
  assert.equal(warnings.length, 1)
  assert.equal(warnings[0].code, 'ENGINE_CLUSTER_KEY')
  assert.match(warnings[0].message, new RegExp(`^processes of ${directory} with another cluster.key .*: 2. `))
  assert.equal((await poll(one, await openSession(other))).status, 400)
  for (const machine of [one, same]) assert.deepEqual(counts(machine), [1, 0, undefined])
})

test('a process without a bus that came first hears of another key with the first id that was made with it', async () => {
  const directory = clusterDirectory()
  const warnings = []
  // not those that servers of other tests have just given
  const onWarning = ({ code, message }) => message.includes(directory) && warnings.push([code, message])
  process.on('warning', onWarning)
  defer(() => process.removeListener('warning', onWarning))
  const key = undefined
  const first = await startMachine(undefined, { cluster: { directory, key } })
  fs.rmSync(path.join(directory, 'key'))
  const later = await startMachine(undefined, { cluster: { directory, key } })
  await eventually(() => warnings.length, 1)
  // the first one has just looked who is there
  await wait(1000)
  assert.equal((await poll(first, await openSession(later))).status, 400)
  await eventually(() => warnings.length, 2)
  for (const [code, message] of warnings) {
    assert.equal(code, 'ENGINE_CLUSTER_KEY')
    assert.match(message, new RegExp(`${path.join(directory, 'key')} has been removed: restart all of them$`))
  }
})

const read = (name) => fs.readFileSync(path.join(__dirname, '../..', name), 'utf8')

test('METRICS.md has the name of each number, and neither it nor the dashboard has a name that is not there', async () => {
  const { engine } = await startMachine(new Bus())
  const { cluster } = engine.metrics()
  const { bus } = cluster
  // each number is another one
  let last = 1000
  for (const numbers of [cluster, bus]) for (const name in numbers) if (name !== 'bus') numbers[name] = ++last
  const values = valuesOf({ engine: { metrics: () => ({ ...engine.metrics(), cluster }) } })
  const names = read('docs/METRICS.md')
  const rows = [...names.matchAll(/^\| `([\w.]+)` \| `engine_io_cluster_(.+?)` \|/gm)]
  for (const [, number, name] of rows) {
    const value = number.startsWith('bus.') ? bus[number.slice(4)] : cluster[number]
    const isShared = number.endsWith('unavailable')
    assert.equal(values[name], isShared ? cluster.unavailable + bus.unavailable : value, `${number}: ${name}`)
  }
  const all = [...Object.keys(cluster), ...Object.keys(bus).map((name) => `bus.${name}`)]
  const named = rows.map(([, number]) => number)
  assert.deepEqual(named.sort(), all.filter((name) => !['number', 'bus'].includes(name)).sort())
  const known = new Set(Object.keys(values).map((name) => `engine_io_cluster_${name.replace(/\{.*/, '')}`))
  const dashboard = read('examples/metrics/dashboard.json')
  for (const [name] of `${names}${dashboard}`.matchAll(/engine_io_cluster_\w+/g)) assert.ok(known.has(name), name)
})

/** The values of a server for Prometheus that concern the cluster, by their names and labels. */
function valuesOf({ engine }) {
  const lines = prometheus(engine)
    .split('\n')
    .filter((line) => line.startsWith('engine_io_cluster_'))
  return Object.fromEntries(
    lines.map((line) => [line.replace(/ \S+$/, '').slice('engine_io_cluster_'.length), Number(line.split(' ').at(-1))]),
  )
}

test('exporters have the numbers of processes with and without the bus', async () => {
  const bus = new Bus()
  const directory = clusterDirectory()
  const gateway = await startMachine(bus, { cluster: { directory } })
  const inner = await startMachine(undefined, { cluster: { directory } })
  const far = await startMachine(bus)
  await eventually(() => [gateway.bus().nodes, gateway.bus().neighbours, far.bus().nodes], [1, 1, 1])
  const sid = await openSession(far)
  assert.equal((await post(inner, sid, '4a')).body, 'ok')
  assert.equal((await poll(inner, sid)).body, '4a')
  assert.equal((await poll(inner, 'x'.repeat(20))).status, 400)
  const [one, two, three] = [valuesOf(gateway), valuesOf(inner), valuesOf(far)]
  assert.deepEqual([one.peers, two.peers, three.peers], [1, 1, 0])
  assert.deepEqual([one.gateways, two.gateways, three.gateways], [0, 1, 0])
  assert.deepEqual([one.bus_nodes, two.bus_nodes, three.bus_nodes], [1, undefined, 1])
  assert.deepEqual([one.bus_neighbours, one.bus_asked_total, three['taken_total{how="served"}']], [1, 2, 2])
  assert.deepEqual([two['passed_total{how="via gateway"}'], two['unknown_total{why="forged"}']], [2, 1])
  assert.ok(one['bus_messages_total{direction="sent"}'] > 0 && one['bus_messages_total{direction="received"}'] > 0)
  for (const why of ['refused', 'unreadable', 'violations', 'unsent']) {
    for (const values of [one, three]) assert.equal(values[`bus_dropped_total{why="${why}"}`], 0)
  }
})
