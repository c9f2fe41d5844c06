'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { chromium } = require('playwright-core')
const { findChromium } = require('../../scripts/setup')

/**
 * A headless Chromium with a profile of its own that talks to nobody but the page.
 *
 * @returns {Promise<{ newPage: (url: string) => Promise<import('playwright-core').Page>, close: () => Promise<void> }>}
 */
async function launch(options) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'engine.io-native-chromium-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: findChromium(),
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
    ...options,
  })
  return {
    async newPage(url) {
      const page = await context.newPage()
      page.setDefaultTimeout(15_000)
      const problems = []
      page.on('pageerror', (error) => problems.push(error))
      page.problems = problems
      // these are about requests that fail, too, which some tests bring about
      page.consoleErrors = []
      page.on('console', (line) => line.type() === 'error' && page.consoleErrors.push(line.text()))
      await page.goto(url)
      return page
    },
    async close() {
      await context.close()
      fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

module.exports = { launch }
