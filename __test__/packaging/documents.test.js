'use strict'

// The documents that say which test holds what: no file they name may be missing.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { namesWhatExists, stages } = require('./commands')

const root = path.join(__dirname, '..', '..')
const behaviour = path.join(root, '__test__', 'behaviour')

const read = (file) => fs.readFileSync(path.join(root, file), 'utf8')

/** The catalogue of the original's behaviour, with its history. */
const catalogue = () => read('docs/BEHAVIOUR.md') + read('docs/log/2026-11-original.md')

/** The parts of the catalogue that can be cited: sections (B-3), their numbered points (B-7.6), rows of tables (G-64). */
function parts() {
  const found = []
  let section
  for (const line of catalogue().split('\n')) {
    const [, heading] = /^### ([A-J]-\d+) /.exec(line) ?? []
    const [, row] = /^\| ([A-J]-\d+) \|/.exec(line) ?? []
    const [, point] = /^(\d+)\. /.exec(line) ?? []
    if (/^##/.test(line)) section = heading
    if (heading ?? row) found.push(heading ?? row)
    if (point) found.push(`${section}.${point}`)
  }
  return found
}

/** The files under some folders whose names end in one of `endings`. */
function filesUnder(folders, endings) {
  const found = []
  for (const folder of folders) {
    for (const entry of fs.readdirSync(path.join(root, folder), { withFileTypes: true })) {
      const name = `${folder}/${entry.name}`
      if (entry.isDirectory()) found.push(...filesUnder([name], endings))
      else if (endings.some((ending) => name.endsWith(ending))) found.push(name)
    }
  }
  return found
}

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

/** The tables that name tests: by the public API, and by the parts of the catalogue. */
const TESTS = ['COMPATIBILITY.md', '../__test__/CATALOGUE.md']

for (const [file, heading] of [...TESTS.map((name) => [name, 'tests']), ['DIFFERENCES.md', 'test']]) {
  test(`every test that ${file} names exists`, () => {
    const tests = cells(file, heading)
    assert.ok(tests.length >= 30, `${tests.length} rows found`)
    const missing = []
    for (const cell of tests) {
      if (cell === 'the tables of COMPATIBILITY.md') continue
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

test('COMPATIBILITY.md and CATALOGUE.md name every file of behaviour tests', () => {
  const tests = new Set(TESTS.flatMap((file) => cells(file, 'tests')).flatMap((cell) => named(cell).bare))
  const files = fs.readdirSync(behaviour).filter((file) => file.endsWith('.test.js'))
  assert.deepEqual(
    files.filter((file) => !tests.has(file.replace('.test.js', ''))),
    [],
  )
})

test('CATALOGUE.md names every row of sections F and G, or COMPATIBILITY.md says why it is not covered', () => {
  const text = TESTS.map((file) => read(path.join('docs', file))).join('\n')
  for (const letter of ['F', 'G']) {
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
    const all = parts()
      .filter((part) => part.startsWith(`${letter}-`))
      .map((part) => Number(part.slice(2)))
    assert.ok(all.length > 50, `${all.length} rows of ${letter} found`)
    assert.deepEqual(
      all.filter((row) => !rows.has(row)),
      [],
    )
  }
})

test('each part of the catalogue has an identifier of its own', () => {
  const seen = parts()
  assert.deepEqual(
    seen.filter((part, index) => seen.indexOf(part) !== index),
    [],
  )
})

test('every part of the catalogue that tests, code and documents cite exists', () => {
  const known = new Set(parts())
  const cited = filesUnder(['__test__', 'tests', 'lib', 'src', 'docs'], ['.js', '.rs', '.md'])
  const missing = []
  let count = 0
  for (const file of cited) {
    for (const [, part] of read(file).matchAll(/(?<![\w/-])([A-J]-\d+(?:\.\d+)?)(?![\w-])/g)) {
      count++
      if (!known.has(part)) missing.push(`${file}: ${part}`)
    }
  }
  assert.ok(count > 200, `${count} citations found`)
  assert.deepEqual(missing, [])
})

test('every difference that the catalogue names is a row of DIFFERENCES.md', () => {
  const rows = new Set(cells('DIFFERENCES.md', '#'))
  const text = catalogue()
  const named = [...text.matchAll(/[Dd]ifferences? ([\d, andto]+)/g)].map(([, numbers]) => numbers)
  named.push(...cells('log/2026-11-original.md', 'difference'))
  const numbers = named.flatMap((list) => list.match(/\d+/g) ?? [])
  assert.ok(numbers.length > 40, `${numbers.length} numbers found`)
  assert.deepEqual(
    numbers.filter((number) => !rows.has(number)),
    [],
  )
})

/** The anchors of a document's headings, as GitHub makes them. */
function anchors(text) {
  const headings = text.replace(/^```[^]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)
  return new Set(
    [...headings].map(([, heading]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\- _]/gu, '')
        .replace(/ /g, '-'),
    ),
  )
}

test('every link of a document leads to a file, and to a heading of it', () => {
  const documents = ['README.md', 'CHANGELOG.md', 'bench/README.md', 'fuzz/README.md']
  documents.push(...filesUnder(['docs', '__test__'], ['.md']))
  const broken = []
  let count = 0
  for (const document of documents) {
    for (const [, target] of read(document)
      .replace(/`[^`\n]*`/g, '')
      .matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      count++
      const [file, anchor] = target.split('#')
      const linked = file === '' ? document : path.join(path.dirname(document), file)
      if (!fs.existsSync(path.join(root, linked))) broken.push(`${document}: ${target}`)
      else if (anchor !== undefined && !anchors(read(linked)).has(anchor)) broken.push(`${document}: ${target}`)
    }
  }
  assert.ok(count > 50, `${count} links found`)
  assert.deepEqual(broken, [])
})

test('SCALING.md leads to every page of docs/scaling', () => {
  const linked = [...read('docs/SCALING.md').matchAll(/\]\((scaling\/[^)#]+)/g)].map(([, target]) => `docs/${target}`)
  assert.deepEqual([...new Set(linked)].sort(), filesUnder(['docs/scaling'], ['.md']).sort())
})

test('the tables of the documents are those of the committed results', () => {
  const { status, stderr } = spawnSync(process.execPath, ['bench/tables.js', '--check'], {
    cwd: root,
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
})

test('bench/results has compact results, and their reports with the plots that these show', () => {
  const folder = path.join(root, 'bench', 'results')
  const files = fs.readdirSync(folder).filter((name) => !name.startsWith('local') && name !== 'raw')
  const reports = files.filter((name) => name.endsWith('.md'))
  const shown = reports.flatMap((name) =>
    [...fs.readFileSync(path.join(folder, name), 'utf8').matchAll(/!\[[^\]]*\]\(([^)]+)\)/g)].map(([, file]) => file),
  )
  const expected = [...reports, ...reports.map((name) => name.replace('.md', '.json')), ...shown]
  assert.deepEqual(files.sort(), expected.sort())
  for (const name of files.filter((file) => file.endsWith('.json'))) {
    const { rows = [] } = JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'))
    assert.ok(
      rows.every((row) => row.samples === undefined),
      `${name} has rounds, which belong in bench/results/raw/`,
    )
  }
})

test('every path, link and command that CONTRIBUTING.md names exists', () => {
  const text = fs.readFileSync(path.join(root, 'CONTRIBUTING.md'), 'utf8')
  const prose = text.replace(/```[^]*?```/g, '')
  const code = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, words]) => words)
  for (const [, block] of text.matchAll(/```sh\n([^]*?)```/g)) code.push(...block.trim().split('\n'))
  const missing = []
  const expect = (isThere, what) => isThere || missing.push(what)
  const isFile = (name) => fs.existsSync(path.join(root, name))

  for (const [, target] of prose.matchAll(/\]\(([^)#]+)[^)]*\)/g)) expect(isFile(target), target)
  for (const words of code) {
    const [command, ...args] = words.split(' ')
    expect(namesWhatExists(words), words)
    if (/^(\.?\w[\w.-]*\/|__test__)/.test(command) && args.length === 0) {
      expect(isFile(command), words)
    }
  }
  assert.deepEqual(missing, [])
})

test('CONTRIBUTING.md names every stage of npm test', () => {
  const text = fs.readFileSync(path.join(root, 'CONTRIBUTING.md'), 'utf8')
  const rows = [...text.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell]) => cell.match(/[\w-]+/g))
  assert.deepEqual(rows.sort(), stages().sort())
})

/** Whether a file defines a function of this name: `name`, `Type::name` or `[kSymbol]`. */
function hasFunction(file, name) {
  const text = read(file)
  const [last, type] = name.split('::').reverse()
  if (type !== undefined && !new RegExp(`^impl.*\\b${type}\\b`, 'm').test(text)) return false
  if (file.endsWith('.rs')) return new RegExp(`\\bfn ${last}\\b`).test(text)
  const escaped = last.replace(/[[\]$]/g, '\\$&')
  return new RegExp(`^(  )?(async )?(function )?${escaped}\\(.*\\) \\{$`, 'm').test(text)
}

for (const page of ['life-of-a-message.md', 'life-of-a-poll.md', 'life-of-an-upgrade.md']) {
  test(`every file and function that ${page} names exists`, () => {
    const files = cells(page, 'file')
    const functions = cells(page, 'function')
    assert.ok(files.length >= 15 && files.length === functions.length, `${files.length} steps found`)
    const missing = []
    files.forEach((cell, step) => {
      const [file] = named(cell).quoted
      if (!fs.existsSync(path.join(root, file))) missing.push(file)
      else
        missing.push(
          ...named(functions[step])
            .quoted.filter((name) => !hasFunction(file, name))
            .map((name) => `${file}: ${name}`),
        )
    })
    const prose = read(`docs/${page}`).replace(/^\|.*$/gm, '')
    for (const [, file] of prose.matchAll(/`((?:lib|src)\/[\w/.-]+)`/g))
      if (!fs.existsSync(path.join(root, file))) missing.push(file)
    for (const [, list, file] of prose.matchAll(/((?:`[^`]+`(?:, | and )?)+) in `((?:lib|src)\/[\w/.-]+)`/g))
      for (const name of named(list).quoted) if (!hasFunction(file, name)) missing.push(`${file}: ${name}`)
    assert.deepEqual(missing, [])
  })
}

test('every file and test that FAST-PATHS.md names exists', () => {
  const rows = read('docs/FAST-PATHS.md')
    .split('\n')
    .filter((line) => /^\| [A-Z]/.test(line))
  assert.ok(rows.length >= 15, `${rows.length} fast paths`)
  const missing = rows.flatMap((row) => {
    const columns = row.split(' | ')
    const files = [...columns[1].matchAll(/`((?:lib|src)\/[\w/.-]+)`/g)].map(([, file]) => file)
    assert.ok(files.length > 0, row)
    const tests = columns.length < 6 ? [] : [...columns[4].matchAll(/`([\w/-]+)`/g)].map(([, name]) => name)
    const testFiles = tests.map((name) => `__test__/${name.includes('/') ? '' : 'behaviour/'}${name}.test.js`)
    return [...files, ...testFiles].filter((file) => !fs.existsSync(path.join(root, file)))
  })
  assert.deepEqual(missing, [])
})
