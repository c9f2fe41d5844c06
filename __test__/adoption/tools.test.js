'use strict'

// Tools that have Socket.IO within them.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const { installApp } = require('../packaging/app')
const { run } = require('../packaging/scratch')
const { dependenciesOn } = require('./versions')

const TOOLS = ['browser-sync', 'karma']

let app

before(() => {
  const read = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8')
  const programs = TOOLS.map((name) => [`run-${name}.js`, read(`programs/${name}.js`)])
  const files = { 'check.js': read('check.js'), 'hello.html': '<p>hello</p>', ...Object.fromEntries(programs) }
  app = installApp(dependenciesOn(...TOOLS), files)
})

for (const name of TOOLS) {
  test(`${name}: polling, upgrade, WebSocket and a page`, () => {
    const { status, output } = run(app, `run-${name}.js`)
    assert.equal(status, 0, output.slice(0, 2000))
    assert.match(output, /it works/)
  })
}
