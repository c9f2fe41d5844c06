'use strict'

// Plain English, as CONTRIBUTING.md asks for it: no phrase that makes a reader stop stands in a document, in a comment,
// or in the text of an error.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const root = path.join(__dirname, '..', '..')

/** The phrases, what to write in their place, and an example of each. */
const RULES = [
  {
    phrase:
      /(?<!\bthere +)\b(?:is|are|was|were|be|been) +no\b(?! +(?:longer|more)\b)|\bor +no +(?:number|object|function)\b/gi,
    instead: '"is not a …", or what it is',
    example: 'Polling is no channel.',
  },
  { phrase: /\bso +(?:many|much)\b/gi, instead: 'the number, or "this many"', example: 'So many are few.' },
  { phrase: /\bwho(?:m|so)?ever\b/gi, instead: 'the name of the party', example: 'It is of whoever has it.' },
  { phrase: /\b(?:what|which|wher)ever\b/gi, instead: '"any", "each", or a name', example: 'It ends whatever came.' },
  { phrase: /\b(?:nobody|somebody)\b/gi, instead: 'a name, or the passive', example: 'Nobody listens.' },
  { phrase: /\bsee +the +module\b/gi, instead: 'what the module says', example: 'See the module.' },
  {
    phrase: /(?<=\| |\n[ \t]*(?:\/\/[/!]? |\/\*\* ))The same(?= (?:as|by|for|in|on|with)\b|[,;:.])/g,
    instead: 'what it is: a comment, or a row of a table, can be read alone',
    example: '\n| The same with TLS | it ends |',
  },
]

/** Exact places that need such a phrase, each with its reason. */
const ALLOWED = []

const DOCUMENTS = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'bench/README.md',
  '__test__/README.md',
  ...filesUnder('docs', '.md').filter((name) => !name.startsWith('docs/log/')),
]

const SOURCES = ['index.d.ts', ...filesUnder('lib', '.js'), ...filesUnder('src', '.rs')]

function filesUnder(folder, ending) {
  return fs.readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`
    if (entry.isDirectory()) return filesUnder(name, ending)
    return name.endsWith(ending) ? [name] : []
  })
}

/** Blanks of a text's length, so that what follows keeps its place. */
const blank = (text) => text.replace(/[^\n]/g, ' ')

/** A document without code, quotations and addresses. */
function prose(text) {
  return [/^```[\s\S]*?^```/gm, /`[^`]*`/g, /"[^"]*"/g, /\]\([^)]*\)/g].reduce(
    (rest, quoted) => rest.replace(quoted, blank),
    text,
  )
}

/** The phrases of a text, each with its line. The end of a line may separate their words, with the mark of a comment. */
function phrases(text) {
  const joined = text.replace(/(?<=\S)\n[ \t]*(?:(?:\/\/[/!]?|\*(?!\/)) ?)?(?=[a-z])/g, (gap) => ' '.repeat(gap.length))
  return RULES.flatMap(({ phrase, instead }) =>
    [...joined.matchAll(phrase)].map((found) => {
      const line = text.slice(0, found.index).split('\n').length
      return { line, text: found[0].trim(), instead }
    }),
  )
}

test('each phrase is found, over the end of a line, too, and what is like it is not', () => {
  for (const { example } of RULES) assert.equal(phrases(example).length, 1, example)
  assert.deepEqual(phrases('/// A value that is\n    /// no number.')[0]?.line, 1)
  assert.deepEqual(phrases('There is no timer. It is no longer open. It has no name. The same holds. It is so.'), [])
  assert.deepEqual(phrases(prose('`is no`, "whoever", and [a link](nobody.md)\n```\nso many\n```\n')), [])
})

for (const [what, files, read] of [
  ['documents', DOCUMENTS, prose],
  ['comments and errors', SOURCES, (text) => text],
]) {
  test(`no phrase in ${what} makes a reader stop`, () => {
    const found = files.flatMap((file) =>
      phrases(read(fs.readFileSync(path.join(root, file), 'utf8')))
        .filter(({ text }) => !ALLOWED.some((allowed) => allowed.file === file && allowed.text === text))
        .map(({ line, text, instead }) => `${file}:${line}: "${text}". Write ${instead}.`),
    )
    assert.deepEqual(found, [])
  })
}
