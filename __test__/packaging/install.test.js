'use strict'

// The tarballs, installed with npm into empty folders on a machine without Rust.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const { hostPlatform } = require('../../scripts/build')
const { pack } = require('../../scripts/pack')
const { npm, plainEnvironment, run, scratchFolder } = require('./scratch')

const root = path.join(__dirname, '../..')
const { devDependencies } = require('../../package.json')
const host = hostPlatform()
const platformPackage = `engine.io-native-${host}`

let tarballs

before(() => {
  tarballs = pack(scratchFolder())
  assert.ok(tarballs.platforms[host], `the addon of ${host} is built (npm run build)`)
})

describe('a Socket.IO app with engine.io overridden', () => {
  let app

  before(() => {
    app = install({
      dependencies: {
        'socket.io': devDependencies['socket.io'],
        'socket.io-client': devDependencies['socket.io-client'],
        [platformPackage]: `file:${tarballs.platforms[host]}`,
      },
      overrides: { 'engine.io': `file:${tarballs.root}` },
    })
  })

  test('there is no Rust here', () => {
    const { error } = spawnSync('cargo', ['--version'], { env: plainEnvironment() })
    assert.equal(error?.code, 'ENOENT')
  })

  test("socket.io's engine.io is ours, and there is no other", () => {
    const program = `
      const { createRequire } = require('node:module')
      console.log(createRequire(require.resolve('socket.io')).resolve('engine.io'))`
    const { stdout, output, status } = run(app, '-e', program)
    assert.equal(status, 0, output)
    const entry = stdout.trim()
    assert.ok(entry.startsWith(path.join(app, 'node_modules')), entry)
    assert.equal(readJson(path.dirname(entry), 'package.json').name, 'engine.io-native')
    const engines = fs
      .readdirSync(path.join(app, 'node_modules'), { recursive: true })
      .filter((file) => /(^|[\\/])engine\.io[\\/]package\.json$/.test(file))
    assert.equal(engines.length, 1, engines.join())
  })

  test('the library comes from the platform package', () => {
    const addons = fs
      .readdirSync(path.join(app, 'node_modules'), { recursive: true })
      .filter((file) => file.endsWith('.node'))
    assert.deepEqual(addons, [path.join(platformPackage, `engine.io-native.${host}.node`)])
  })

  test('the Socket.IO scenario passes unchanged', () => {
    const { status, output } = run(app, path.join(root, '__test__/socketio/scenario.js'))
    assert.equal(status, 0, output)
    assert.match(output, /Socket\.IO on engine\.io-native@/)
    assert.match(output, /\n\d+ steps passed, 0 failed/)
  })

  test('without the platform package the app is told which one it needs', () => {
    const folder = path.join(app, 'node_modules', platformPackage)
    const aside = path.join(app, 'aside')
    fs.renameSync(folder, aside)
    try {
      const { status, output } = run(app, '-e', "require('socket.io')")
      assert.notEqual(status, 0)
      assert.match(output, /ERR_ENGINE_IO_NATIVE_NOT_FOUND/)
      assert.ok(output.includes(`npm install --save-optional ${platformPackage}@`), output)
    } finally {
      fs.renameSync(aside, folder)
    }
  })
})

describe('a plain app', () => {
  let app

  before(() => {
    app = install({
      dependencies: {
        'engine.io': `file:${tarballs.root}`,
        'engine.io-client': devDependencies['engine.io-client'],
        [platformPackage]: `file:${tarballs.platforms[host]}`,
      },
    })
  })

  test('require and import give the same classes', () => {
    const program = `
      import * as esm from 'engine.io'
      import { createRequire } from 'node:module'
      const cjs = createRequire(import.meta.url)('engine.io')
      for (const name of ['Server', 'Socket', 'Transport', 'attach', 'listen', 'transports', 'parser', 'protocol']) {
        if (!cjs[name] || esm[name] !== cjs[name]) throw new Error(name)
      }`
    fs.writeFileSync(path.join(app, 'both.mjs'), program)
    const { status, output } = run(app, 'both.mjs')
    assert.equal(status, 0, output)
  })

  test('an echo server works, and the process ends by itself', () => {
    const program = `
      const engine = require('engine.io').listen(0, () => {
        engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
        const { Socket } = require('engine.io-client')
        const client = new Socket('ws://127.0.0.1:' + engine.httpServer.address().port, { transports: ['websocket'] })
        client.on('open', () => client.send('hello'))
        client.on('message', (data) => {
          console.log('echo', data)
          client.close()
          engine.close()
          engine.httpServer.close()
        })
      })`
    const { status, output } = run(app, '-e', program)
    assert.equal(status, 0, output)
    assert.match(output, /^echo hello/)
  })
})

/** An app with these entries in its package.json, installed from the registry and the tarballs. */
function install(manifest) {
  const app = scratchFolder()
  fs.writeFileSync(path.join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, ...manifest }, null, 2))
  const { status, output } = npm(app, 'install', '--no-audit', '--no-fund', '--prefer-offline')
  assert.equal(status, 0, output)
  return app
}

function readJson(...parts) {
  return JSON.parse(fs.readFileSync(path.join(...parts), 'utf8'))
}
