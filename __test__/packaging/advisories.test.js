'use strict'

// docs/ADVISORIES.md against the list: each advisory has a row and a test, and the versions at hand are in no range. Then
// the script that compares the list with the live one, by npm and a registry on loopback.

const assert = require('node:assert')
const { execFile } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const { createServer } = require('node:http')
const path = require('node:path')
const { buffer } = require('node:stream/consumers')
const { describe, test } = require('node:test')
const { gunzipSync } = require('node:zlib')
const { affects, differences, inUse, rangesOf } = require('../../scripts/advisories')
const advisories = require('./advisories.json')

const root = path.join(__dirname, '../..')
const page = fs.readFileSync(path.join(root, 'docs/ADVISORIES.md'), 'utf8')
const tests = fs.readFileSync(path.join(root, '__test__/behaviour/advisories.test.js'), 'utf8')

for (const advisory of advisories) {
  const { id, ghsa, package: name } = advisory
  test(`${id} of ${name} has a row and a test, and does not affect ${inUse[name]}`, () => {
    assert.match(page, new RegExp(`\\| \\[${id}\\]\\(https://github\\.com/advisories/${ghsa}\\) \\| ${name} \\|`))
    assert.match(tests, new RegExp(`^test\\('${id}: `, 'm'))
    assert.equal(affects(advisory, inUse[name]), false)
  })
}

test('the page and the tests name no other advisory', () => {
  const ids = advisories.map(({ id }) => id).sort()
  const named = (text, pattern) => [...text.matchAll(pattern)].map(([, id]) => id).sort()
  assert.deepEqual(named(page, /^\| \[([A-Z][\w-]+)\]/gm), ids)
  assert.deepEqual(named(tests, /^test\('((?:CVE|GHSA)-[\w-]+): /gm), ids)
})

test('ranges of versions are read as npm writes them', () => {
  assert.deepEqual(rangesOf('>=2.0.0 <3.3.1 || <1.1.5'), [
    ['2.0.0', '3.3.1'],
    ['0.0.0', '1.1.5'],
  ])
  assert.deepEqual(rangesOf('>1.0.0 <=1.2.3'), [['1.0.1', '1.2.4']])
  assert.deepEqual(rangesOf('1.2.3'), [['1.2.3', '1.2.4']])
  assert.deepEqual(rangesOf('>= 5.1.0, < 6.4.2'), [['5.1.0', '6.4.2']])
  assert.deepEqual(rangesOf('*'), [['0.0.0', '9999.0.0']])
  assert.throws(() => rangesOf('~6.6.0'), /expected a range of versions, got ~6\.6\.0/)
})

test('each difference between two lists is told', () => {
  const one = { id: 'CVE-1', ghsa: 'GHSA-1', package: 'ws', affected: [['1.0.0', '1.0.1']] }
  const live = { ghsa: 'GHSA-1', package: 'ws', title: 'A title', affected: [['1.0.0', '1.0.1']] }
  assert.deepEqual(differences([one], [live]), [])
  assert.deepEqual(differences([one], []), ['CVE-1 (GHSA-1) of ws is unknown to the registry'])
  assert.deepEqual(differences([], [live]), ['GHSA-1 of ws is missing in the list: A title (1.0.0 to below 1.0.1)'])
  assert.deepEqual(differences([one], [{ ...live, affected: [['1.0.0', '1.0.2']] }]), [
    'GHSA-1 of ws: the list says 1.0.0 to below 1.0.1, and the registry says 1.0.0 to below 1.0.2',
  ])
  const [first] = differences([one], [{ ...live, affected: [['1.0.0', '99.0.0']] }])
  assert.equal(first, `GHSA-1 affects ws ${inUse.ws}, which is in use: A title`)
})

describe('the script that compares the list with the live one', { concurrency: 1 }, () => {
  /** The bulk answer that the checked-in list would be. */
  const live = () => {
    const answer = {}
    for (const { ghsa, package: name, affected } of advisories) {
      for (const [from, below] of affected) {
        const entry = { url: `https://github.com/advisories/${ghsa}`, title: 'A title', severity: 'high', cwe: [] }
        const all = (answer[name] ??= [])
        all.push({ id: all.length + (name === 'ws' ? 1 : 1000), ...entry, vulnerable_versions: `>=${from} <${below}` })
      }
    }
    return answer
  }

  /** The first version of each range, and the one in use: npm tells an advisory only where it finds such a version. */
  const versions = {}
  for (const name of Object.keys(inUse)) {
    const ranges = advisories.filter((one) => one.package === name).flatMap(({ affected }) => affected)
    versions[name] = [...new Set(ranges.map(([from]) => from)), inUse[name]]
  }

  /** A registry of two packages with a list of advisories; what it was asked about is kept. */
  async function registry(t, answer) {
    const asked = {}
    const server = createServer(async (req, res) => {
      const name = req.url.slice(1)
      res.setHeader('content-type', 'application/json')
      if (req.url === '/-/npm/v1/security/advisories/bulk') {
        Object.assign(asked, JSON.parse(gunzipSync(await buffer(req))))
        return res.end(JSON.stringify(answer))
      }
      const manifests = (versions[name] ?? []).map((version) => [version, { name, version, dist: {} }])
      const latest = versions[name]?.at(-1)
      res.end(JSON.stringify({ name, 'dist-tags': { latest }, versions: Object.fromEntries(manifests) }))
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    t.after(() => {
      server.close()
      server.closeAllConnections()
    })
    return { asked, url: `http://127.0.0.1:${server.address().port}/` }
  }

  /** Runs the script with npm configured for a registry. */
  async function run(url) {
    const env = { ...process.env, npm_config_registry: url, npm_config_prefer_online: 'true' }
    const args = [path.join(root, 'scripts/advisories.js')]
    return new Promise((resolve) => {
      execFile(process.execPath, args, { env }, (error, stdout) => resolve({ code: error?.code ?? 0, stdout }))
    })
  }

  test('finds them alike, and has asked about every version', async (t) => {
    const { asked, url } = await registry(t, live())
    assert.deepEqual(await run(url), {
      code: 0,
      stdout: `${advisories.length} advisories, the same ones in the list and in the registry.\n`,
    })
    for (const name of Object.keys(versions)) assert.deepEqual(asked[name].sort(), versions[name].sort())
  })

  test('tells an advisory that is missing in the list', async (t) => {
    const answer = live()
    const url = 'https://github.com/advisories/GHSA-new'
    answer['engine.io'].push({ id: 5000, url, title: 'News', severity: 'high', cwe: [], vulnerable_versions: '*' })
    const { code, stdout } = await run((await registry(t, answer)).url)
    assert.match(stdout, new RegExp(`^GHSA-new affects engine\\.io ${inUse['engine.io']}, which is in use: News$`, 'm'))
    assert.match(stdout, /^GHSA-new of engine\.io is missing in the list: News /m)
    assert.equal(code, 1)
  })

  test('says so where the registry cannot be asked, or has no list', async (t) => {
    const { url } = await registry(t, {})
    assert.match((await run(url)).stdout, /cannot be had: it says that no version has ever had one/)
    const closed = createServer()
    await once(closed.listen(0, '127.0.0.1'), 'listening')
    const { port } = closed.address()
    await new Promise((resolve) => closed.close(resolve))
    const { code, stdout } = await run(`http://127.0.0.1:${port}/`)
    assert.match(stdout, /^The registry's list of advisories cannot be had: /)
    assert.equal(code, 2)
  })
})
