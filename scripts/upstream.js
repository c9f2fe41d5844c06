'use strict'

// npm run upstream: what a release of engine.io changes against the one that this package mirrors.
//
//   npm run upstream [-- VERSION] [--diff] [--no-tests] [--count N]
//
// VERSION is the newest of the registry unless given. `--diff` prints the difference of the code, too. `--no-tests` leaves
// out the runs of the tests, `--count` says how many programs the twin runs. docs/UPSTREAM.md says what to do with the
// result. The exit code is 0 if there is nothing to follow, 2 if there is, 1 if that could not be found out.

const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { build, hostPlatform } = require('./build')
const { root, step } = require('./setup')
const { mirrored, newer, warning } = require('./upstream/releases')

const SUITES = ['behaviour', 'socketio', 'types']
const TWIN_PROGRAMS = '200'

main().then(
  (code) => (process.exitCode = code),
  (error) => {
    console.error(`\n✘ ${error.message}\n`)
    process.exitCode = 1
  },
)

async function main() {
  const { values: flags, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      diff: { type: 'boolean' },
      'no-tests': { type: 'boolean' },
      count: { type: 'string', default: TWIN_PROGRAMS },
    },
  })
  if (!/^\d+$/.test(flags.count)) throw new Error(`--count expects a number of programs, got ${flags.count}`)
  if (positionals.length > 1)
    throw new Error(`One version is expected, and there are ${positionals.length}: ${positionals.join(' ')}`)
  if (!fs.existsSync(path.join(root, 'node_modules/typescript'))) {
    throw new Error('The packages for development are not there: `npm ci` installs them.')
  }

  const { time = {}, ...registry } = view('engine.io', 'versions', 'time')
  // One version alone is a string.
  const versions = [].concat(registry.versions)
  const ours = mirrored()
  const [wanted = newer(versions, ours).at(-1) ?? ours] = positionals
  if (wanted !== ours && !versions.includes(wanted)) {
    throw new Error(`The registry has no engine.io ${wanted}; its last are ${versions.slice(-3).join(', ')}.`)
  }
  for (const version of new Set([ours, wanted])) {
    const deprecated = versions.includes(version) && view(`engine.io@${version}`, 'deprecated').deprecated
    if (deprecated) console.log(`upstream deprecates engine.io ${version}: ${deprecated}`)
  }
  if (wanted === ours) {
    console.log(
      `This package mirrors engine.io ${ours}: there is nothing to follow. ${warning(versions, ours) ?? ''}`.trim(),
    )
    return 0
  }

  console.log(`engine.io ${ours} → ${wanted}${age(time[wanted])}`)
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-upstream-')))
  try {
    const before = versions.includes(ours) ? install(ours, path.join(folder, ours)) : installed(ours)
    const after = install(wanted, path.join(folder, wanted))
    const summary = comparison(before, after, flags)
    if (flags['no-tests']) summary.push(['tests', 'left out'])
    else summary.push(...(await runs(wanted, before, after, flags)))
    return conclude(ours, wanted, summary)
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

/** When a release was published, if the registry tells. */
function age(date) {
  return date
    ? `, released ${date.slice(0, 10)}, ${Math.floor((Date.now() - Date.parse(date)) / 86_400_000)} days ago`
    : ''
}

/** npm as its user has configured it, also for this folder. Answers with what it prints. */
function npm(...args) {
  const options = { cwd: root, encoding: 'utf8', maxBuffer: Infinity, shell: process.platform === 'win32' }
  const { error, status, stdout, stderr } = spawnSync('npm', args, options)
  if (error || status !== 0)
    throw new Error(`\`npm ${args.join(' ')}\` failed (${error?.message ?? status}): ${stderr.trim()}`)
  return stdout
}

/** Fields of a package in the registry, by their names. */
function view(name, ...fields) {
  const output = npm('view', name, ...fields, '--json').trim()
  const value = output === '' ? {} : JSON.parse(output)
  return fields.length === 1 ? { [fields[0]]: output === '' ? undefined : value } : value
}

/** Puts a release and what it depends on into a folder of its own. Answers with the package's folder. */
function install(version, folder) {
  fs.mkdirSync(folder)
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n')
  const settings = path.join(root, '.npmrc')
  if (fs.existsSync(settings)) fs.copyFileSync(settings, path.join(folder, '.npmrc'))
  npm(
    'install',
    '--prefix',
    folder,
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--no-package-lock',
    `engine.io@${version}`,
  )
  return path.join(folder, 'node_modules/engine.io')
}

/** The copy of a withdrawn release that the tests run on. */
function installed(version) {
  const folder = path.join(root, 'node_modules/engine.io')
  const has = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).version
  if (has !== version) {
    throw new Error(
      `The registry does not have engine.io ${version}, which this package mirrors, and node_modules has ${has}.`,
    )
  }
  console.log(`The registry does not have engine.io ${version}: the copy in node_modules takes its place.`)
  return folder
}

/** Prints what differs between the packages. Answers with lines of the summary. */
function comparison(before, after, flags) {
  const compare = require('./upstream/compare')
  const summary = []
  for (const [title, about] of Object.entries({
    API: 'api',
    types: 'types',
    options: 'options',
    dependencies: 'dependencies',
  })) {
    step(title)
    const { lines, error } = attempt(compare[about], before, after)
    const result = error
      ? 'could not be compared'
      : lines.length === 0
        ? 'the same'
        : counted(lines.length, 'difference')
    console.log(error?.message ?? (lines.join('\n') || result))
    summary.push([title, result, result !== 'the same'])
  }

  summary.push(code('code', compare, before, after, flags))
  for (const { name, versions, ...folders } of compare.neighbours(before, after)) {
    summary.push(code(`code of ${name} ${versions.join(' → ')}`, compare, folders.before, folders.after, flags))
  }
  return summary
}

/** Prints which files differ. Answers with a line of the summary. */
function code(title, compare, before, after, flags) {
  step(title)
  const files = compare.files(before, after)
  for (const { file, added, removed, state } of files) {
    console.log(`${`+${added}`.padStart(6)} ${`-${removed}`.padStart(6)}  ${file}${state && ` (${state})`}`)
  }
  if (flags.diff) console.log(`\n${compare.diff(before, after)}`)
  else if (files.length > 0) console.log('(`--diff` prints the lines)')
  const [added, removed] = ['added', 'removed'].map((field) => files.reduce((sum, file) => sum + file[field], 0))
  return [title, `${counted(files.length, 'file')}, +${added} -${removed}`, files.length > 0]
}

/** Runs the tests with the release in the place of the original. Answers with lines of the summary. */
async function runs(version, before, after, flags) {
  const { compareRuns } = require('./upstream/runs')
  if (!fs.existsSync(path.join(root, `engine.io-native.${hostPlatform()}.node`))) build()
  const files = SUITES.flatMap((suite) => {
    const folder = path.join(root, '__test__', suite)
    return fs
      .readdirSync(folder)
      .filter((file) => file.endsWith('.test.js'))
      .sort()
      .map((file) => path.join(folder, file))
  })
  const summary = []
  for (const [ENGINE, who] of [
    ['upstream', `engine.io ${version}`],
    ['native', 'this package'],
  ]) {
    step(`tests on ${who}: ${SUITES.join(', ')}`)
    const [reference, run] = [before, after].map((folder) => ({ ENGINE, UPSTREAM_PACKAGE: folder }))
    const { passed, changed, others } = await compareRuns(files, reference, run, (file, failures) => {
      console.log(`${path.relative(root, file)}: ${failures} failed`)
    })
    print(`\nwhat fails because of the release (${changed.length})`, changed)
    print(`\nwhat fails for other reasons (${others.length})`, others)
    const failed = `${changed.length} fail because of the release, ${others.length} for other reasons`
    summary.push([`tests on ${who}`, `${passed} pass, ${failed}`, changed.length > 0])
  }
  summary.push(['twin', ...(await twins(before, after, flags.count))])
  return summary
}

/** The tests by their files, with the first lines of their errors. */
function print(title, failures) {
  if (failures.length === 0) return
  console.log(title)
  let last
  for (const { file, name, error, note } of failures) {
    if (file !== last) console.log(`  ${path.relative(root, file)}`)
    last = file
    console.log(`    ${name}${note ? ` (${note})` : ''}`)
    const lines = error
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(0, 8)
    for (const line of lines) console.log(`      ${line.slice(0, 160)}`)
  }
}

/** Runs the same random programs on this package and on each of the releases. */
async function twins(before, after, count) {
  const { scripts } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
  if (!scripts.twin) return ['not there']
  step(`twin: ${count} programs on this package and the release`)
  try {
    const differ = await twin(after, '--count', count)
    if (differ === 0) return [`none of ${count} programs tells the release from this package`]
    step('twin: the same programs on this package and the mirrored release')
    const differed = await twin(before, '--count', count, '--most', '0')
    return [`${differ} of ${count} programs tell the release from this package, ${differed} the mirrored one`, true]
  } catch (error) {
    return [error.message, true]
  }
}

/** How many programs tell this package from an original. */
function twin(original, ...args) {
  return new Promise((resolve, reject) => {
    const child = spawn('npm', ['run', '--silent', 'twin', '--', ...args], {
      cwd: root,
      env: { ...process.env, UPSTREAM_PACKAGE: original },
      shell: process.platform === 'win32',
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      process.stdout.write(text)
      output += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      const [, failed] = /^twin: \d+ passed, (\d+) failed/m.exec(output) ?? []
      if (failed === undefined) reject(new Error(`The twin ended with ${code} and without a result.`))
      else resolve(Number(failed))
    })
  })
}

/** A release may be such that it cannot be loaded. */
function attempt(about, before, after) {
  try {
    return { lines: about(before, after) }
  } catch (error) {
    return { error }
  }
}

function counted(number, word) {
  return `${number} ${word}${number === 1 ? '' : 's'}`
}

function conclude(ours, wanted, summary) {
  step(`summary: engine.io ${ours} → ${wanted}`)
  for (const [title, text] of summary) console.log(`${title.padEnd(28)} ${text}`)
  const isWork = summary.some(([, , counts]) => counts)
  console.log(
    isWork
      ? '\nThere is a release to follow: docs/UPSTREAM.md says how.'
      : '\nThe release changes nothing but its number.',
  )
  return isWork ? 2 : 0
}
