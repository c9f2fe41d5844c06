'use strict'
// What a run leaves behind: NAME.json has what tables, reports and plots need, and is small enough to be committed;
// raw/NAME.json has every round, and is not (.gitignore).
const fs = require('fs')
const path = require('path')

const folder = path.join(__dirname, 'results')

/** Digits that a figure keeps. */
const DIGITS = 6

/** A result without its rounds, and without what rows.js says of its rows. */
function compact(result) {
  const { rows, ...rest } = result
  if (rows === undefined) return rest
  return {
    ...rest,
    rows: rows.map(({ id, title, kind, unit, target, engines }) => ({ id, title, kind, unit, target, engines })),
  }
}

/** JSON with one line for all that is nested deeper than `depth`. */
function text(value, depth, indent = '') {
  if (depth === 0 || value === null || typeof value !== 'object') {
    return JSON.stringify(value, (_, x) => (typeof x === 'number' ? Number(x.toPrecision(DIGITS)) : x))
  }
  const inner = `${indent} `
  const isArray = Array.isArray(value)
  const parts = Object.entries(value)
    .filter(([, x]) => x !== undefined)
    .map(([key, x]) => `${inner}${isArray ? '' : `${JSON.stringify(key)}: `}${text(x, depth - 1, inner)}`)
  if (parts.length === 0) return isArray ? '[]' : '{}'
  const [open, close] = isArray ? '[]' : '{}'
  return `${open}\n${parts.join(',\n')}\n${indent}${close}`
}

/**
 * @param {object} result of run.js or growth.js
 * @param {string} name without an ending
 * @param {string} [raw] file for the rounds, instead of results/raw/NAME.json
 * @returns {string[]} the files that were written
 */
function save(result, name, raw = path.join(folder, 'raw', `${name}.json`)) {
  const file = path.join(folder, `${name}.json`)
  fs.mkdirSync(path.dirname(raw), { recursive: true })
  fs.writeFileSync(raw, `${JSON.stringify(result)}\n`)
  fs.writeFileSync(file, `${text(compact(result), 4)}\n`)
  return [file, raw]
}

/** The result of that name, as it is committed. */
function read(name) {
  return JSON.parse(fs.readFileSync(path.join(folder, `${name}.json`), 'utf8'))
}

const exists = (name) => fs.existsSync(path.join(folder, `${name}.json`))

module.exports = { folder, save, read, exists }
