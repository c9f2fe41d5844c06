'use strict'

// What a command of a document names has to be there.

const fs = require('node:fs')
const path = require('node:path')
const { scripts } = require('../../package.json')

const root = path.join(__dirname, '..', '..')

/** The stages of `npm test`. */
function stages() {
  const text = fs.readFileSync(path.join(root, 'scripts', 'test.js'), 'utf8')
  const table = /^const stages = \{\n([^]*?)^\}/m.exec(text)[1]
  return [...table.matchAll(/^ {2}'?([\w-]+)'?[:,]/gm)].map(([, name]) => name)
}

/**
 * Returns whether the scripts, stages and files that a command names exist. Other programs than npm and Node.js name none.
 *
 * @param {string[]} [ofNpm] words that npm knows by itself
 */
function namesWhatExists(command, ofNpm = []) {
  const [program, ...args] = command
    .replace(/\s*#.*/, '')
    .trim()
    .split(/\s+/)
    .filter((word) => !/^[A-Z_]+=/.test(word))
  if (program === 'npm') {
    const [name, separator, ...rest] = args[0] === 'run' ? args.slice(1) : args
    if (ofNpm.includes(name)) return true
    if (!scripts[name]) return false
    const named = name === 'test' && separator === '--' ? rest : []
    return named.every((stage) => /^(--upstream|NAME)$/.test(stage) || stages().includes(stage))
  }
  const files = program === 'node' ? args.filter((arg) => arg.includes('/')) : []
  return files.every((file) => fs.existsSync(path.join(root, file.includes('*') ? path.dirname(file) : file)))
}

module.exports = { namesWhatExists, stages }
