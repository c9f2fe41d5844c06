'use strict'

// The documents that say which test holds what: no file they name may be missing.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const root = path.join(__dirname, '..', '..')
const behaviour = path.join(root, '__test__', 'behaviour')

/** The cells of a document's tables, by the heading of their column. */
function cells(file, heading) {
  const found = []
  let column = -1
  for (const line of fs.readFileSync(path.join(root, 'docs', file), 'utf8').split('\n')) {
    if (!line.startsWith('|')) {
      column = -1
      continue
    }
    const row = line
      .slice(1, line.lastIndexOf('|'))
      .split(' | ')
      .map((cell) => cell.trim())
    if (column === -1) column = row.indexOf(heading)
    else if (!/^-+$/.test(row[column] ?? '-')) found.push(row[column])
  }
  return found
}

/** The test files that a cell names: behaviour files by their bare names, folders and others in backquotes. */
function named(cell) {
  const text = cell.replace(/\([^)]*\)/g, '')
  const quoted = [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name)
  const bare = text
    .replace(/`[^`]+`/g, '')
    .split(/[\s,]+/)
    .filter((word) => /^[a-z][a-z0-9-]*$/.test(word))
  return { quoted, bare }
}

for (const [file, heading] of [
  ['COMPATIBILITY.md', 'tests'],
  ['DIFFERENCES.md', 'test'],
]) {
  test(`every test that ${file} names exists`, () => {
    const tests = cells(file, heading)
    assert.ok(tests.length >= 30, `${tests.length} rows found`)
    const missing = []
    for (const cell of tests) {
      if (cell === 'the tables above') continue
      const { quoted, bare } = named(cell)
      assert.ok(quoted.length + bare.length > 0, `"${cell}" names no test`)
      for (const name of quoted) if (!fs.existsSync(path.join(root, name))) missing.push(name)
      for (const name of bare) if (!fs.existsSync(path.join(behaviour, `${name}.test.js`))) missing.push(name)
    }
    assert.deepEqual(missing, [])
  })
}

test('every row of DIFFERENCES.md says why, and what users of the real clients see', () => {
  const rows = cells('DIFFERENCES.md', '#').length
  for (const heading of ['reason', 'what users of real clients see']) {
    const said = cells('DIFFERENCES.md', heading).filter((cell) => cell !== undefined && cell !== '')
    assert.equal(said.length, rows, heading)
  }
})

test('COMPATIBILITY.md names every file of behaviour tests', () => {
  const tests = new Set(cells('COMPATIBILITY.md', 'tests').flatMap((cell) => named(cell).bare))
  const files = fs.readdirSync(behaviour).filter((file) => file.endsWith('.test.js'))
  assert.deepEqual(
    files.filter((file) => !tests.has(file.replace('.test.js', ''))),
    [],
  )
})

test('COMPATIBILITY.md names every row of sections F and G, or says why it is not covered', () => {
  const text = fs.readFileSync(path.join(root, 'docs', 'COMPATIBILITY.md'), 'utf8')
  for (const [letter, last] of [
    ['F', 77],
    ['G', 136],
  ]) {
    const start = text.indexOf(`\n### ${letter}: `)
    const section = text.slice(start, text.indexOf('\n##', start + 5))
    const rows = new Set()
    for (const [, numbers] of section.matchAll(/^\| ([\d, -]+) /gm)) {
      for (const part of numbers.split(',')) {
        const [from, to = from] = part.split('-').map(Number)
        for (let row = from; row <= to; row++) rows.add(row)
      }
    }
    for (const [, number] of text.matchAll(new RegExp(`^\\| ${letter}-(\\d+) `, 'gm'))) rows.add(Number(number))
    const all = Array.from({ length: last }, (_, index) => index + 1)
    assert.deepEqual(
      all.filter((row) => !rows.has(row)),
      [],
    )
  }
})
