'use strict'

// Fuzzes every target with libFuzzer, on the stable toolchain: coverage comes from LLVM's own instrumentation, which
// needs no nightly. A C++ compiler is needed to build libFuzzer.
//
//   node fuzz/run.js [--seconds 20] [--asan] [target]...
//
// --seconds is for all targets together. A corpus is kept in fuzz/corpus/ (not committed), the seeds are in
// fuzz/seeds/. --asan adds the address sanitizer (an unstable flag, taken by RUSTC_BOOTSTRAP).

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const HERE = __dirname
const TARGETS = fs
  .readdirSync(path.join(HERE, 'fuzz_targets'))
  .map((file) => path.basename(file, '.rs'))
  .sort()
const COVERAGE = [
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '-Ccodegen-units=1',
  '--cfg=fuzzing',
]
/** Shares of the time; targets that run thousands of steps per input need more of it. */
const SHARE = { listener: 5, session: 3 }
/** Largest input per target, in bytes; sessions need long tapes. */
const MAX_LENGTH = { cluster: 4096, listener: 4096, session: 4096 }

main()

function main() {
  const { seconds, asan, targets } = readArguments(process.argv.slice(2))
  checkCompiler()
  const binaries = build(asan)
  const share = (target) => SHARE[target] ?? 1
  const unit = seconds / targets.reduce((sum, target) => sum + share(target), 0)
  const rows = targets.map((target) => fuzz(target, path.join(binaries, target), unit * share(target), asan))
  report(rows)
  const failed = rows.filter((row) => row.failed).map((row) => row.target)
  if (failed.length > 0) fail(`FAILED: ${failed.join(', ')}. The inputs are in fuzz/artifacts/.`)
}

function readArguments(args) {
  const options = { seconds: 20, asan: false, targets: [] }
  while (args.length > 0) {
    const arg = args.shift()
    if (arg === '--seconds') options.seconds = Number(args.shift())
    else if (arg === '--asan') options.asan = true
    else if (TARGETS.includes(arg)) options.targets.push(arg)
    else fail(`what is ${arg}? Targets are ${TARGETS.join(', ')}.`)
  }
  if (!(options.seconds > 0)) fail('--seconds wants a number')
  if (options.targets.length === 0) options.targets = TARGETS
  return options
}

function checkCompiler() {
  const compiler = process.env.CXX || 'c++'
  const { error, status } = spawnSync(compiler, ['--version'], { stdio: 'ignore' })
  if (!error && status === 0) return
  fail(
    `A C++ compiler (${compiler}) is needed to build libFuzzer and is not on the PATH: install g++ (Debian: apt-get install g++).`,
  )
}

/** Builds all targets; returns the directory of the binaries. */
function build(asan) {
  // a target triple keeps the flags away from build scripts
  const { host } = /host: (?<host>\S+)/.exec(run('rustc', ['-vV'], { stdio: 'pipe' }).stdout).groups
  const base = process.env.CARGO_TARGET_DIR || path.join(HERE, 'target')
  const directory = path.resolve(base, asan ? 'asan' : 'coverage')
  const flags = asan ? [...COVERAGE, '-Zsanitizer=address'] : COVERAGE
  run('cargo', ['build', '--release', '--bins', '--target', host], {
    env: {
      ...process.env,
      CARGO_TARGET_DIR: directory,
      RUSTFLAGS: flags.join(' '),
      ...(asan ? { RUSTC_BOOTSTRAP: '1' } : {}),
    },
  })
  return path.join(directory, host, 'release')
}

function fuzz(target, binary, seconds, asan) {
  const [corpus, artifacts, seeds] = ['corpus', 'artifacts', 'seeds'].map((name) => {
    const directory = path.join(HERE, name, target)
    fs.mkdirSync(directory, { recursive: true })
    return directory
  })
  const dictionary = path.join(HERE, 'seeds', `${target}.dict`)
  const { status, stderr } = run(
    binary,
    [
      corpus,
      seeds,
      `-artifact_prefix=${artifacts}${path.sep}`,
      `-max_total_time=${Math.max(1, Math.round(seconds))}`,
      `-max_len=${MAX_LENGTH[target] ?? 1024}`,
      '-timeout=10',
      '-rss_limit_mb=2048',
      '-print_final_stats=1',
      '-verbosity=1',
      ...(fs.existsSync(dictionary) ? [`-dict=${dictionary}`] : []),
    ],
    {
      stdio: 'pipe',
      mayFail: true,
      env: { ...process.env, RUST_BACKTRACE: '0', ...(asan ? { ASAN_OPTIONS: 'detect_leaks=0' } : {}) },
    },
  )
  const failed = status !== 0
  if (failed) console.error(stderr)
  const number = (pattern) => Number([...stderr.matchAll(pattern)].pop()?.[1] ?? 0)
  return {
    target,
    seeds: fs.readdirSync(seeds).length,
    executions: number(/stat::number_of_executed_units:\s*(\d+)/g),
    edges: number(/ cov: (\d+)/g),
    inputs: number(/ corp: (\d+)/g),
    failed,
  }
}

function report(rows) {
  const line = (...cells) =>
    cells.map((cell, i) => (i === 0 ? String(cell).padEnd(20) : String(cell).padStart(12))).join('')
  console.log(`\n${line('target', 'seeds', 'executions', 'edges', 'corpus')}   result`)
  for (const row of rows) {
    console.log(
      `${line(row.target, row.seeds, row.executions, row.edges, row.inputs)}   ${row.failed ? 'FAILED' : 'ok'}`,
    )
  }
  const total = rows.reduce((sum, row) => sum + row.executions, 0)
  console.log(`${line('all', '', total, '', '')}`)
}

function run(command, args, { mayFail = false, ...options } = {}) {
  const done = spawnSync(command, args, {
    cwd: HERE,
    encoding: 'utf8',
    stdio: 'inherit',
    maxBuffer: 1 << 28,
    ...options,
  })
  if (done.error) fail(`${command}: ${done.error.message}`)
  if (!mayFail && done.status !== 0) fail(`${command} failed`)
  return done
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
