'use strict'

// npm test: every test of the project, with its set-up. `--upstream` runs the suites that describe behaviour
// against the original engine.io instead, without building anything. Names of stages select some of them:
//
//   node scripts/test.js [--upstream] [lint | rust | platforms | platforms-all | behaviour | behaviour-upstream | native | types | socketio |
//       e2e | packaging | adoption | conformance | conformance-upstream | cluster | hostile | hostile-upstream | fuzz | reliability | soak | chaos | twin | bench]...

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { build, hostPlatform } = require('./build')
const { platforms: prebuilt } = require('./platforms')
const { checkNode, checkOptions, checkRust, fail, findChromium, installPackages, root, step } = require('./setup')
const { published, warning } = require('./upstream/releases')

/** For what hangs: several times what a stage and a file take, because a machine may be slow, and busy. */
const STAGE_LIMIT_MS = 30 * 60_000
const FILE_LIMIT_MS = 8 * 60_000
/** Much is downloaded, and other systems are emulated. */
const SLOW_STAGE_LIMIT_MS = 60 * 60_000
const SLOW_FILE_LIMIT_MS = 15 * 60_000

/** 100 programs for each of these ways in. Others come with another seed: `npm run twin`. */
const MODES = 'attach,handle,https,wsEngine,listen,webtransport,socketio,uServer,native'
const TWIN = ['--mode', MODES, '--seed', '3000', '--count', '900']

/** Stages that are not part of `npm test` unless they are named. */
const ONLY_BY_NAME = ['adoption', 'platforms-all']

/** One target of each system that is not Linux; the others differ from these in the processor alone. */
const COMPILED = ['aarch64-apple-darwin', 'x86_64-pc-windows-msvc']

const UPSTREAM = { ENGINE: 'upstream' }

const stages = {
  // Tools that check code without running it.
  lint,
  // The core alone, in the dev profile: overflow checks on, no link-time optimisation to wait for. Then the part of
  // it that can differ without reading on the owner's thread.
  rust: async () => {
    const whole = await cargo('test', '--no-default-features', '--features', 'owner-reads')
    const without = await cargo('test', '--no-default-features', '--lib', '--test', 'runtime_*', '--test', 'http_*')
    return {
      code: whole.code || without.code,
      passed: whole.passed + without.passed,
      failed: whole.failed + without.failed,
      skipped: whole.skipped + without.skipped,
    }
  },
  platforms,
  // Eight release builds, which are read and run: an hour and a gigabyte. Only by its name.
  'platforms-all': platformsAll,
  behaviour: () => suite('behaviour'),
  'behaviour-upstream': () => suite('behaviour', UPSTREAM),
  // Tests of the boundary to the Rust core, which only this package has.
  native: () => suite('native'),
  types: () => suite('types'),
  socketio: (env) => suite('socketio', env),
  e2e: (env) => suite('e2e', { ...env, CHROMIUM: findChromium() }),
  packaging: () => suite('packaging'),
  // The packed package in other runtimes and frameworks: slow, and much to download. Only by its name.
  adoption: () => suite('adoption', undefined, [], { stage: SLOW_STAGE_LIMIT_MS, file: SLOW_FILE_LIMIT_MS }),
  conformance: () => suite('conformance'),
  'conformance-upstream': () => suite('conformance', UPSTREAM),
  // Processes of one machine that serve each other's sessions.
  cluster: () => suite('cluster', undefined, ['--test-concurrency=2']),
  // Every door by every attack: a table.
  hostile: () => hostile(),
  'hostile-upstream': () => hostile(UPSTREAM),
  fuzz,
  // One file at a time: the tests measure memory and time.
  reliability: () => suite('reliability', undefined, ['--test-concurrency=1', '--expose-gc']),
  soak,
  chaos,
  twin,
  // Last and alone, because other work on the machine would blur the figures.
  bench: benchCheck,
}

main()

async function main() {
  const args = process.argv.slice(2)
  checkOptions(args, ['--upstream'], `npm test -- [--upstream] [stage]..., stages: ${Object.keys(stages).join(', ')}`)
  const upstream = args.includes('--upstream')
  const wanted = args.filter((arg) => !arg.startsWith('-'))
  const unknown = wanted.find((name) => !stages[name])
  if (unknown) fail(`No stage is called ${unknown}: there are ${Object.keys(stages).join(', ')}.`)

  let names = upstream
    ? ['behaviour-upstream', 'socketio', 'e2e', 'conformance-upstream', 'hostile-upstream']
    : Object.keys(stages).filter((name) => !ONLY_BY_NAME.includes(name))
  if (wanted.length > 0) names = [...names, ...ONLY_BY_NAME].filter((name) => wanted.includes(name))

  checkNode()
  if (!upstream) checkRust()
  installPackages()
  if (names.includes('e2e')) findChromium()
  if (
    !upstream &&
    names.some(
      (name) => !['lint', 'rust', 'platforms', 'platforms-all', 'fuzz'].includes(name) && !name.endsWith('-upstream'),
    )
  ) {
    step('building the engine')
    build()
  }

  // The registry is asked during the stages, and the answer is shown below their table.
  const versions = published()
  const results = []
  for (const name of names) {
    step(`${name}${upstream ? ' (on the original engine.io)' : ''}`)
    const start = performance.now()
    const result = await stages[name](upstream ? UPSTREAM : { ENGINE: 'native' })
    results.push({ name, ...result, seconds: (performance.now() - start) / 1000 })
  }
  report(results)
  const news = warning(await versions)
  if (news) console.log(`\n⚠ ${news}`)
}

/** One test per tool. */
async function lint() {
  let output = ''
  const code = await exec(process.execPath, ['scripts/lint.js'], {}, (text) => (output += text))
  const count = (line) => (output.match(line) || []).length
  return { code, passed: count(/^ok - /gm), failed: count(/^not ok - /gm), skipped: 0 }
}

/** The code compiles where none of the tests run. Without rustup, or a way to its server, there is nothing to compile with. */
async function platforms() {
  const total = { code: 0, passed: 0, failed: 0, skipped: 0 }
  const rows = []
  for (const { name, target } of prebuilt) {
    let result = 'not tried here: `npm test -- platforms-all` builds it, and runs it where that is possible'
    if (name === hostPlatform()) {
      result = 'built and run by the other stages'
    } else if (COMPILED.includes(target)) {
      if ((await exec('rustup', ['target', 'add', target], { RUSTUP_MAX_RETRIES: '1' })) !== 0) {
        result = 'skipped: rustup has no standard library for it'
        total.skipped += 1
      } else if ((await exec('cargo', ['check', '--locked', '--tests', '--target', target], {})) === 0) {
        result = 'compiles; not run'
        total.passed += 1
      } else {
        result = 'does not compile'
        total.code = 1
        total.failed += 1
      }
    }
    rows.push(`${name.padEnd(18)} ${result}`)
  }
  console.log(`\n${rows.join('\n')}`)
  return total
}

/** Every platform's library is built, read, and run where that is possible; see scripts/cross/all.js. */
async function platformsAll() {
  const total = { code: 0, passed: 0, failed: 0, skipped: 0 }
  const rows = []
  for (const { name } of prebuilt) {
    let output = ''
    const args = ['scripts/cross/all.js', name]
    const code = await exec(process.execPath, args, {}, (text) => (output += text), SLOW_STAGE_LIMIT_MS)
    const count = (line) => (output.match(line) || []).length
    total.code ||= code
    total.passed += count(/^ok - /gm)
    total.failed += count(/^not ok - /gm)
    total.skipped += count(/^skipped - /gm)
    rows.push(code === 0 ? output.trim().split('\n').pop() : `${name.padEnd(18)} FAILED`)
  }
  console.log(`\n${rows.join('\n')}`)
  return total
}

/** Fails if a message costs a multiple of what it should; the margins are wide. */
async function benchCheck() {
  let output = ''
  const code = await exec(process.execPath, ['bench/check.js'], {}, (text) => (output += text))
  const count = (line) => (output.match(line) || []).length
  return { code, passed: count(/^ok - /gm), failed: count(/^not ok - /gm), skipped: 0 }
}

/** The committed seeds and a short random run of every target, then our decoders against the originals'. */
async function fuzz() {
  let output = ''
  const targets = await exec(process.execPath, ['fuzz/run.js', '--seconds', '20'], {}, (text) => (output += text))
  const decoders = await exec(
    process.execPath,
    ['fuzz/differential.js', '--seconds', '10'],
    {},
    (text) => (output += text),
  )
  const count = (line) => (output.match(line) || []).length
  const failed = count(/ FAILED$/gm) + (decoders === 0 ? 0 : 1)
  return { code: targets || decoders, passed: count(/( ok|: no difference)$/gm), failed, skipped: 0 }
}

/** Clients of every kind come and go for two minutes, half of them by each way in: nothing grows. */
async function soak() {
  if (process.platform !== 'linux') return { code: 0, passed: 0, failed: 0, skipped: 2 }
  const codes = []
  for (const way of [[], ['--listen']])
    codes.push(await exec(process.execPath, ['__test__/reliability/soak.js', '--seconds', '60', ...way], {}))
  const failed = codes.filter((code) => code !== 0).length
  return { code: failed, passed: codes.length - failed, failed, skipped: 0 }
}

/** Honest and hostile clients at once, on the original for a while and then on this package; see __test__/chaos/run.js. */
async function chaos() {
  if (process.platform !== 'linux') return { code: 0, passed: 0, failed: 0, skipped: 1 }
  let output = ''
  const code = await exec(
    process.execPath,
    ['__test__/chaos/run.js', '--seconds', '90'],
    {},
    (text) => (output += text),
  )
  const [, passed = 0, failed = 1] = /^chaos: (\d+) passed, (\d+) failed/m.exec(output) ?? []
  return { code, passed: Number(passed), failed: Number(failed), skipped: 0 }
}

/** Runs random programs on the original and on this package, which must behave alike. Then the twin has to find planted differences. */
async function twin() {
  if (process.platform !== 'linux') return { code: 0, passed: 0, failed: 0, skipped: 1 }
  let output = ''
  const code = await exec(process.execPath, ['__test__/twin/run.js', ...TWIN], {}, (text) => (output += text))
  const [, passed = 0, failed = 1] = /^twin: (\d+) passed, (\d+) failed/m.exec(output) ?? []
  const planted = await suite('twin')
  return {
    ...planted,
    code: code || planted.code,
    passed: Number(passed) + planted.passed,
    failed: Number(failed) + planted.failed,
  }
}

async function cargo(...args) {
  let output = ''
  const code = await exec('cargo', args, {}, (text) => (output += text))
  const totals = { passed: 0, failed: 0, skipped: 0 }
  for (const [, passed, failed, ignored] of output.matchAll(/(\d+) passed; (\d+) failed; (\d+) ignored/g)) {
    totals.passed += Number(passed)
    totals.failed += Number(failed)
    totals.skipped += Number(ignored)
  }
  return { code, ...totals }
}

async function suite(folder, env = { ENGINE: 'native' }, flags = [], limits = {}) {
  const files = testFiles(path.join(root, '__test__', folder))
  if (files.length === 0) {
    console.error(`__test__/${folder} has no *.test.js`)
    return { code: 1, passed: 0, failed: 0, skipped: 0 }
  }
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-test-'))
  const tap = path.join(scratch, 'result.tap')
  const code = await exec(
    process.execPath,
    [
      '--test',
      ...fileLimit(limits.file),
      ...flags,
      ...['--test-reporter', process.stdout.isTTY ? 'spec' : 'tap', '--test-reporter-destination', 'stdout'],
      ...['--test-reporter', 'tap', '--test-reporter-destination', tap],
      ...files,
    ],
    env,
    undefined,
    limits.stage,
  )
  const lines = fs.existsSync(tap) ? fs.readFileSync(tap, 'utf8') : ''
  fs.rmSync(scratch, { recursive: true })
  const total = (word) => Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(lines)?.[1] ?? 0)
  return {
    code,
    passed: total('pass'),
    failed: total('fail') + total('cancelled'),
    skipped: total('skipped') + total('todo'),
    failures: code === 0 ? [] : failures(lines),
  }
}

/** The table follows the tests: one line per door. */
async function hostile(env = { ENGINE: 'native' }) {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-hostile-'))
  const table = path.join(scratch, 'table')
  const result = await suite('hostile', { ...env, HOSTILE_TABLE: table }, ['--test-concurrency=2'])
  console.log(`\n${fs.existsSync(table) ? fs.readFileSync(table, 'utf8') : 'no table'}`)
  fs.rmSync(scratch, { recursive: true })
  return result
}

/** Returns location and error of each failed test in a TAP report. */
function failures(tap) {
  return tap.split(/^(?=\s*(?:not )?ok \d)/m).flatMap((test) => {
    if (!/^\s*not ok/.test(test) || /# (?:TODO|SKIP)/i.test(test.split('\n', 1)[0])) return []
    const lines = test.split('\n').map((line) => line.trimEnd())
    return lines
      .slice(0, 30)
      .filter((line) => line.trim() !== '' && !/^\s*(?:---|duration_ms:|type:)/.test(line))
      .join('\n')
  })
}

/** Ends a file that hangs, such as one whose server keeps the process alive; Node.js knows how since 20.11. */
function fileLimit(limit = FILE_LIMIT_MS) {
  const [major, minor] = process.versions.node.split('.').map(Number)
  return major > 20 || (major === 20 && minor >= 11) ? [`--test-timeout=${limit}`] : []
}

function testFiles(folder) {
  if (!fs.existsSync(folder)) return []
  return fs
    .readdirSync(folder, { recursive: true })
    .filter((file) => /\.test\.m?js$/.test(file))
    .sort()
    .map((file) => path.relative(root, path.join(folder, file)))
}

/** Runs one stage's command with its output shown; a stage that hangs is ended and counts as failed. */
function exec(command, args, env, onOutput, limit = STAGE_LIMIT_MS) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', onOutput ? 'pipe' : 'inherit', 'inherit'],
    })
    const timer = setTimeout(() => {
      console.error(`stopped after ${limit / 60_000} minutes: ${command} ${args.join(' ')}`)
      child.kill()
      setTimeout(() => child.kill('SIGKILL'), 5000).unref()
    }, limit)
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      process.stdout.write(text)
      onOutput(text)
    })
    child.on('error', (error) => {
      console.error(error.message)
      resolve(1)
    })
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve(code ?? 1)
    })
  })
}

function report(results) {
  const row = (...cells) =>
    cells.map((cell, i) => (i === 0 ? String(cell).padEnd(20) : String(cell).padStart(9))).join('')
  console.log(`\n${row('stage', 'passed', 'failed', 'skipped', 'seconds')}   result`)
  for (const { name, passed, failed, skipped, seconds, code } of results) {
    console.log(`${row(name, passed, failed, skipped, seconds.toFixed(1))}   ${code === 0 ? 'ok' : 'FAILED'}`)
  }
  const failed = results.filter(({ code }) => code !== 0)
  for (const { name, failures = [] } of failed) {
    for (const failure of failures) console.log(`\n${name}: ${failure}`)
  }
  console.log(failed.length === 0 ? '\nall stages passed' : `\nFAILED: ${failed.map(({ name }) => name).join(', ')}`)
  process.exitCode = failed.length === 0 ? 0 : 1
}
