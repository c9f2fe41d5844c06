'use strict'

// The demo of `npm start`, as a person uses it: two tabs, the flood, the blocked event loop.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { upstream } = require('../support/engine')
const { launch } = require('./browser')

let browser
let server
let ada
let grace

before(async () => {
  const args = [path.join(__dirname, '../../examples/demo/server.js')]
  if (upstream) args.push('--engine=upstream')
  server = spawn(process.execPath, args, { env: { ...process.env, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit'] })
  const url = await printedUrl(server.stdout)
  browser = await launch()
  ada = await browser.newPage(url)
  grace = await browser.newPage(url)
  for (const page of [ada, grace]) await shows(page, '#transport', 'websocket')
})

after(async () => {
  await browser?.close()
  server.kill()
  await once(server, 'exit')
})

test('two tabs chat', async () => {
  await say(ada, 'Ada', 'hello, who is there? 🦀')
  await grace.waitForSelector('#log li >> text=hello, who is there? 🦀')
  await say(grace, 'Grace', 'me!')
  await ada.waitForSelector('#log li >> text=me!')
  assert.deepEqual(await ada.$$eval('#log b', (names) => names.map((name) => name.textContent)), ['Ada', 'Grace'])
})

test('the page shows the engine, the round trip and the people', async () => {
  await shows(ada, '#engine', upstream ? 'engine.io' : 'engine.io-native')
  await shows(ada, '#people', '2')
  await ada.waitForFunction(() => Number(document.querySelector('#rtt').textContent) > 0)
})

test('the flood starts, is counted, and stops', async () => {
  await ada.click('label:has(input[value="1000"])')
  await grace.waitForFunction(() => Number(document.querySelector('#rate').textContent.replace(/\D/g, '')) > 500)
  await grace.waitForFunction(() => document.querySelector('#connections').textContent === '102')
  assert.ok(await grace.isChecked('input[value="1000"]'))
  await grace.click('label:has(input[value="0"])')
  await ada.waitForFunction(() => document.querySelector('#connections').textContent === '2')
})

const outcome = upstream ? 'throws the tab out' : 'is survived, with heartbeats going on'
test(`a blocked event loop ${outcome}`, async () => {
  await ada.click('#block')
  await ada.waitForSelector(upstream ? '.verdict.bad' : '.verdict.good')
  const verdict = await ada.textContent('#verdict')
  if (upstream) assert.match(verdict, /thrown out/)
  else assert.match(verdict, /Still connected: [2-9] heartbeats/)
})

test('the pages report no error', () => {
  assert.deepEqual([...ada.problems, ...grace.problems], [])
})

async function printedUrl(stdout) {
  let text = ''
  for await (const chunk of stdout.setEncoding('utf8')) {
    text += chunk
    const [url] = /http:\S+/.exec(text) ?? []
    if (url) return url
  }
  throw new Error(`the demo printed no URL: ${text}`)
}

function shows(page, selector, text) {
  return page.waitForFunction(
    ([selector, text]) => document.querySelector(selector).textContent === text,
    [selector, text],
  )
}

async function say(page, name, text) {
  await page.fill('#name', name)
  await page.fill('#text', text)
  await page.press('#text', 'Enter')
}
