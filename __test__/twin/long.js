'use strict'

// The long run: fresh programs of every mode, in portions. Each portion is a process of its own; some run side by side. A
// portion whose result is there is not run again, so that a run that was broken off goes on where it was. (The directory is
// `target/twin-long`, unless another is named; a new build needs a new one.)
//
//   npm run twin:long -- [--directory D] [--seed N] [--attach 20000] [--others 4000] [--mode M] [--processes 2] [--jobs N]
//                        [--summary FILE]
//
// --attach: programs for each protocol behind attach(); --others: programs of each other mode; --mode: only these. --summary:
// what came of it, as JSON. Exit code 1: a difference, a portion that failed, or an exception that no program needs.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { exceptions, keyOf } = require('./exceptions')
const { rare } = require('./exceptions/rare')
const modes = require('./modes')

/** Programs of one process. */
const PORTION = 2000

const args = process.argv.slice(2)
const option = (name, otherwise) => (args.includes(`--${name}`) ? args[args.indexOf(`--${name}`) + 1] : otherwise)

const directory = path.resolve(option('directory', path.join(__dirname, '../../target/twin-long')))
const seed = Number(option('seed', '1000000'))

/** The portions of the whole run: `[{ mode, protocols, seed, count, file }]`. */
function plan() {
  const wanted = option('mode', 'all').split(',')
  const parts = Object.keys(modes)
    .filter((mode) => wanted.includes(mode) || wanted.includes('all'))
    .flatMap((mode) => {
      if (mode !== 'attach') return [{ mode, protocols: '4,3', count: Number(option('others', '4000')) }]
      return ['4', '3'].map((protocols) => ({ mode, protocols, count: Number(option('attach', '20000')) }))
    })
  return parts.flatMap(({ mode, protocols, count }) =>
    Array.from({ length: Math.ceil(count / PORTION) }, (_, i) => ({
      mode,
      protocols,
      seed: seed + i * PORTION,
      count: Math.min(PORTION, count - i * PORTION),
      file: path.join(directory, `${mode}-${protocols.replace(',', '')}-${seed + i * PORTION}`),
    })),
  )
}

/** Runs a portion, unless it has been run. @returns its result, or undefined */
async function run({ mode, protocols, seed: first, count, file }) {
  const result = `${file}.json`
  if (!fs.existsSync(result)) {
    const given = { mode, protocol: protocols, seed: first, count, jobs: option('jobs', '48'), result }
    const output = fs.openSync(`${file}.log`, 'w')
    const child = spawn(
      process.execPath,
      [path.join(__dirname, 'run.js'), ...Object.entries(given).flatMap(([name, value]) => [`--${name}`, `${value}`])],
      { stdio: ['ignore', output, output] },
    )
    fs.closeSync(output)
    const ended = await new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal ?? code)))
    if (!fs.existsSync(result)) {
      console.log(`${path.basename(file)}: ended with ${ended} and without a result; see ${file}.log`)
      return undefined
    }
  }
  const told = JSON.parse(fs.readFileSync(result, 'utf8'))
  console.log(
    `${path.basename(file)}: ${told.programs} programs, ${told.different} different, ${told.unstable.length} unstable,` +
      ` ${told.strays.length} strays, ${told.seconds} s`,
  )
  return { mode, protocols, ...told }
}

async function main() {
  fs.mkdirSync(directory, { recursive: true })
  const start = performance.now()
  const portions = plan()
  const results = []
  const queue = portions.values()
  const work = async () => {
    for (const portion of queue) results.push(await run(portion))
  }
  await Promise.all(Array.from({ length: Number(option('processes', '2')) }, work))
  const summary = addUp(results.filter(Boolean), (performance.now() - start) / 1000)
  const failed = results.length - results.filter(Boolean).length
  summary.unneeded = await withoutRare(summary.unneeded)
  console.log(tell(summary))
  if (failed > 0) console.log(`${failed} portions have no result`)
  const file = option('summary')
  if (file !== undefined) fs.writeFileSync(file, `${JSON.stringify(summary, null, 2)}\n`)
  process.exit(failed + summary.different + summary.unneeded.length > 0 ? 1 : 0)
}

/** Leaves out the exceptions that a program of `rare` needs, which is run for it. */
async function withoutRare(unneeded) {
  const left = []
  for (const key of unneeded) {
    const file = path.join(directory, `rare-${key.replace(/\W+/g, '-')}.log`)
    if (rare[key] === undefined || !(await replay(rare[key], file)).includes(`explained by ${key}`)) left.push(key)
  }
  return left
}

/** Runs one program. @returns what was printed, or nothing if it showed a difference */
async function replay(program, file) {
  const output = fs.openSync(file, 'w')
  const args = [path.join(__dirname, 'run.js'), '--replay', JSON.stringify(program)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', output, output] })
  fs.closeSync(output)
  const code = await new Promise((resolve) => child.on('exit', resolve))
  return code === 0 ? fs.readFileSync(file, 'utf8') : ''
}

const sum = (list, value) => list.reduce((total, one) => total + value(one), 0)

/** The results of all portions as one. */
function addUp(results, seconds) {
  const parts = {}
  for (const { mode, protocols, programs, different, unstable, strays } of results) {
    const part = (parts[`${mode}, protocol ${protocols}`] ??= { programs: 0, different: 0, unstable: 0, strays: 0 })
    part.programs += programs
    part.different += different
    part.unstable += unstable.length
    part.strays += strays.length
  }
  const ran = new Set(results.map(({ mode }) => mode))
  const counts = exceptions
    .filter((one) => (one.modes ?? Object.keys(modes)).some((mode) => ran.has(mode)))
    .map((one) => [keyOf(one), sum(results, (result) => result.exceptions[keyOf(one)] ?? 0)])
  return {
    seed,
    programs: sum(results, ({ programs }) => programs),
    different: sum(results, ({ different }) => different),
    seconds: Math.round(seconds),
    parts,
    exceptions: Object.fromEntries(counts.filter(([, count]) => count > 0)),
    unneeded: counts.filter(([, count]) => count === 0).map(([key]) => key),
    failed: results.flatMap(({ mode, failed }) => failed.map((one) => ({ mode, ...one }))),
    unstable: most(
      results.flatMap(({ mode, unstable }) => unstable.map(({ class: name }) => `${mode}: ${name}`)),
      20,
    ),
  }
}

/** The most frequent of a list, with their numbers. */
function most(list, count) {
  const counts = new Map()
  for (const one of list) counts.set(one, (counts.get(one) ?? 0) + 1)
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a).slice(0, count))
}

function tell({ programs, different, seconds, parts, exceptions: counts, unneeded, failed }) {
  return [
    '',
    '| programs | number | different | unstable | strays |',
    '| --- | ---: | ---: | ---: | ---: |',
    ...Object.entries(parts).map(
      ([part, { programs: all, different: some, unstable, strays }]) =>
        `| ${part} | ${all} | ${some} | ${unstable} | ${strays} |`,
    ),
    '',
    '| exception | programs that need it |',
    '| --- | ---: |',
    ...Object.entries(counts).map(([key, count]) => `| ${key} | ${count} |`),
    '',
    ...failed.map(({ mode, class: name, programs: some, seed: first }) => `${mode}: ${some} × ${name} (seed ${first})`),
    ...unneeded.map((key) => `no program needs the exception of row ${key}`),
    `twin: ${programs - different} passed, ${different} failed in ${seconds} s`,
  ].join('\n')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
