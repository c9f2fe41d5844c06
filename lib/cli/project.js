'use strict'

// What a project on disk says about its engine: its package manager, and which packages of its tree load `engine.io`.

const fs = require('fs')
const { createRequire } = require('module')
const path = require('path')

/** The lock files by which a package manager is told, in the order in which they are looked for. */
const LOCKS = [
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
  ['npm-shrinkwrap.json', 'npm'],
  ['package-lock.json', 'npm'],
]

/** Reads a JSON file; undefined if there is none, or it holds something else. */
function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

/**
 * The package manager of a project, and its lock file: in a workspace, these are those of a folder above. A folder above
 * that has no workspace is another project's, and is left alone.
 *
 * @returns {{ manager: string, root: string, lock: string | undefined }}
 */
function findManager(folder) {
  for (let at = folder; ; at = path.dirname(at)) {
    const manifest = readJson(path.join(at, 'package.json'))
    const isWorkspace = Boolean(manifest?.workspaces) || fs.existsSync(path.join(at, 'pnpm-workspace.yaml'))
    if (at === folder || isWorkspace) {
      for (const [lock, manager] of LOCKS) {
        if (fs.existsSync(path.join(at, lock))) return { manager, root: at, lock }
      }
      const named = /^(npm|pnpm|yarn|bun)@/.exec(manifest?.packageManager)
      if (named) return { manager: named[1], root: at, lock: undefined }
    }
    if (at === path.dirname(at)) return { manager: 'npm', root: folder, lock: undefined }
  }
}

/**
 * Where pnpm reads its settings: in package.json until version 10, in pnpm-workspace.yaml since 10.5. The version is that
 * of package.json, or the one that has installed.
 *
 * @returns {{ inManifest: boolean, inWorkspace: boolean }}
 */
function settingsOfPnpm({ root }) {
  const named = readJson(path.join(root, 'package.json'))?.packageManager
  const modules = path.join(root, 'node_modules/.modules.yaml')
  const installed = fs.existsSync(modules) ? fs.readFileSync(modules, 'utf8') : ''
  const version = /\bpnpm@(\d+\.\d+)/
  const [, found = 'unknown'] = version.exec(named) ?? version.exec(installed) ?? []
  const [major, minor = 0] = found.split('.').map(Number)
  return { inManifest: major <= 10, inWorkspace: !(major < 10 || (major === 10 && minor < 5)) }
}

/** Every folder of a package below `node_modules`, each once: links are followed. */
function* packagesBelow(modules, seen = new Set()) {
  let names
  try {
    names = fs.readdirSync(modules)
  } catch {
    return
  }
  for (const name of names) {
    const at = path.join(modules, name)
    if (name.startsWith('@')) {
      yield* packagesBelow(at, seen)
    } else if (name === '.pnpm') {
      for (const stored of fs.readdirSync(at)) yield* packagesBelow(path.join(at, stored, 'node_modules'), seen)
    } else if (!name.startsWith('.')) {
      let real
      try {
        real = fs.realpathSync(at)
      } catch {
        // a link that leads nowhere
        continue
      }
      if (seen.has(real)) continue
      seen.add(real)
      yield real
      yield* packagesBelow(path.join(real, 'node_modules'), seen)
    }
  }
}

/** The folder of the `engine.io` that a package would load; undefined if there is none. */
function engineOf(folder) {
  for (let at = folder; ; at = path.dirname(at)) {
    const candidate = path.join(at, 'node_modules', 'engine.io')
    if (fs.existsSync(path.join(candidate, 'package.json'))) return fs.realpathSync(candidate)
    if (at === path.dirname(at)) return undefined
  }
}

/**
 * The packages of a project that ask for `engine.io`, and what each of them would load.
 *
 * @returns {{ name: string, version: string, where: string, range: string,
 *   engine: { name: string, version: string, folder: string } | undefined }[]} `folder` may be in an archive
 */
function findUsers(root) {
  const plugAndPlay = plugAndPlayOf(root)
  if (plugAndPlay) return findUsersOfPnp(createRequire(plugAndPlay)(plugAndPlay))
  const users = []
  for (const folder of [root, ...packagesBelow(path.join(root, 'node_modules'))]) {
    const manifest = readJson(path.join(folder, 'package.json'))
    const range = rangeOf(manifest, folder === root)
    if (range === undefined) continue
    const found = engineOf(folder)
    const { name, version } = (found && readJson(path.join(found, 'package.json'))) || {}
    users.push({
      name: manifest.name || 'this project',
      version: manifest.version,
      where: path.relative(root, folder) || '.',
      range,
      engine: found && { name, version, folder: found },
    })
  }
  return users
}

function rangeOf(manifest, isRoot) {
  const { dependencies, devDependencies, optionalDependencies } = manifest || {}
  return Object.assign({}, isRoot && devDependencies, optionalDependencies, dependencies)['engine.io']
}

/** The file by which Yarn's Plug'n'Play finds packages, which Node.js has to load first; undefined if there is none. */
function plugAndPlayOf(root) {
  const file = path.join(root, '.pnp.cjs')
  return fs.existsSync(file) ? file : undefined
}

/** Finds the users of engine.io with Yarn's Plug'n'Play, which has a table in place of folders. */
function findUsersOfPnp(pnp) {
  const users = []
  for (const locator of pnp.getAllLocators()) {
    const target = pnp.getPackageInformation(locator).packageDependencies.get('engine.io')
    // a package is a dependency of its own there
    if (target === undefined || locator.name === null || locator.name === 'engine.io') continue
    const found = Array.isArray(target)
      ? { name: target[0], reference: target[1] }
      : { name: 'engine.io', reference: target }
    users.push({
      name: locator.name,
      version: versionOf(locator.reference),
      where: 'Plug’n’Play',
      range: '',
      engine: found.reference
        ? {
            name: nameOf(found),
            version: versionOf(found.reference),
            folder: pnp.getPackageInformation(found).packageLocation,
          }
        : undefined,
    })
  }
  return users
}

const nameOf = ({ name, reference }) =>
  /npm:engine\.io-native@|^engine\.io-native/.test(`${reference}`) ? 'engine.io-native' : name

const versionOf = (reference) => /(\d+\.\d+\.\d+[^#:]*)(?:::.*)?$/.exec(reference)?.[1] ?? reference

module.exports = { findManager, findUsers, plugAndPlayOf, readJson, settingsOfPnpm }
