'use strict'

// Socket.IO on the packed tarball in the frameworks that people use it with. Each row is a server of a few lines, which clients of
// Socket.IO ask over polling, after an upgrade and over WebSocket alone, beside a route of the framework's own.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const { installApp } = require('../packaging/app')
const { run } = require('../packaging/scratch')
const { dependenciesOn } = require('./versions')

const PACKAGES = [
  'socket.io-4.5',
  'socket.io-4.6',
  'socket.io-4.7',
  'socket.io-msgpack-parser',
  '@feathersjs/feathers',
  '@feathersjs/koa',
  '@feathersjs/socketio',
  '@hono/node-server',
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/platform-express',
  '@nestjs/platform-socket.io',
  '@nestjs/websockets',
  '@socket.io/admin-ui',
  'express',
  'fastify',
  'h3',
  'hono',
  'koa',
  'reflect-metadata',
  'rxjs',
]

const rows = {
  'Express 5': `
    const app = require('express')()
    app.get('/hello', (req, res) => res.send('hello'))
    const server = require('http').createServer(app)
    serve(new Server(server))
    server.listen(0, '127.0.0.1', () => check(urlOf(server)))`,
  Fastify: `
    const app = require('fastify')()
    app.get('/hello', async () => 'hello')
    serve(new Server(app.server))
    app.listen({ port: 0, host: '127.0.0.1' }).then(check)`,
  Koa: `
    const Koa = require('koa')
    const app = new (Koa.default || Koa)()
    app.use((context) => { context.body = 'hello' })
    const server = require('http').createServer(app.callback())
    serve(new Server(server))
    server.listen(0, '127.0.0.1', () => check(urlOf(server)))`,
  Hono: `
    (async () => {
      const { Hono } = await import('hono')
      const { serve: start } = await import('@hono/node-server')
      const app = new Hono()
      app.get('/hello', (context) => context.text('hello'))
      const server = start({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => check(urlOf(server)))
      serve(new Server(server))
    })()`,
  h3: `
    (async () => {
      const { H3, toNodeHandler } = await import('h3')
      const app = new H3()
      app.get('/hello', () => 'hello')
      const server = require('http').createServer(toNodeHandler(app))
      serve(new Server(server))
      server.listen(0, '127.0.0.1', () => check(urlOf(server)))
    })()`,
  NestJS: `
    require('reflect-metadata')
    const { Module, Controller, Get } = require('@nestjs/common')
    const { NestFactory } = require('@nestjs/core')
    const { WebSocketGateway, SubscribeMessage } = require('@nestjs/websockets')
    class Page { hello() { return 'hello' } }
    Get('hello')(Page.prototype, 'hello', Object.getOwnPropertyDescriptor(Page.prototype, 'hello'))
    Controller()(Page)
    class Gateway { ask(client, bytes) { return { event: 'answer', data: bytes } } }
    SubscribeMessage('ask')(Gateway.prototype, 'ask', Object.getOwnPropertyDescriptor(Gateway.prototype, 'ask'))
    WebSocketGateway()(Gateway)
    class App {}
    Module({ controllers: [Page], providers: [Gateway] })(App)
    NestFactory.create(App, { logger: false }).then(async (app) => {
      await app.listen(0, '127.0.0.1')
      const ask = (client) => new Promise((resolve) => client.once('answer', resolve).emit('ask', 'bytes'))
      check(urlOf(app.getHttpServer()), { ask })
    })`,
  Feathers: `
    const { feathers } = require('@feathersjs/feathers')
    const { koa, rest, bodyParser, errorHandler } = require('@feathersjs/koa')
    const app = koa(feathers())
    app.use(errorHandler()); app.use(bodyParser())
    app.configure(rest())
    app.configure(require('@feathersjs/socketio')())
    app.use('hello', { async find() { return ['hello'] } })
    app.listen(0, '127.0.0.1').then((server) => {
      const ask = (client) => new Promise((resolve, reject) =>
        client.emit('find', 'hello', {}, (error, found) => error || found[0] !== 'hello' ? reject(error) : resolve(found)))
      check(urlOf(server), { ask })
    })`,
  'the admin UI of Socket.IO': `
    const server = require('http').createServer((req, res) => res.end('hello'))
    const io = new Server(server)
    require('@socket.io/admin-ui').instrument(io, { auth: false })
    serve(io)
    server.listen(0, '127.0.0.1', () => check(urlOf(server)))`,
  'the msgpack parser': `
    const parser = require('socket.io-msgpack-parser')
    const server = require('http').createServer((req, res) => res.end('hello'))
    serve(new Server(server, { parser }))
    server.listen(0, '127.0.0.1', () => check(urlOf(server), { options: { parser } }))`,
  'HTTP/2 with HTTP/1.1 beside it': `
    const { readFileSync } = require('fs')
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    const server = require('http2').createSecureServer({ allowHTTP1: true, key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }, (req, res) => res.end('hello'))
    serve(new Server(server))
    server.listen(0, '127.0.0.1', () => check('https://127.0.0.1:' + server.address().port, { options: { rejectUnauthorized: false } }))`,
  https: `
    const { readFileSync } = require('fs')
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    const server = require('https').createServer({ key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }, (req, res) => res.end('hello'))
    serve(new Server(server))
    server.listen(0, '127.0.0.1', () => check('https://127.0.0.1:' + server.address().port, { options: { rejectUnauthorized: false } }))`,
  'a worker thread': `
    const { Worker, isMainThread } = require('worker_threads')
    if (isMainThread) {
      new Worker(__filename).on('exit', (code) => process.exit(code))
    } else {
      const server = require('http').createServer((req, res) => res.end('hello'))
      serve(new Server(server))
      server.listen(0, '127.0.0.1', () => check(urlOf(server)))
    }`,
}

for (const minor of ['4.5', '4.6', '4.7', '4.8']) {
  const name = minor === '4.8' ? 'socket.io' : `socket.io-${minor}`
  rows[`Socket.IO ${minor} alone`] = `
    const server = require('http').createServer((req, res) => res.end('hello'))
    serve(new (require('${name}').Server)(server))
    server.listen(0, '127.0.0.1', () => check(urlOf(server)))`
}

const fileOf = (name) => name.toLowerCase().replace(/[^a-z0-9]+/g, '-')

let app

before(() => {
  const read = (...name) => fs.readFileSync(path.join(__dirname, ...name), 'utf8')
  const head = `const { Server } = require('socket.io')\nconst { check, serve, urlOf } = require('./check');\n`
  const programs = Object.entries(rows).map(([name, program]) => [`${fileOf(name)}.js`, head + program])
  const files = {
    'check.js': read('check.js'),
    'key.pem': read('../fixtures/tls/key.pem'),
    'cert.pem': read('../fixtures/tls/cert.pem'),
    ...Object.fromEntries(programs),
  }
  app = installApp(dependenciesOn(...PACKAGES), files)
})

for (const name of Object.keys(rows)) {
  test(`${name}: polling, upgrade, WebSocket and a route of its own`, () => {
    const { status, output } = run(app, `${fileOf(name)}.js`)
    assert.equal(status, 0, output)
    assert.match(output, /it works/)
  })
}
