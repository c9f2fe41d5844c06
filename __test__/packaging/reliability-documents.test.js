'use strict'

// What the documents about reliability and safety name must exist: a promise is as good as its test.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const root = path.join(__dirname, '../..')
const FOLDERS = [
  '__test__/behaviour',
  '__test__/conformance',
  '__test__/hostile',
  '__test__/packaging',
  '__test__/reliability',
]

const exists = (file) => fs.existsSync(path.join(root, file))

for (const name of ['docs/RELIABILITY.md', 'docs/SAFETY.md', 'fuzz/README.md']) {
  const text = fs.readFileSync(path.join(root, name), 'utf8')

  test(`files that ${name} names exist`, () => {
    const named = [...text.matchAll(/(?<![\w.*/-])((?:[\w.-]+\/)*[\w.-]+\.(?:test\.js|js|rs))(?![\w-])/g)]
      .map((match) => match[1])
      .filter((file) => !['Node.js', 'uWebSockets.js'].includes(file))
    assert.ok(named.length > 5, 'it names files')
    const places = [
      '',
      'fuzz/',
      'scripts/',
      'src/node/',
      'src/http/',
      'tests/',
      ...FOLDERS.map((folder) => `${folder}/`),
    ]
    assert.deepEqual(
      named.filter((file) => !places.some((place) => exists(place + file))),
      [],
    )
  })

  test(`stages and scripts of commands in ${name} exist`, () => {
    const stages = /const stages = \{([^]*?)\n\}/.exec(fs.readFileSync(path.join(root, 'scripts/test.js'), 'utf8'))[1]
    for (const [, stage] of text.matchAll(/npm test -- ([\w-]+)/g))
      assert.match(stages, new RegExp(`^  '?${stage}'?[:,]`, 'm'), stage)
    const modes = fs.readFileSync(path.join(root, 'scripts/sanitize.js'), 'utf8')
    for (const [, mode] of text.matchAll(/scripts\/sanitize\.js (\w+)/g))
      assert.match(modes, new RegExp(`^  ${mode}[:(,]`, 'm'), mode)
  })
}
