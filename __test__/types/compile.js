'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after } = require('node:test')
const ts = require('typescript')
const { upstream } = require('../support/engine')
const original = require('../support/original')

const root = path.join(__dirname, '../..')
const modules = path.join(root, 'node_modules')
const programs = path.join(__dirname, 'programs')

const RESOLUTIONS = {
  node10: { module: ts.ModuleKind.CommonJS, moduleResolution: ts.ModuleResolutionKind.Node10 },
  node16: { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 },
  bundler: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
}

/**
 * An app in which `engine.io` is this package, as npm's `overrides` makes it: for the programs of the app and for
 * Socket.IO alike. Everything else is linked to what the checkout has installed.
 */
function scratchApp(type) {
  const app = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-types-')))
  after(() => fs.rmSync(app, { recursive: true, force: true }))
  fs.writeFileSync(path.join(app, 'package.json'), JSON.stringify({ private: true, type }))
  fs.mkdirSync(path.join(app, 'node_modules'))
  const link = (from, name) => fs.symlinkSync(from, path.join(app, 'node_modules', name), 'junction')
  for (const name of fs.readdirSync(modules)) {
    if (!name.startsWith('.') && name !== 'engine.io') link(path.join(modules, name), name)
  }
  if (upstream) {
    link(original.folder, 'engine.io')
  } else {
    const ours = path.join(app, 'node_modules/engine.io')
    fs.mkdirSync(ours)
    for (const file of ['package.json', 'index.d.ts', 'lib/metrics/index.d.ts', 'lib/cluster-engine/index.d.ts'])
      fs.cpSync(path.join(root, file), path.join(ours, file))
  }
  for (const file of fs.readdirSync(programs)) fs.copyFileSync(path.join(programs, file), path.join(app, file))
  return app
}

/** The program of one source file of an app. */
function compile(app, file, resolution) {
  return ts.createProgram([path.join(app, file)], {
    ...RESOLUTIONS[resolution],
    target: ts.ScriptTarget.ES2022,
    strict: true,
    noEmit: true,
    preserveSymlinks: true,
    types: ['node'],
    typeRoots: [path.join(app, 'node_modules/@types')],
  })
}

/** What the compiler objects to, in the program itself, in the engine's and in Socket.IO's declarations. */
function complaints(program) {
  const checked = program.getSourceFiles().filter(({ fileName }) => isChecked(fileName))
  const found = checked.flatMap((file) => [
    ...program.getSyntacticDiagnostics(file),
    ...program.getSemanticDiagnostics(file),
  ])
  return [...program.getGlobalDiagnostics(), ...program.getOptionsDiagnostics(), ...found].map(describe)
}

function isChecked(file) {
  const library = /\/node_modules\/(?!.*\/node_modules\/)([^/]+)/.exec(file)
  return library === null || ['engine.io', 'socket.io'].includes(library[1])
}

function describe({ file, start, messageText }) {
  const text = ts.flattenDiagnosticMessageText(messageText, '\n')
  if (!file) return text
  const { line } = file.getLineAndCharacterOfPosition(start)
  return `${path.basename(file.fileName)}:${line + 1} ${text}`
}

module.exports = { RESOLUTIONS, scratchApp, compile, complaints, root, upstream }
