'use strict'

// Writes what has a project load this package in place of `engine.io` into its package.json, and takes out of the lock
// file what would be kept: npm does not look at overrides of what is locked, and pnpm and yarn 1 keep a replacement that
// is locked when the override is gone.

const fs = require('fs')
const path = require('path')
const { readJson, settingsOfPnpm } = require('./project')

const ENGINE = 'engine.io'
const KINDS = ['dependencies', 'devDependencies', 'optionalDependencies']

/** What package managers are told to install in place of `engine.io`. */
const specOf = (version) => `npm:engine.io-native@${version.split('.').slice(0, 2).join('.')}.x`

/** Whether a value of an override means this package. */
const isOurs = (value) => typeof value === 'string' && value.includes('engine.io-native')

/** The field that replaces a dependency everywhere, in package.json or, for pnpm, in its settings. */
const fieldOf = ({ manager }) => (manager === 'yarn' ? 'resolutions' : 'overrides')

/** Whether the override belongs into pnpm-workspace.yaml. */
const isInWorkspace = (project) => project.manager === 'pnpm' && settingsOfPnpm(project).inWorkspace

const workspaceOf = ({ root }) => path.join(root, 'pnpm-workspace.yaml')

/** Whether the project says that this package is to be loaded. */
function isSwitched(project) {
  const manifest = readJson(path.join(project.root, 'package.json')) || {}
  if (project.manager === 'pnpm') {
    const { inManifest, inWorkspace } = settingsOfPnpm(project)
    if (inWorkspace && hasOverride(readText(workspaceOf(project)))) return true
    return inManifest && isOurs(manifest.pnpm?.overrides?.[ENGINE])
  }
  const replaced = manifest[fieldOf(project)]?.[ENGINE]
  return isOurs(replaced) || (replaced === `$${ENGINE}` && KINDS.some((kind) => isOurs(manifest[kind]?.[ENGINE])))
}

const LINE = /^ {2,}['"]?engine\.io['"]?:.*engine\.io-native.*\n?/m
const hasOverride = (text) => LINE.test(text)

function readText(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
}

/**
 * Switches a project to this package.
 *
 * @returns {string[]} the files that were changed
 */
function switchTo(project, version) {
  const spec = specOf(version)
  if (isInWorkspace(project)) return isSwitched(project) ? [] : addOverride(workspaceOf(project), spec)
  const field = fieldOf(project)
  const changed = editJson(path.join(project.root, 'package.json'), (manifest) => {
    let isDirect = false
    for (const kind of KINDS) {
      if (manifest[kind]?.[ENGINE] === undefined) continue
      isDirect = true
      if (!isOurs(manifest[kind][ENGINE])) manifest[kind][ENGINE] = spec
    }
    // npm refuses an override that differs from a dependency of the project itself
    const wanted = isDirect && project.manager === 'npm' ? `$${ENGINE}` : spec
    if (isSwitched(project)) return
    const holder = project.manager === 'pnpm' ? (manifest.pnpm ??= {}) : manifest
    holder[field] = { ...holder[field], [ENGINE]: wanted }
  })
  return [...changed, ...release(project, (name) => name !== 'engine.io-native')]
}

/**
 * Switches a project back to the original.
 *
 * @param {string} version of the original, for a project that depends on it by itself
 * @returns {string[]} the files that were changed
 */
function switchBack(project, version) {
  const settings = workspaceOf(project)
  if (project.manager === 'pnpm' && hasOverride(readText(settings)))
    return [...dropOverride(settings), ...unlock(project)]
  const changed = editJson(path.join(project.root, 'package.json'), (manifest) => {
    for (const kind of KINDS) if (isOurs(manifest[kind]?.[ENGINE])) manifest[kind][ENGINE] = `^${version}`
    dropBinaries(manifest)
    for (const holder of [manifest, manifest.pnpm]) {
      for (const field of ['overrides', 'resolutions']) {
        const value = holder?.[field]?.[ENGINE]
        if (!isOurs(value) && value !== `$${ENGINE}`) continue
        delete holder[field][ENGINE]
        if (Object.keys(holder[field]).length === 0) delete holder[field]
      }
    }
    if (manifest.pnpm && Object.keys(manifest.pnpm).length === 0) delete manifest.pnpm
  })
  return [...changed, ...unlock(project), ...release(project, (name) => name === 'engine.io-native')]
}

/** Takes out the packages of binaries, which nothing needs then unless this package stays under its own name. */
function dropBinaries(manifest) {
  if (KINDS.some((kind) => manifest[kind]?.['engine.io-native'] !== undefined)) return
  for (const kind of KINDS) {
    const binaries = Object.keys(manifest[kind] ?? {}).filter((name) => name.startsWith('engine.io-native-'))
    for (const name of binaries) delete manifest[kind][name]
    if (binaries.length > 0 && Object.keys(manifest[kind]).length === 0) delete manifest[kind]
  }
}

/** What a lock file says about the replacement: of pnpm, a line of who depends on it; of yarn 1, its whole entry. */
const LOCKED = {
  'pnpm-lock.yaml': /^ {6}engine\.io: \/?engine\.io-native@.*\n/gm,
  'yarn.lock': /^"?engine\.io@.*npm:engine\.io-native@.*:\n(?:[ \t].*\n)*\n?/gm,
}

/** Takes the replacement out of a lock file of pnpm's or yarn's. */
function unlock({ root, lock }) {
  if (LOCKED[lock] === undefined) return []
  const file = path.join(root, lock)
  const text = readText(file)
  const rest = text.replace(LOCKED[lock], '')
  if (rest === text) return []
  fs.writeFileSync(file, rest)
  return [file]
}

/** Takes the `engine.io` whose package has a name of the wrong kind out of npm's lock file, and out of node_modules. */
function release({ manager, root, lock }, isWrong) {
  if (manager !== 'npm') return []
  const locked = []
  const changed =
    lock === undefined
      ? []
      : editJson(path.join(root, lock), (content) => {
          for (const [where, { name = ENGINE }] of Object.entries(content.packages || {})) {
            if (!/(^|\/)node_modules\/engine\.io$/.test(where) || !isWrong(name)) continue
            locked.push(where)
            delete content.packages[where]
          }
          dropNested(content.packages)
          if (locked.length > 0) dropFromTree(content.dependencies)
        })
  // what npm keeps beside the packages says the same as the lock file
  if (locked.length > 0) fs.rmSync(path.join(root, 'node_modules/.package-lock.json'), { force: true })
  for (const where of locked) fs.rmSync(path.join(root, where), { recursive: true, force: true })
  return changed
}

/** Takes out what npm had put below an `engine.io` that is no longer there: npm would keep it, and not look for the rest. */
function dropNested(packages = {}) {
  for (const where of Object.keys(packages)) {
    const [engine] = /^(?:.*\/)?node_modules\/engine\.io(?=\/)/.exec(where) ?? []
    if (engine !== undefined && packages[engine] === undefined) delete packages[where]
  }
}

/** Lock files up to version 2 have a tree of dependencies as well. */
function dropFromTree(dependencies) {
  if (dependencies === undefined) return
  delete dependencies[ENGINE]
  for (const entry of Object.values(dependencies)) dropFromTree(entry.dependencies)
}

/** Changes a JSON file, and keeps its indentation. The file's name, if anything has changed. */
function editJson(file, change) {
  const text = fs.readFileSync(file, 'utf8')
  const content = JSON.parse(text)
  const before = JSON.stringify(content)
  change(content)
  if (JSON.stringify(content) === before) return []
  const [, indent = '  '] = /^[{[]\r?\n([ \t]+)/.exec(text) || []
  fs.writeFileSync(file, JSON.stringify(content, null, indent) + (text.endsWith('\n') ? '\n' : ''))
  return [file]
}

function addOverride(file, spec) {
  const text = readText(file)
  const line = `  engine.io: ${spec}\n`
  const block = /^overrides:[ \t]*\n/m
  fs.writeFileSync(
    file,
    block.test(text)
      ? text.replace(block, (head) => head + line)
      : `${text}${text && !text.endsWith('\n') ? '\n' : ''}overrides:\n${line}`,
  )
  return [file]
}

function dropOverride(file) {
  const text = readText(file)
    .replace(LINE, '')
    .replace(/^overrides:[ \t]*\n(?![ \t])/m, '')
  if (text.trim() === '') fs.rmSync(file)
  else fs.writeFileSync(file, text)
  return [file]
}

module.exports = { fieldOf, isSwitched, specOf, switchBack, switchTo }
