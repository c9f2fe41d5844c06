'use strict'

// `npm run upstream`, and the warning of `npm test`: what they say of packages and lists of versions made for the purpose.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const compare = require('../../scripts/upstream/compare')
const { mirrored, newer, published, warning } = require('../../scripts/upstream/releases')
const { compareRuns } = require('../../scripts/upstream/runs')
const { npm, scratchFolder } = require('./scratch')

const root = path.join(__dirname, '../..')
const original = path.join(root, 'node_modules/engine.io')

describe('two packages', () => {
  let first
  let copy
  let second

  before(() => {
    const folder = scratchFolder()
    fs.symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'), 'junction')
    for (const name of ['first', 'copy', 'second']) fs.cpSync(original, path.join(folder, name), { recursive: true })
    ;[first, copy, second] = ['first', 'copy', 'second'].map((name) => path.join(folder, name))
  })

  test('that are the same differ in nothing', () => {
    for (const about of ['api', 'types', 'options', 'dependencies', 'files']) {
      assert.deepEqual(compare[about](first, copy), [], about)
    }
  })

  describe('of which the second was edited', () => {
    const file = (name) => path.join(second, name)
    const append = (name, text) => fs.appendFileSync(file(name), `${text}\n`)
    const replace = (name, from, to) => {
      const text = fs.readFileSync(file(name), 'utf8')
      assert.ok(text.includes(from), `${name} has ${from}`)
      fs.writeFileSync(file(name), text.replace(from, to))
    }

    before(() => {
      append('build/engine.io.js', 'exports.added = function (a, b) {};')
      append('build/engine.io.d.ts', 'export declare function added(a: string,\n  b: number): void;')
      append(
        'build/socket.js',
        `const { prototype } = exports.Socket, { onOpen } = prototype;
         prototype.added = function (a) {};
         delete prototype.write;
         prototype.onOpen = function () { this.remembered = 1; onOpen.call(this); };`,
      )
      append(
        'build/server.js',
        `const { init } = exports.Server.prototype;
         exports.Server.prototype.init = function () { this.opts.added = { a: 1 }; this.opts.pingTimeout = 7; init.call(this); };`,
      )
      replace('build/server.d.ts', 'pingTimeout?: number;', '/** Changed. */\n    pingTimeout?: number | string;')
      replace(
        'build/socket.d.ts',
        'export declare class Socket extends EventEmitter {',
        '$&\n    private hidden;\n    protected shown: 1;',
      )
      const manifest = JSON.parse(fs.readFileSync(file('package.json'), 'utf8'))
      delete manifest.dependencies.cors
      manifest.dependencies.ws = '^99.0.0'
      manifest.peerDependencies = { added: '1.x' }
      manifest.engines = { node: '>=99' }
      fs.writeFileSync(file('package.json'), JSON.stringify(manifest))
      fs.writeFileSync(file('build/new.js'), 'one\ntwo\n')
      fs.rmSync(file('LICENSE'))
    })

    test('differ in members of exports, of classes and of live objects', () => {
      assert.deepEqual(compare.api(first, second).sort(), [
        '+ Socket#remembered: wec number',
        '+ Socket.prototype.added: wec function of 1',
        '+ exports#added: wec function of 2',
        '- Socket.prototype.write: w-c function of 3',
        '~ Socket: for…in meets added: no → yes',
      ])
    })

    test('differ in declarations that others see', () => {
      assert.deepEqual(compare.types(first, second), [
        '+ build/engine.io.d.ts: export declare function added(a: string, b: number): void;',
        '+ build/server.d.ts: ServerOptions: pingTimeout?: number | string;',
        '- build/server.d.ts: ServerOptions: pingTimeout?: number;',
        '+ build/socket.d.ts: Socket: protected shown: 1;',
      ])
    })

    test('differ in options and their defaults', () => {
      assert.deepEqual(compare.options(first, second), ['+ added: { a: 1 }', '~ pingTimeout: 20000 → 7'])
    })

    test('differ in what they depend on', () => {
      const [cors, ws, node] = ['dependencies.cors', 'dependencies.ws', 'engines.node'].map((field) => {
        const [group, name] = field.split('.')
        return JSON.parse(fs.readFileSync(path.join(first, 'package.json'), 'utf8'))[group][name]
      })
      assert.deepEqual(compare.dependencies(first, second), [
        `- dependencies: cors: ${cors}`,
        `~ dependencies: ws: ${ws} → ^99.0.0`,
        `~ engines: node: ${node} → >=99`,
        '+ peerDependencies: added: 1.x',
      ])
    })

    test('depend on others of other versions', () => {
      const folders = ['old', 'new'].map((name) => path.join(scratchFolder(), name))
      const write = (folder, name, manifest) => {
        fs.mkdirSync(path.join(folder, name), { recursive: true })
        fs.writeFileSync(path.join(folder, name, 'package.json'), JSON.stringify(manifest))
      }
      const ranges = { changed: '1.x', same: '1.x', absent: '1.x' }
      for (const [at, folder] of folders.entries()) {
        write(folder, 'engine.io', { dependencies: at === 0 ? ranges : { ...ranges, added: '1.x' } })
        write(folder, 'changed', { version: `1.0.${at}` })
        write(folder, 'same', { version: '1.0.0' })
        write(folder, 'not asked for', { version: `1.0.${at}` })
        if (at === 1) write(folder, 'added', { version: '1.0.0' })
      }
      const found = compare.neighbours(...folders.map((folder) => path.join(folder, 'engine.io')))
      assert.deepEqual(found, [
        {
          name: 'changed',
          versions: ['1.0.0', '1.0.1'],
          before: path.join(folders[0], 'changed'),
          after: path.join(folders[1], 'changed'),
        },
      ])
    })

    test('differ in lines of files', () => {
      const files = Object.fromEntries(compare.files(first, second).map(({ file, ...rest }) => [file, rest]))
      const license = fs.readFileSync(path.join(first, 'LICENSE'), 'utf8').split('\n').length
      assert.deepEqual(files['build/new.js'], { added: 2, removed: 0, state: 'new' })
      assert.equal(files.LICENSE.state, 'gone')
      assert.ok(Math.abs(files.LICENSE.removed - license) <= 1)
      assert.deepEqual(files['build/server.d.ts'], { added: 2, removed: 1, state: '' })
      assert.deepEqual(Object.keys(files).sort(), [
        ...[
          'LICENSE',
          'build/engine.io.d.ts',
          'build/engine.io.js',
          'build/new.js',
          'build/server.d.ts',
          'build/server.js',
        ],
        ...['build/socket.d.ts', 'build/socket.js', 'package.json'],
      ])
      assert.match(compare.diff(first, second), /^\+exports\.added = function/m)
    })
  })

  test('of which one cannot be loaded are not taken for the same', () => {
    const broken = path.join(scratchFolder(), 'broken')
    fs.cpSync(original, broken, { recursive: true })
    assert.throws(() => compare.api(first, broken), /the objects of .*broken cannot be looked at/)
  })
})

describe('tests that fail', () => {
  test('because of a release are told from those that fail without it, or once', async () => {
    const folder = scratchFolder()
    const write = (name, text) => {
      const file = path.join(folder, `${name}.test.js`)
      fs.writeFileSync(
        file,
        `const { describe, test } = require('node:test')\nconst since = process.env.RELEASE === 'new'\n${text}`,
      )
      return file
    }
    const mixed = write(
      'mixed',
      `test('passes', () => {})
       test('is left out', { skip: 'why not' }, () => {})
       test('always fails', () => { throw new Error('always') })
       describe('a group', () => test('fails since', () => { if (since) throw new Error('the first line\\nthe second') }))`,
    )
    const once = write(
      'once',
      `const fs = require('node:fs'), been = ${JSON.stringify(path.join(folder, 'been'))}
       test('fails once', () => { if (!fs.existsSync(been)) { fs.writeFileSync(been, ''); throw new Error('once') } })`,
    )
    const ends = write('ends', "test('passes, too', () => {})\nif (since) process.exit(3)")
    const fine = write('fine', "test('passes as well', () => {})")
    const { passed, changed, others } = await compareRuns(
      [mixed, once, ends, fine],
      { RELEASE: 'old' },
      { RELEASE: 'new' },
    )
    assert.equal(passed, 2)
    const told = (failures) =>
      Object.fromEntries(
        failures.map(({ file, name, error, note }) => [
          `${path.basename(file)}: ${path.basename(name)}`,
          note ?? error,
        ]),
      )
    assert.deepEqual(told(changed), {
      'mixed.test.js: a group › fails since': 'the first line\nthe second',
      'ends.test.js: ends.test.js': 'test failed',
    })
    assert.deepEqual(told(others), {
      'mixed.test.js: always fails': 'it fails before this release, too',
      'once.test.js: fails once': 'it passed when its file ran again',
    })
  })

  test('are not overlooked where a runner runs none', async () => {
    const file = path.join(scratchFolder(), 'none.test.js')
    fs.writeFileSync(file, "require('node:test').test('passes', () => {})")
    // Node's runner leaves out all files when it believes itself to be run by another.
    const { passed, changed } = await compareRuns([file], {}, { NODE_TEST_CONTEXT: 'child' })
    assert.equal(passed, 0)
    assert.deepEqual(
      changed.map(({ name }) => name),
      ['none.test.js'],
    )
  })
})

describe('the version', () => {
  test('of this package says which release it mirrors', () => {
    assert.equal(mirrored('6.6.13'), '6.6.13')
    assert.equal(mirrored('6.6.1300'), '6.6.13')
    assert.equal(mirrored('6.6.1302'), '6.6.13')
    assert.equal(mirrored('6.7.101'), '6.7.1')
    assert.equal(mirrored('6.6.13-rc.1'), '6.6.13')
    const { version, devDependencies } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
    assert.equal(
      mirrored(version),
      devDependencies['engine.io'],
      'the oracle of the tests is the release that is mirrored',
    )
  })

  test('of a release is newer by its numbers, and a preview is none', () => {
    const versions = [
      '6.6.2',
      '6.6.14',
      '7.0.0',
      '6.10.0',
      '6.6.13',
      '6.7.0-alpha.1',
      '7.1.0-rc.0',
      '5.9.99',
      '6.6.100',
    ]
    assert.deepEqual(newer(versions, '6.6.13'), ['6.6.14', '6.6.100', '6.10.0', '7.0.0'])
    assert.deepEqual(newer(versions, '7.0.0'), [])
  })
})

describe('the warning of npm test', () => {
  test('names the releases that are newer than the mirrored one', () => {
    const text = warning(['6.6.12', '6.6.13', '6.6.14', '7.0.0', '7.0.1-rc.1'], '6.6.13')
    assert.match(text, /^The registry has engine\.io 6\.6\.14, 7\.0\.0, and this package mirrors 6\.6\.13\. /)
    assert.match(text, /npm run upstream/)
    assert.match(text, /docs\/UPSTREAM\.md/)
  })

  test('is not there when the mirrored release is the newest, nor without an answer of the registry', () => {
    assert.equal(warning(['6.6.12', '6.6.13', '6.7.0-alpha.1'], '6.6.13'), undefined)
    assert.equal(warning(undefined, '6.6.13'), undefined)
  })

  test('says when the mirrored release is not in the registry', () => {
    assert.match(warning(['6.6.12'], '6.6.13'), /does not have engine\.io 6\.6\.13/)
  })
})

describe('the registry', () => {
  const ours = mirrored()
  const next = ours.replace(/\d+$/, (patch) => Number(patch) + 1)
  const answers = new Map()
  let registry
  let settings

  before(async () => {
    registry = http.createServer((req, res) => {
      const answer = answers.get(req.url)
      if (answer === 'silence') return
      res.statusCode = answer === undefined ? 404 : 200
      res.end(answer ?? '{}')
    })
    await new Promise((resolve) => registry.listen(0, '127.0.0.1', resolve))
    settings = {
      npm_config_registry: `http://127.0.0.1:${registry.address().port}`,
      npm_config_cache: scratchFolder(),
      npm_config_noproxy: '127.0.0.1',
      npm_config_fetch_retries: '0',
    }
  })

  after(() => {
    registry.closeAllConnections()
    registry.close()
  })

  /** Asks as `npm test` does, with npm configured for this registry. */
  async function ask(more, limitMs = 60_000) {
    const all = { ...settings, ...more }
    const was = Object.fromEntries(Object.keys(all).map((name) => [name, process.env[name]]))
    Object.assign(process.env, all)
    try {
      return await published(limitMs)
    } finally {
      for (const name in was) {
        if (was[name] === undefined) delete process.env[name]
        else process.env[name] = was[name]
      }
    }
  }

  /** What a registry says of a package with these versions. */
  function offer(manifests) {
    const versions = {}
    const time = {}
    for (const manifest of manifests) {
      const tarball = `${settings.npm_config_registry}/${manifest.version}.tgz`
      versions[manifest.version] = { name: 'engine.io', ...manifest, dist: { tarball } }
      time[manifest.version] = '2026-01-02T03:04:05.678Z'
    }
    answers.set(
      '/engine.io',
      JSON.stringify({ name: 'engine.io', 'dist-tags': { latest: manifests.at(-1).version }, versions, time }),
    )
  }

  test('is asked for its versions with the configuration of npm', async () => {
    offer([{ version: '1.0.0' }, { version: '1.0.1' }])
    assert.deepEqual(await ask(), ['1.0.0', '1.0.1'])
    offer([{ version: '1.0.0' }])
    assert.deepEqual(await ask({ npm_config_cache: scratchFolder() }), ['1.0.0'])
  })

  test('that does not answer is not waited for', async () => {
    answers.set('/engine.io', 'silence')
    const start = performance.now()
    assert.equal(await ask({ npm_config_cache: scratchFolder() }, 2000), undefined)
    assert.ok(performance.now() - start < 15_000)
  })

  test('that answers with something else, is away, or that npm may not ask, is passed over', async () => {
    const npm_config_cache = scratchFolder()
    answers.set('/engine.io', 'not JSON')
    assert.equal(await ask({ npm_config_cache }), undefined)
    assert.equal(await ask({ npm_config_cache, npm_config_registry: 'http://127.0.0.1:9' }), undefined)
    assert.equal(await ask({ npm_config_cache, npm_config_offline: 'true' }), undefined)
  })

  /** Runs `npm run upstream`'s program. */
  function upstream(args, more) {
    return new Promise((resolve) => {
      const env = { ...process.env, ...settings, ...more, NODE_TEST_CONTEXT: '' }
      const child = spawn(process.execPath, [path.join(root, 'scripts/upstream.js'), ...args], { env })
      let output = ''
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text) => (output += text))
      child.on('close', (code) => resolve({ code, output }))
    })
  }

  test('has both packages for npm run upstream, which tells what changed, and ends with 2', async () => {
    // Packages that need no others: they are the original, and the second has one option more.
    const plain = {
      name: 'engine.io',
      main: 'index.js',
      types: 'index.d.ts',
      exports: { import: './index.js', require: './index.js' },
    }
    const MORE = `const { init } = exports.Server.prototype
      exports.Server.prototype.init = function () { this.opts.more = 1; init.call(this) }`
    const manifests = [{ version: ours }, { version: next, engines: { node: '>=18' }, deprecated: 'because of a test' }]
    for (const { deprecated, ...manifest } of manifests) {
      const folder = path.join(scratchFolder(), manifest.version)
      fs.mkdirSync(folder)
      const more = manifest.version === next ? MORE : ''
      fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ ...plain, ...manifest }))
      fs.writeFileSync(
        path.join(folder, 'index.js'),
        `module.exports = exports = require(${JSON.stringify(original)})\n${more}`,
      )
      fs.writeFileSync(path.join(folder, 'index.d.ts'), `export declare const version: "${manifest.version}";\n`)
      const { output } = npm(folder, 'pack')
      answers.set(
        `/${manifest.version}.tgz`,
        fs.readFileSync(path.join(folder, `engine.io-${manifest.version}.tgz`)),
        output,
      )
    }
    offer(manifests)
    const { code, output } = await upstream(['--no-tests', '--diff'], { npm_config_cache: scratchFolder() })
    assert.equal(code, 2, output)
    assert.ok(output.includes(`engine.io ${ours} → ${next}, released 2026-01-02`), output)
    assert.ok(output.includes(`upstream deprecates engine.io ${next}: because of a test`), output)
    assert.ok(output.includes('\n+ more: 1\n'), output)
    assert.ok(output.includes('\n+ engines: node: >=18\n'), output)
    assert.ok(output.includes(`\n- index.d.ts: export declare const version: "${ours}";\n`), output)
    assert.match(output, /^\+const \{ init \} = exports/m)
    assert.match(output, /^API +the same$/m)
    assert.match(output, /^types +2 differences$/m)
    assert.match(output, /^options +1 difference$/m)
    assert.match(output, /^code +3 files, \+\d+ -\d+$/m)
    assert.match(output, /^tests +left out$/m)

    offer(manifests.slice(1))
    const withdrawn = await upstream(['--no-tests'], { npm_config_cache: scratchFolder() })
    assert.equal(withdrawn.code, 2, withdrawn.output)
    assert.match(
      withdrawn.output,
      /^The registry does not have engine\.io [\d.]+: the copy in node_modules takes its place\.$/m,
    )
    assert.match(withdrawn.output, /^options +1 difference$/m)
  })

  test('has nothing to follow for npm run upstream when the mirrored release is its newest', async () => {
    offer([{ version: '1.0.0' }, { version: ours }])
    const { code, output } = await upstream([], { npm_config_cache: scratchFolder() })
    assert.equal(code, 0, output)
    assert.match(output, /there is nothing to follow/)
  })

  test('that lacks a version, or is away, ends npm run upstream with 1 and a sentence', async () => {
    offer([{ version: ours }])
    const lacking = await upstream(['99.0.0'], { npm_config_cache: scratchFolder() })
    assert.equal(lacking.code, 1, lacking.output)
    assert.match(lacking.output, /The registry has no engine\.io 99\.0\.0/)
    const away = await upstream([], { npm_config_cache: scratchFolder(), npm_config_registry: 'http://127.0.0.1:9' })
    assert.equal(away.code, 1, away.output)
    assert.match(away.output, /npm view engine\.io/)
  })
})
