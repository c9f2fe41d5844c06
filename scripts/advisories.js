'use strict'

// Compares the list of advisories that is checked in with the live one, by npm's own audit of every version of the two
// packages: the registry is the one that npm is configured for. It runs weekly; `npm test` asks no registry.
//
//   node scripts/advisories.js        exit code 0: alike, 1: something has to be looked at, 2: the list cannot be had

const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')
const { root } = require('./setup')
const { mirrored } = require('./upstream/releases')
const { dependencies } = require('../package.json')

const LIST = path.join(root, '__test__/packaging/advisories.json')
const LIMIT_MS = 60_000

/** The oldest version of each package that may be in use. */
const inUse = { 'engine.io': mirrored(), ws: dependencies.ws.replace('^', '') }

/**
 * @typedef {object} Advisory
 * @property {string} id such as CVE-2024-37890, or the ghsa where there is no other
 * @property {string} ghsa
 * @property {string} package
 * @property {[from: string, below: string][]} affected ranges of versions
 */

/** Compares `major.minor.patch`. */
function isBelow(one, other) {
  const [a, b] = [one, other].map((each) => each.split('-', 1)[0].split('.').map(Number))
  const at = a.findIndex((part, i) => part !== b[i])
  return at !== -1 && a[at] < b[at]
}

const affects = ({ affected }, version) =>
  affected.some(([from, below]) => !isBelow(version, from) && isBelow(version, below))

/** The ranges of a text such as `>=2.0.0 <3.3.1 || <1.1.5`. */
function rangesOf(text) {
  return text.split('||').map((part) => {
    let from = '0.0.0'
    let below = 'any'
    const rest = part.replace(/(>=|>|<=|<|=|)\s*(\d+\.\d+\.\d+(?:-[\w.-]+)?),?/g, (_, operator, version) => {
      const [major, minor, patch] = version.split('-', 1)[0].split('.').map(Number)
      const next = `${major}.${minor}.${patch + 1}`
      if (operator === '>=') from = version
      else if (operator === '>') from = next
      else if (operator === '<') below = version
      else if (operator === '<=') below = next
      else [from, below] = [version, next]
      return ''
    })
    if (!/^[\s*]*$/.test(rest)) throw new Error(`expected a range of versions, got ${text}`)
    // greater than each that there is
    return [from, below === 'any' ? '9999.0.0' : below]
  })
}

/**
 * The advisories in a report of `npm audit --json`, which has one entry for each range.
 *
 * @returns {(Omit<Advisory, 'id'> & { title: string })[]}
 */
function advisoriesOf({ vulnerabilities = {} }) {
  const found = new Map()
  for (const { via } of Object.values(vulnerabilities)) {
    for (const entry of via) {
      // a name is that of a package with a vulnerable dependency
      if (typeof entry === 'string') continue
      const ghsa = entry.url.split('/').pop()
      const advisory = found.get(ghsa) ?? { ghsa, package: entry.name, title: entry.title, affected: [] }
      advisory.affected.push(...rangesOf(entry.range))
      found.set(ghsa, advisory)
    }
  }
  return [...found.values()]
}

/**
 * One sentence for each difference between two lists.
 *
 * @param {Advisory[]} ours
 * @param {(Omit<Advisory, 'id'> & { title: string })[]} live
 */
function differences(ours, live) {
  const text = ({ affected }) =>
    affected
      .map(([from, below]) => `${from} to below ${below}`)
      .sort()
      .join(', ')
  const told = []
  for (const advisory of live) {
    const { ghsa, package: name, title } = advisory
    const known = ours.find((one) => one.ghsa === ghsa)
    if (affects(advisory, inUse[name])) told.push(`${ghsa} affects ${name} ${inUse[name]}, which is in use: ${title}`)
    if (!known) told.push(`${ghsa} of ${name} is missing in the list: ${title} (${text(advisory)})`)
    else if (text(known) !== text(advisory))
      told.push(`${ghsa} of ${name}: the list says ${text(known)}, and the registry says ${text(advisory)}`)
  }
  for (const { id, ghsa, package: name } of ours) {
    if (!live.some((one) => one.ghsa === ghsa)) told.push(`${id} (${ghsa}) of ${name} is unknown to the registry`)
  }
  return told
}

async function npm(folder, ...args) {
  // npm is a .cmd file on Windows, which only a shell can start.
  const options = { cwd: folder, shell: process.platform === 'win32', timeout: LIMIT_MS, maxBuffer: Infinity }
  return promisify(execFile)('npm', [...args, '--json', '--fetch-retries=0'], options)
}

/** What npm's audit says about every version that there is of some packages. */
async function audit(names) {
  const packages = { '': { name: 'every-version' } }
  for (const name of names) {
    const { stdout } = await npm(root, 'view', name, 'versions')
    for (const version of [].concat(JSON.parse(stdout))) packages[`node_modules/${name}-${version}`] = { name, version }
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-advisories-'))
  try {
    const write = (file, content) => fs.writeFileSync(path.join(folder, file), JSON.stringify(content))
    write('package.json', packages[''])
    write('package-lock.json', { name: 'every-version', lockfileVersion: 3, requires: true, packages })
    // it ends with 1 where it finds something
    const { stdout } = await npm(folder, 'audit', '--package-lock-only').catch((error) => error)
    const report = JSON.parse(stdout)
    if (report.vulnerabilities === undefined) throw new Error(report.message ?? report.error?.summary ?? stdout)
    if (Object.keys(report.vulnerabilities).length === 0) throw new Error('it says that no version has ever had one')
    return report
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

/** @returns {Promise<number>} the exit code */
async function main() {
  const ours = JSON.parse(fs.readFileSync(LIST, 'utf8'))
  let live
  try {
    live = advisoriesOf(await audit(Object.keys(inUse)))
  } catch (error) {
    console.log(`The registry's list of advisories cannot be had: ${error.message}`)
    return 2
  }
  const told = differences(ours, live)
  for (const line of told) console.log(line)
  if (told.length > 0) console.log('docs/ADVISORIES.md says what to do.')
  else console.log(`${live.length} advisories, the same ones in the list and in the registry.`)
  return told.length > 0 ? 1 : 0
}

module.exports = { affects, differences, inUse, rangesOf }

if (require.main === module) main().then((code) => (process.exitCode = code))
