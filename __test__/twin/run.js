'use strict'

// The twin: programs of random steps on the original and on this package, and everything that tells them apart.
//
//   npm run twin -- [--seed N] [--count N] [--mode M] [--protocol 3|4] [--kind raw|real|timed] [--jobs N] [--found DIRECTORY] [--result FILE]
//   npm run twin -- --replay PROGRAM
//
// Program number i has the seed N + i. A difference counts if it is there in each of three runs of its own; those that do
// not come again are listed as unstable. --left and --right name the two sides (upstream, native, or a module): with the same
// on both sides the twin measures itself. --shrink 0: differences are told as they are. --result: what came of it, as JSON,
// which long.js adds up. Exit code 1: there is a difference.

const fs = require('node:fs')
const path = require('node:path')
const original = require('../support/original')
const { classOf } = require('./compare')
const { strays, watchProcess } = require('./faults')
const { exceptions, keyOf } = require('./exceptions')
const modes = require('./modes')
const { Pair, PACES } = require('./pair')
const { domainOf } = require('./domains')
const { shrink } = require('./shrink')
const { command, tell } = require('./story')

const ENGINES = { upstream: original.main, native: '../..' }

const args = process.argv.slice(2)
const option = (name, otherwise) => (args.includes(`--${name}`) ? args[args.indexOf(`--${name}`) + 1] : otherwise)

const names = [option('left', 'upstream'), option('right', 'native')]
const pair = new Pair(...names.map((name) => [name, require(ENGINES[name] ?? path.resolve(name))]))

/** Classes that have been shown. */
const reported = new Set()

async function main() {
  watchProcess()
  const replayed = option('replay')
  const found = replayed === undefined ? await search() : await replay(replayed)
  process.exit(found > 0 ? 1 : 0)
}

async function replay(text) {
  const program = JSON.parse(text.startsWith('{') ? text : fs.readFileSync(text, 'utf8'))
  const used = new Map()
  const result = await pair.try(program, PACES.slow, used)
  console.log(tell({ program, ...result, names }))
  for (const key of used.keys()) console.log(`\nexplained by ${key}`)
  console.log(
    result.differences.length === 0
      ? '\nno difference'
      : `\n${result.differences.length} differences, the first: ${classOf(result.differences[0])}`,
  )
  return result.differences.length
}

/** Calls `work` for each item, so many at once. */
async function sideBySide(items, jobs, work) {
  const queue = items[Symbol.iterator]()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: jobs }, worker))
}

async function search() {
  const seed = Number(option('seed', '1'))
  const count = Number(option('count', '200'))
  const jobs = Number(option('jobs', '32'))
  const most = Number(option('most', '20'))
  const wanted = option('mode', 'all').split(',')
  const chosen = Object.keys(modes).filter((mode) => wanted.includes(mode) || wanted.includes('all'))
  const protocols = option('protocol', '4,3').split(',').map(Number)
  if (chosen.length === 0)
    throw new Error(`expected --mode to be one of ${Object.keys(modes).join(', ')}, got ${wanted}`)

  function* programs() {
    for (let i = 0; i < count; i++) {
      const mode = chosen[i % chosen.length]
      const speaks = protocols.filter((protocol) => (modes[mode].protocols ?? [4, 3]).includes(protocol))
      yield domainOf(mode).drawProgram(
        seed + i,
        mode,
        speaks[Math.floor(i / chosen.length) % speaks.length],
        option('kind'),
      )
    }
  }

  const start = performance.now()
  const used = new Map()
  const suspects = []
  let done = 0
  await sideBySide(programs(), jobs, async (program) => {
    const { differences } = await pair.try(program, PACES.fast, used)
    if (differences.length > 0) suspects.push({ program, class: classOf(differences[0]) })
    if (++done % 1000 === 0) console.log(`${done} programs, ${suspects.length} suspects`)
  })
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const strayCount = strays.length

  const confirmed = []
  const unstable = []
  await sideBySide(suspects, Math.max(1, jobs >> 2), async ({ program, class: first }) => {
    const classes = await pair.confirm(program)
    if (classes === undefined) unstable.push({ program, class: first })
    else confirmed.push({ program, classes })
  })

  const programsOf = new Map()
  for (const { program, classes } of confirmed)
    for (const name of classes) programsOf.set(name, [...(programsOf.get(name) ?? []), program])
  const sorted = [...programsOf].sort(([, a], [, b]) => b.length - a.length)
  const failed = []
  for (const [index, [name, list]] of sorted.entries()) {
    console.log(`${list.length} × ${name}`)
    const shown = index < most ? await report(name, list, index) : undefined
    failed.push({ class: name, programs: list.length, seed: list[0].seed, ...shown })
  }
  for (const { program, class: name } of unstable)
    console.log(`unstable: seed ${program.seed}, ${program.mode}, protocol ${program.protocol}: ${name}`)
  for (const error of strays.slice(0, 5))
    console.log(`an exception that belongs to no program: ${error?.stack ?? error}`)

  console.log('\nexceptions used:')
  for (const key of exceptions.map(keyOf).filter((one) => used.has(one))) console.log(`${used.get(key)} × ${key}`)
  console.log(
    `twin: ${count - confirmed.length} passed, ${confirmed.length} failed, ${unstable.length} unstable, ${strayCount} strays` +
      ` (${chosen.join(', ')}; protocols ${protocols.join(', ')}; seed ${seed}; ${seconds} s)`,
  )
  write(option('result'), {
    ...{ modes: chosen, protocols, seed, programs: count, seconds: Number(seconds) },
    ...{ different: confirmed.length, failed },
    unstable: unstable.map(({ program, class: name }) => ({ seed: program.seed, class: name })),
    strays: strays.map(String),
    exceptions: Object.fromEntries(used),
  })
  return confirmed.length
}

/** Writes a result; whole, or not at all. */
function write(file, result) {
  if (file === undefined) return
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(`${file}.part`, JSON.stringify(result, null, 1))
  fs.renameSync(`${file}.part`, file)
}

/**
 * Shows the shortest program with a difference of this class, unless that is what comes of another.
 *
 * @returns how it was made small, and the command that shows it
 */
async function report(name, list, index) {
  let program = list.reduce((best, one) => (one.steps.length < best.steps.length ? one : best))
  let how = ''
  let shrunk
  if (option('shrink') !== '0') {
    const result = await shrink(program, (candidate) => pair.shows(candidate, name), Number(option('shrink', '250')))
    how = `, shrunk in ${(result.ms / 1000).toFixed(1)} s (${result.tried} tries)`
    program = result.program
    shrunk = { ms: Math.round(result.ms), tries: result.tried, steps: program.steps.length }
  }
  const last = await pair.try(program, PACES.slow)
  const first = last.differences[0]
  if (first !== undefined && classOf(first) !== name && reported.has(classOf(first))) {
    console.log(`  comes of: ${classOf(first)}`)
    return { shrunk, comesOf: classOf(first) }
  }
  reported.add(name)
  const text = `${name}\n${list.length} programs, first seed ${list[0].seed}${how}\n\n${tell({ program, ...last, names })}\n\n${command(program)}\n`
  console.log(text)
  const directory = option('found')
  if (directory !== undefined) {
    fs.mkdirSync(directory, { recursive: true })
    const file = name.replace(/[^a-z0-9]+/gi, '-').slice(0, 70)
    fs.writeFileSync(path.join(directory, `${String(index).padStart(2, '0')}-${file}.txt`), text)
  }
  return { shrunk, command: command(program) }
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
