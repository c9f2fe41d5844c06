'use strict'

// The examples, as a person uses them: each in a process of its own, with tabs of Chromium.

const assert = require('node:assert')
const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { launch } = require('./browser')

const folder = path.join(__dirname, '../../examples')
const servers = []
let browser

before(async () => {
  browser = await launch({ ignoreHTTPSErrors: true })
})

after(async () => {
  await browser?.close()
  for (const server of servers) {
    if (server.exitCode !== null || server.signalCode !== null) continue
    server.kill()
    await once(server, 'exit')
  }
})

/** Starts an example, on the package of this checkout. */
function start(name, env) {
  const args = ['--require', path.join(folder, 'local.js'), path.join(folder, name, 'server.js')]
  const server = spawn(process.execPath, args, {
    env: { ...process.env, NODE_OPTIONS: '', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  servers.push(server)
  server.stdout.setEncoding('utf8')
  return server
}

/** Resolves with the first match in what a server prints. */
async function printed(server, pattern) {
  let text = ''
  const ended = once(server, 'close').then(() =>
    assert.fail(`The example ended without a match of ${pattern}: ${text}`),
  )
  const matched = new Promise((resolve) => {
    server.stdout.on('data', (chunk) => {
      text += chunk
      const found = pattern.exec(text)
      if (found) resolve(found)
    })
  })
  return Promise.race([matched, ended])
}

async function open(server, tabs) {
  const [url] = await printed(server, /https?:\S+/)
  return Promise.all(Array.from({ length: tabs }, () => browser.newPage(url)))
}

const shows = (page, selector, text) =>
  page.waitForFunction(([selector, text]) => document.querySelector(selector).textContent === text, [selector, text])

async function say(page, text) {
  await page.fill('#text', text)
  await page.click('button')
}

test('chat: two tabs hear each other, and see who is there', async () => {
  const [ada, grace] = await open(start('chat'), 2)
  for (const page of [ada, grace]) await shows(page, '#transport', 'websocket')
  await shows(ada, '#people', '2')
  await say(ada, 'hello')
  await grace.waitForSelector('#log li >> text=hello')
  await grace.close()
  await shows(ada, '#people', '1')
  assert.deepEqual(ada.problems, [])
})

test('express-socket.io: a message reaches its room only, and each room sees how many are in it', async () => {
  const [ada, grace] = await open(start('express-socket.io'), 2)
  for (const page of [ada, grace]) await shows(page, '#transport', 'websocket')
  for (const page of [ada, grace]) await shows(page, '#people', '2')
  await grace.selectOption('#room', 'attic')
  for (const page of [ada, grace]) await shows(page, '#people', '1')
  await say(ada, 'for the garden')
  await ada.waitForSelector('#log li >> text=for the garden')
  await ada.selectOption('#room', 'attic')
  await shows(ada, '#people', '2')
  await say(ada, 'for the attic')
  await grace.waitForSelector('#log li >> text=for the attic')
  assert.equal(await grace.locator('#log li').count(), 1)
  assert.deepEqual([...ada.problems, ...grace.problems], [])
})

test('https: a tab is greeted with the version of TLS, and hears its echo', async () => {
  const [page] = await open(start('https'), 1)
  await shows(page, '#transport', 'websocket')
  await page.waitForSelector('#log li >> text=/hello over TLSv1/')
  await say(page, 'hello')
  await page.waitForSelector('#log li >> text=/^hello$/')
  assert.deepEqual(page.problems, [])
})

test('latency: both plots are drawn', async () => {
  const [page] = await open(start('latency'), 1)
  for (const name of ['polling', 'websocket']) {
    await page.waitForFunction((id) => Number(document.getElementById(id).textContent) > 0, `${name}-median`)
    await page.waitForFunction((id) => /L/.test(document.getElementById(id).getAttribute('d')), `${name}-line`)
  }
  assert.deepEqual(page.problems, [])
})

test('ten-thousand: all clients come, and their memory is shown', async () => {
  const [, each] = await printed(start('ten-thousand', { CLIENTS: '500' }), /^ +500 .* MiB +([\d.]+) KiB/m)
  assert.ok(Number(each) > 0)
})

test('migration: both engines are measured, and doctor --fix makes the change', async () => {
  const server = start('migration', { SECONDS: '0.5' })
  const ended = once(server, 'exit')
  await printed(server, /^before +\d+ .*\n(.*\n)*after +\d+ .*\n(.*\n)*The change/m)
  assert.deepEqual(await ended, [0, null])
  const project = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-migration-'))
  try {
    const manifest = path.join(project, 'package.json')
    fs.copyFileSync(path.join(folder, 'migration', 'before.package.json'), manifest)
    execFileSync(process.execPath, [path.join(folder, '../lib/cli/bin.js'), 'doctor', '--fix'], { cwd: project })
    assert.deepEqual(
      JSON.parse(fs.readFileSync(manifest, 'utf8')),
      JSON.parse(fs.readFileSync(path.join(folder, 'migration', 'after.package.json'), 'utf8')),
    )
  } finally {
    fs.rmSync(project, { recursive: true })
  }
})

test('cluster: only clients of a process that is restarted connect again, and those of a killed one do so, too', async () => {
  const [page] = await open(start('cluster', { CLIENTS: '24' }), 1)
  page.setDefaultTimeout(60_000)
  /** The names of the clients whose sessions each process owns, of one kind or of all. */
  const owned = (kind = '') =>
    page.$$eval(
      '#processes article',
      (all, kind) => all.map((one) => [...one.querySelectorAll(`li${kind}`)].map((client) => client.textContent)),
      kind,
    )
  /** Waits until a number is above 0 for `every` process, or for `some` of them. */
  const isAboveZero = (name, which) =>
    page.waitForFunction(
      ([name, which]) =>
        [...document.querySelectorAll('#processes dl')][which]((list) => {
          const title = [...list.querySelectorAll('dt')].find(({ textContent }) => textContent === name)
          return Number(title.nextSibling.textContent) > 0
        }),
      [name, which],
    )
  const allAreUp = () =>
    page.waitForFunction(
      () =>
        document.querySelectorAll('#processes li').length === 25 &&
        document.querySelectorAll('#processes li.polling').length === 8 &&
        document.querySelector('#open').textContent === '24' &&
        document.querySelectorAll('.restarting').length === 0,
    )
  /** Clicks buttons of a process, and waits until another one has taken its place. */
  const replaces = async (place, ...buttons) => {
    const selector = `#process-${place + 1} .pid`
    const pid = await page.textContent(selector)
    const clicked = buttons.map((button) => `#process-${place + 1} .${button}`)
    await page.evaluate((all) => all.forEach((one) => document.querySelector(one).click()), clicked)
    await page.waitForFunction(
      ([selector, pid]) => /^pid \d+$/.test(document.querySelector(selector).textContent.replace(pid, '')),
      [selector, pid],
    )
  }

  await allAreUp()
  await shows(page, '#transport', 'websocket')
  await isAboveZero('requests that came here', 'every')
  await isAboveZero('polls and POSTs passed on', 'every')
  await isAboveZero('polls and POSTs passed here', 'some')
  await isAboveZero('WebSockets moved away', 'some')
  await isAboveZero('WebSockets moved here', 'some')

  assert.ok((await owned('.polling')).flat().every((name) => name.startsWith('poll')))
  assert.deepEqual((await owned('.again')).flat(), [])

  const before = await owned()
  assert.ok(before.filter((names) => names.length > 0).length >= 2, JSON.stringify(before))
  const place = before.findIndex((names) => names.length > 0 && !names.some((name) => name.startsWith('you')))
  assert.notEqual(place, -1, JSON.stringify(before))
  await replaces(place, 'restart')
  await shows(page, '#reconnects', String(before[place].length))
  await allAreUp()
  await shows(page, '#reconnects', String(before[place].length))
  assert.deepEqual((await owned('.again')).flat().sort(), before[place].toSorted())
  const echoes = Number(await page.textContent('#echoes'))
  await page.waitForFunction((least) => Number(document.querySelector('#echoes').textContent) > least, echoes + 48)
  await shows(page, '#gaps', '0')
  const after = await owned()
  for (const [at, names] of before.entries()) {
    const missing = names.filter((name) => at !== place && !after[at].includes(name))
    assert.deepEqual(missing, [], `sessions of process ${at + 1}, which has gone on`)
  }

  assert.deepEqual(page.consoleErrors, [])

  await replaces(place, 'kill')
  await allAreUp()
  // its successor has not started yet
  await replaces(place, 'restart', 'kill')
  await allAreUp()
  await shows(page, '#gaps', '0')
  assert.deepEqual(page.problems, [])
})

test('each example stands in the list, and those that are projects have adopted the package', () => {
  const list = fs.readFileSync(path.join(folder, 'README.md'), 'utf8')
  const names = fs.readdirSync(folder).filter((name) => fs.statSync(path.join(folder, name)).isDirectory())
  for (const name of names) {
    assert.ok(list.includes(`](${name}/`), `examples/README.md does not list ${name}`)
    const file = path.join(folder, name, 'package.json')
    if (!fs.existsSync(file)) continue
    const manifest = JSON.parse(fs.readFileSync(file, 'utf8'))
    assert.equal(manifest.scripts.start, 'node server.js')
    assert.ok(
      [manifest.dependencies, manifest.overrides].some(
        (field) => field?.['engine.io'] === 'npm:engine.io-native@6.6.x',
      ),
    )
  }
})
