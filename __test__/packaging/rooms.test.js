'use strict'

// The rooms of lib/, and which may use which (docs/ARCHITECTURE.md, "Rooms").

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const lib = path.join(__dirname, '../../lib')

/** From the bottom to the top: a room may use those before it, and itself. */
const ROOMS = [
  ...['base', 'native', 'transports', 'session', 'cluster', 'server', 'listener', 'uws'],
  ...['cluster-engine', 'cli', 'metrics'],
]

/** Rooms that stand beside each other. */
const APART = [
  ['listener', 'uws'],
  ['listener', 'cluster-engine'],
  ['uws', 'cluster-engine'],
  ...['base', 'native', 'transports', 'session', 'cluster', 'server', 'listener', 'uws', 'cluster-engine'].flatMap(
    (room) => [
      [room, 'cli'],
      [room, 'metrics'],
    ],
  ),
  ['cli', 'metrics'],
]

const files = fs
  .readdirSync(lib, { recursive: true })
  .map((file) => file.split(path.sep).join('/'))
  .filter((file) => file.endsWith('.js'))

const roomOf = (file) => file.split('/')[0]

/** Every `require` of a file of lib/, wherever it stands in the file. */
function edges() {
  return files.flatMap((file) => {
    const text = fs.readFileSync(path.join(lib, file), 'utf8')
    return [...text.matchAll(/require\('(\.[^']*)'\)/g)]
      .map(([, name]) => path.relative(lib, require.resolve(path.resolve(lib, path.dirname(file), name))))
      .map((used) => [file, used.split(path.sep).join('/')])
      .filter(([, used]) => used.endsWith('.js') && !used.startsWith('..'))
  })
}

test('every file of lib/ is in a room', () => {
  assert.deepEqual([...new Set(files.map(roomOf))].sort(), [...ROOMS].sort())
})

test('a room of lib/ uses only rooms below it', () => {
  const wrong = edges()
    .filter(([file, used]) => {
      const [from, to] = [roomOf(file), roomOf(used)]
      return ROOMS.indexOf(to) > ROOMS.indexOf(from) || APART.some((pair) => pair[0] === to && pair[1] === from)
    })
    .map(([file, used]) => `${file} uses ${used}`)
  assert.deepEqual(wrong, [])
})

test('no files of lib/ require each other in a circle', () => {
  const uses = new Map(files.map((file) => [file, []]))
  for (const [file, used] of edges()) uses.get(file).push(used)
  const done = new Set()
  const visit = (file, way) => {
    assert.ok(!way.includes(file), `a circle: ${[...way.slice(way.indexOf(file)), file].join(' -> ')}`)
    if (done.has(file)) return
    for (const used of uses.get(file)) visit(used, [...way, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
  assert.equal(done.size, files.length)
})

test("one file asks whether a WebSocket is the engine's, and none what a transport or a stream is", () => {
  const asks = /\binstanceof \w*(WebSocket|Polling|Transport|Carrier|Pump|Opening)/
  const asking = files.filter((file) => asks.test(fs.readFileSync(path.join(lib, file), 'utf8')))
  assert.deepEqual(asking, ['transports/websocket.js'])
})
