'use strict'

// Writes what has a project load this package in place of `engine.io` into its package.json, and takes the original out
// of a lock file of npm's, which would keep it: npm does not look at overrides of what is locked.

const fs = require('fs')
const path = require('path')
const { readJson } = require('./project')

const ENGINE = 'engine.io'
const KINDS = ['dependencies', 'devDependencies', 'optionalDependencies']

/** What package managers are told to install in place of `engine.io`. */
const specOf = (version) => `npm:engine.io-native@${version.split('.').slice(0, 2).join('.')}.x`

/** Whether a value of an override means this package. */
const isOurs = (value) => typeof value === 'string' && value.includes('engine.io-native')

/**
 * The field of package.json that replaces a dependency everywhere. pnpm has it in a file of its own since version 10.
 */
function fieldOf({ manager }) {
  if (manager === 'yarn') return 'resolutions'
  return manager === 'pnpm' ? undefined : 'overrides'
}

const workspaceOf = ({ root }) => path.join(root, 'pnpm-workspace.yaml')

/** Whether the project says that this package is to be loaded. */
function isSwitched(project) {
  const manifest = readJson(path.join(project.root, 'package.json')) || {}
  if (project.manager === 'pnpm')
    return hasOverride(readText(workspaceOf(project))) || isOurs(manifest.pnpm?.overrides?.[ENGINE])
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
  if (project.manager === 'pnpm') return isSwitched(project) ? [] : addOverride(workspaceOf(project), spec)
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
    if (!isSwitched(project)) manifest[field] = { ...manifest[field], [ENGINE]: wanted }
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
  if (project.manager === 'pnpm' && hasOverride(readText(workspaceOf(project))))
    return dropOverride(workspaceOf(project))
  const changed = editJson(path.join(project.root, 'package.json'), (manifest) => {
    for (const kind of KINDS) if (isOurs(manifest[kind]?.[ENGINE])) manifest[kind][ENGINE] = `^${version}`
    for (const holder of [manifest, manifest.pnpm]) {
      for (const field of ['overrides', 'resolutions']) {
        const value = holder?.[field]?.[ENGINE]
        if (!isOurs(value) && value !== `$${ENGINE}`) continue
        delete holder[field][ENGINE]
        if (Object.keys(holder[field]).length === 0) delete holder[field]
      }
    }
  })
  return [...changed, ...release(project, (name) => name === 'engine.io-native')]
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
          if (locked.length > 0) dropFromTree(content.dependencies)
        })
  // what npm keeps beside the packages says the same as the lock file
  if (locked.length > 0) fs.rmSync(path.join(root, 'node_modules/.package-lock.json'), { force: true })
  for (const where of locked) fs.rmSync(path.join(root, where), { recursive: true, force: true })
  return changed
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
