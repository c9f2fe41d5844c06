'use strict'

// Every block of code in README and the documents does what its reader would try: JavaScript runs, as a comment before
// the block says, JSON and YAML parse, systemd finds no fault with its units, and commands name scripts, stages and files
// that exist. Configurations of HAProxy and nginx are tried by __test__/cluster/balancers.test.js.
//
//   <!-- runs: echo -->              a real client connects by each transport, and gets back what it sends
//   <!-- runs: echo, as a module --> the same, as an ES module
//   <!-- runs: serves -->            a real client connects by each transport
//   <!-- runs: serves Socket.IO -->  the same, on the path of Socket.IO
//   <!-- runs: prints "text" -->     after a request for an unknown session the block has printed the text
//   <!-- runs: by itself -->         it runs and ends; `, as a module` here, too

const assert = require('node:assert')
const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { test } = require('node:test')
const { Socket: Client } = require('engine.io-client')
const yaml = require('yaml')
const { deadline } = require('../support')
const { namesWhatExists } = require('./commands')
const { scratchFolder } = require('./scratch')

const root = path.join(__dirname, '..', '..')
const host = path.join(root, '__test__', 'fixtures', 'code-block.js')
const balancers = path.join(root, '__test__', 'cluster', 'balancers.test.js')
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'examples/README.md',
  ...fs
    .readdirSync(path.join(root, 'docs'), { recursive: true })
    .filter((name) => name.endsWith('.md') && !name.startsWith('log'))
    .map((name) => `docs/${name}`),
]

/** The fenced blocks of a page: `{ line, language, text, runs }`. */
function blocksOf(page) {
  const found = []
  const lines = fs.readFileSync(path.join(root, page), 'utf8').split('\n')
  for (let at = 0; at < lines.length; at++) {
    const [, language] = /^```(\w+)$/.exec(lines[at]) ?? []
    if (language === undefined) continue
    const end = lines.indexOf('```', at)
    const before = lines[at - 1] === '' ? lines[at - 2] : lines[at - 1]
    const [, runs] = /^<!-- runs: (.*) -->$/.exec(before ?? '') ?? []
    found.push({ line: at + 1, language, text: lines.slice(at + 1, end).join('\n'), runs })
    at = end
  }
  return found
}

function filesOf(folder, pattern) {
  return fs
    .readdirSync(path.join(root, folder), { recursive: true })
    .filter((name) => pattern.test(name) && !name.includes('node_modules'))
    .map((name) => `${folder}/${name}`)
}

/** What is wrong with the documents of a file, or of a block. */
function yamlErrors(text) {
  return yaml.parseAllDocuments(text).flatMap(({ errors, warnings }) => [...errors, ...warnings].map(String))
}

/** Why systemd cannot be asked about a unit, or false. */
function withoutSystemd() {
  const { stdout } = spawnSync('systemd-analyze', ['--version'])
  const [, version] = /^systemd (\d+)/.exec(stdout) ?? []
  return Number(version) >= 250 ? false : 'there is no systemd-analyze 250 or later'
}

/** Runs a block in a process of its own, in a folder where this package is installed as `engine.io`. */
function start({ text, runs }) {
  const folder = scratchFolder()
  fs.mkdirSync(path.join(folder, 'node_modules'))
  fs.symlinkSync(root, path.join(folder, 'node_modules', 'engine.io'), 'junction')
  for (const name of ['socket.io', 'socket.io-client', 'engine.io-client', 'redis']) {
    fs.symlinkSync(path.join(root, 'node_modules', name), path.join(folder, 'node_modules', name), 'junction')
  }
  const file = path.join(folder, runs.endsWith('as a module') ? 'block.mjs' : 'block.cjs')
  fs.writeFileSync(file, text)
  const child = spawn(process.execPath, [host, file], {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '', NODE_TEST_CONTEXT: '' },
    stdio: ['ignore', 'pipe', 'pipe', runs.startsWith('by itself') ? 'ignore' : 'ipc'],
  })
  child.printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      child.printed += chunk
      child.emit('printed')
    })
  }
  return child
}

/** Resolves with the port on which a block's server listens. */
async function portOf(child) {
  const ended = once(child, 'close').then(([code]) => assert.fail(`The block ended with ${code}: ${child.printed}`))
  ended.catch(() => {})
  for (;;) {
    const [port] = await deadline(Promise.race([once(child, 'message'), ended]), 'the server of the block')
    // what the block itself sends is for a process manager
    if (typeof port === 'number') return port
  }
}

/** Connects a client; where the block `runs` an echo, it sends a message, and waits for the same. */
async function converse(port, transports, runs) {
  const echoes = runs.startsWith('echo')
  const path = runs.includes('Socket.IO') ? '/socket.io' : '/engine.io'
  const client = new Client(`ws://127.0.0.1:${port}`, { transports, path })
  const failed = new Promise((_, reject) => client.on('close', (reason, cause) => reject(new Error(reason, { cause }))))
  failed.catch(() => {})
  const first = (event) => Promise.race([new Promise((resolve) => client.once(event, resolve)), failed])
  await deadline(first('open'), 'open')
  if (echoes) {
    const message = first('message')
    client.send('hello')
    assert.equal(await deadline(message, 'the message'), 'hello')
  }
  client.close()
}

async function run(block) {
  const child = start(block)
  try {
    if (block.runs.startsWith('by itself')) {
      const [code] = await deadline(once(child, 'close'), 'the end of the block')
      assert.equal(code, 0, child.printed)
      return
    }
    const port = await portOf(child)
    const [, expected] = /^prints "(.*)"$/.exec(block.runs) ?? []
    if (expected !== undefined) {
      http
        .get({ port, host: '127.0.0.1', path: '/engine.io/?EIO=4&transport=polling&sid=unknown', agent: false })
        .on('response', (res) => res.resume())
        .on('error', () => {})
      while (!child.printed.includes(expected)) await deadline(once(child, 'printed'), `"${expected}" to be printed`)
      return
    }
    assert.match(
      block.runs,
      /^(echo|serves|serves Socket\.IO)(, as a module)?$/,
      'The comment before a block says how it is run.',
    )
    for (const transports of [['polling'], ['polling', 'websocket'], ['websocket']]) {
      await converse(port, transports, block.runs)
    }
    assert.equal(child.exitCode, null, child.printed)
  } finally {
    child.kill('SIGKILL')
  }
}

for (const page of pages) {
  for (const block of blocksOf(page)) {
    const name = `${page}:${block.line}`
    if (block.language === 'js' || block.language === 'ts') {
      test(`${name} runs: ${block.runs}`, () => {
        assert.ok(block.runs, 'A comment before the block has to say how it is run: <!-- runs: … -->')
        return run(block)
      })
    } else if (block.language === 'json') {
      test(`${name} is JSON`, () => assert.doesNotThrow(() => JSON.parse(block.text)))
    } else if (block.language === 'yaml') {
      test(`${name} is YAML`, () => assert.deepEqual(yamlErrors(block.text), []))
    } else if (block.language === 'ini') {
      test(`${name} is a unit of systemd`, () => {
        assert.deepEqual(
          block.text.split('\n').filter((line) => !/^(\[[A-Z]\w*\]|[A-Z]\w*=\S.*|# .+|)$/.test(line)),
          [],
        )
      })
      test(`systemd finds no fault with ${name}`, { skip: withoutSystemd() }, () => {
        const unit = path.join(scratchFolder(), 'app@.service')
        // that the program is there is not the page's affair
        fs.writeFileSync(unit, block.text.replace('/usr/bin/node', process.execPath))
        const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--recursive-errors=no', unit])
        assert.deepEqual([status, String(stderr)], [0, ''])
      })
    } else if (block.language === 'haproxy' || block.language === 'nginx') {
      test(`${name} is tried with ${block.language}`, () =>
        assert.match(fs.readFileSync(balancers, 'utf8'), new RegExp(`documented\\('${block.language}'`)))
    } else if (block.language === 'sh') {
      test(`${name} names scripts, stages and files that exist`, () =>
        assert.deepEqual(
          block.text.split('\n').filter((command) => !namesWhatExists(command, ['install'])),
          [],
        ))
    }
  }
}

for (const file of filesOf('examples', /\.ya?ml$/)) {
  test(`${file} is YAML`, () => assert.deepEqual(yamlErrors(fs.readFileSync(path.join(root, file), 'utf8')), []))
}

test('there are blocks of each kind', () => {
  const languages = new Set(pages.flatMap((page) => blocksOf(page).map(({ language }) => language)))
  for (const language of ['js', 'json', 'sh', 'yaml', 'ini', 'haproxy', 'nginx'])
    assert.ok(languages.has(language), language)
})
