'use strict'

// What differs between two packages of engine.io, each given by its folder. A line begins with `+` (only the second has
// it), `-` (only the first has it) or `~` (both have it, and it differs).

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const util = require('node:util')
const ts = require('typescript')
const { differences } = require('../../__test__/support/reflection')

const REFLECTION = path.join(__dirname, '../../__test__/fixtures/reflection.js')

/**
 * Exports, and the members of servers, sessions, transports and requests as reflection shows them on live objects: see
 * __test__/support/reflection.js for the words.
 */
function api(before, after) {
  return differences(snapshot(before), snapshot(after)).map((line) => change(...line.split(' | ')))
}

function snapshot(folder) {
  const env = { ...process.env, ENGINE: 'upstream', UPSTREAM_PACKAGE: folder, NODE_OPTIONS: '', NODE_TEST_CONTEXT: '' }
  const options = { env, encoding: 'utf8', timeout: 60_000, maxBuffer: Infinity }
  const { error, status, signal, stdout, stderr } = spawnSync(process.execPath, [REFLECTION], options)
  if (error || status !== 0) {
    throw new Error(`the objects of ${folder} cannot be looked at (${error?.message ?? status ?? signal}): ${stderr}`)
  }
  // The rest is the test runner's, which the helpers of tests bring with them.
  return JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')))
}

function change(what, before, after) {
  if (before === 'missing') return `+ ${what}: ${after}`
  if (after === 'missing') return `- ${what}: ${before}`
  return `~ ${what}: ${before} → ${after}`
}

/** One line for each name of which two tables say different things. */
function changes(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()
  const differ = names.filter((name) => before[name] !== after[name])
  return differ.map((name) => change(name, before[name] ?? 'missing', after[name] ?? 'missing'))
}

/** The declarations of all .d.ts files and the members of their classes and interfaces, but for private ones. */
function types(before, after) {
  const [theirs, ours] = [declarations(before), declarations(after)]
  const gone = theirs.filter((line) => !ours.includes(line)).map((line) => `- ${line}`)
  const added = ours.filter((line) => !theirs.includes(line)).map((line) => `+ ${line}`)
  return [...gone, ...added].sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1))
}

function declarations(folder) {
  const files = fs.readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.d.ts'))
  return files.sort().flatMap((file) => {
    const source = ts.createSourceFile(
      file,
      fs.readFileSync(path.join(folder, file), 'utf8'),
      ts.ScriptTarget.Latest,
      true,
    )
    const where = file.split(path.sep).join('/')
    return source.statements.flatMap(declaration).map((text) => `${where}: ${text}`)
  })
}

function declaration(statement) {
  if (ts.isImportDeclaration(statement)) return []
  if (!ts.isClassDeclaration(statement) && !ts.isInterfaceDeclaration(statement)) return [plain(statement.getText())]
  const [first] = statement.members
  const head = first ? statement.getText().slice(0, first.getFullStart() - statement.getStart()) : statement.getText()
  const visible = statement.members.filter(
    (member) => !(ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Private),
  )
  return [plain(head), ...visible.map((member) => `${statement.name.text}: ${plain(member.getText())}`)]
}

/** A declaration on one line, without comments. */
function plain(text) {
  return text
    .replace(/\/\*[^]*?\*\/|\/\/.*/g, '')
    .replace(/\s+/g, ' ')
    .trim()
}

/** The defaults of a server's options. */
function options(before, after) {
  const [theirs, ours] = [before, after].map((folder) => {
    const { opts } = new (require(folder).Server)()
    return Object.fromEntries(
      Object.entries(opts).map(([name, value]) => [name, util.inspect(value, { breakLength: Infinity })]),
    )
  })
  return changes(theirs, ours)
}

/** What the manifests ask of others. */
function dependencies(before, after) {
  const [theirs, ours] = [before, after].map((folder) => {
    const manifest = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
    const table = { exports: JSON.stringify(manifest.exports) }
    for (const field of ['dependencies', 'peerDependencies', 'optionalDependencies', 'engines']) {
      for (const [name, range] of Object.entries(manifest[field] ?? {})) table[`${field}: ${name}`] = range
    }
    return table
  })
  return changes(theirs, ours)
}

/** The packages beside two packages of which they have different versions: what they depend on changes what they do. */
function neighbours(before, after) {
  const [theirs, ours] = [before, after].map((folder) => {
    const { dependencies = {} } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
    const found = Object.keys(dependencies).map((name) => [name, path.join(folder, '..', name)])
    return new Map(found.filter(([, at]) => fs.existsSync(at)))
  })
  const version = (folder) => JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).version
  return [...ours]
    .filter(([name, folder]) => theirs.has(name) && version(theirs.get(name)) !== version(folder))
    .map(([name, folder]) => ({
      name,
      versions: [theirs.get(name), folder].map(version),
      before: theirs.get(name),
      after: folder,
    }))
}

/** The files that differ, with the numbers of their lines that were added and removed. */
function files(before, after) {
  const fields = diff(before, after, '--numstat', '-z').split('\0')
  const found = []
  for (let at = 0; at + 2 < fields.length; at += 3) {
    const [added, removed] = fields[at].split('\t').map((number) => Number(number) || 0)
    const [from, to] = [fields[at + 1], fields[at + 2]]
    const file = to === '/dev/null' ? path.relative(before, from) : path.relative(after, to)
    found.push({ file, added, removed, state: from === '/dev/null' ? 'new' : to === '/dev/null' ? 'gone' : '' })
  }
  return found
}

/** What git says of two folders. */
function diff(before, after, ...flags) {
  const args = ['diff', '--no-index', '--no-ext-diff', '--no-renames', '--no-color', ...flags, '--', before, after]
  const { error, status, stdout, stderr } = spawnSync('git', args, { encoding: 'utf8', maxBuffer: Infinity })
  if (error || status > 1) throw new Error(`git cannot compare ${before} and ${after}: ${error?.message ?? stderr}`)
  return stdout
}

module.exports = { api, types, options, dependencies, neighbours, files, diff }
