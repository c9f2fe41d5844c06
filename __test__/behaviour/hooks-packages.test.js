'use strict'

// Middlewares from npm, as applications use them with `engine.use()`.

const assert = require('node:assert/strict')
const http = require('node:http')
const { Writable } = require('node:stream')
const { test } = require('node:test')
const cors = require('cors')
const express = require('express')
const session = require('express-session')
const helmet = require('helmet')
const passport = require('passport')
const pino = require('pino-http')
const {
  client,
  eventually,
  improvement,
  listen,
  once,
  openPolling,
  openUpgraded,
  openWebSocket,
  path,
  request,
} = require('../support')

const SESSION = { secret: 's', resave: false, saveUninitialized: true, cookie: { maxAge: 60000 } }

/** The `Set-Cookie` lines of a raw 101. */
const cookies = (peer) =>
  peer.headerLines.filter((line) => /^set-cookie:/i.test(line)).map((line) => line.slice(line.indexOf(':') + 2))

test("helmet's headers are in the polling responses and in the 101", async () => {
  const context = await listen()
  context.engine.use(helmet())
  const { peer } = await openPolling(context)
  for (const { headers } of [peer.response, await peer.post('4a')]) {
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.match(headers['content-security-policy'], /^default-src 'self'/)
  }
  const { peer: ws } = await openWebSocket(context)
  assert.equal(ws.headers['x-content-type-options'], 'nosniff')
  assert.match(ws.headers['content-security-policy'], /^default-src 'self'/)
})

test('express-session gives a polling client its cookie and knows it again', async () => {
  const context = await listen()
  context.engine.use(session(SESSION))
  const { peer, socket } = await openPolling(context)
  const [cookie] = peer.response.headers['set-cookie'][0].split(';')
  assert.match(cookie, /^connect\.sid=s%3A/)
  socket.request.session.user = 'me'
  await new Promise((resolve, reject) => socket.request.session.save((e) => (e ? reject(e) : resolve())))
  const again = await openPolling(context, {}, { Cookie: cookie })
  assert.equal(again.socket.request.session.user, 'me')
  assert.equal(again.socket.request.sessionID, socket.request.sessionID)
})

test('express-session gives a websocket client its cookie in the 101 and knows it again', async () => {
  const context = await listen()
  context.engine.use(session(SESSION))
  const { peer, socket } = await openWebSocket(context)
  const [line] = cookies(peer)
  assert.match(line, /^connect\.sid=s%3A[^;]+; Path=\/; Expires=[^;]+; HttpOnly$/)
  await new Promise((resolve, reject) => socket.request.session.save((e) => (e ? reject(e) : resolve())))
  const options = { headers: { Cookie: line.split(';')[0] } }
  const again = await openWebSocket(context, {}, options)
  assert.equal(again.socket.request.sessionID, socket.request.sessionID)
  assert.deepEqual(cookies(again.peer), [])
})

test('a session of express-session survives the upgrade of the transport', async () => {
  const context = await listen()
  context.engine.use(session(SESSION))
  const { socket, peer } = await openUpgraded(context)
  assert.ok(socket.request.session)
  const message = once(socket, 'message')
  peer.sendText('4a')
  assert.deepEqual(await message, ['a'])
})

test("passport's user is found on socket.request", async () => {
  const context = await listen()
  const store = new session.MemoryStore()
  const auth = new passport.Passport()
  auth.serializeUser((user, done) => done(null, user.id))
  auth.deserializeUser((id, done) => done(null, { id, name: `user ${id}` }))
  context.engine.use(session({ ...SESSION, store }))
  context.engine.use(auth.initialize())
  context.engine.use(auth.session())
  const { peer, socket } = await openPolling(context)
  assert.equal(socket.request.user, undefined)
  socket.request.session.passport = { user: 7 }
  await new Promise((resolve, reject) => socket.request.session.save((e) => (e ? reject(e) : resolve())))
  const [Cookie] = peer.response.headers['set-cookie'][0].split(';')
  const polled = await openPolling(context, {}, { Cookie })
  assert.equal(polled.socket.request.user.name, 'user 7')
  const { socket: ws } = await openWebSocket(context, {}, { headers: { Cookie } })
  assert.equal(ws.request.user.name, 'user 7')
})

test('a middleware that asks passport turns strangers away', async () => {
  const context = await listen()
  context.engine.use((req, res, next) => {
    if (req.user) return next()
    res.writeHead(401)
    res.end()
  })
  assert.equal((await request({ port: context.port, path: path(context) })).status, 401)
})

/** pino-http writing into `lines`. */
function logger(lines) {
  const write = (chunk, _, done) => {
    lines.push(JSON.parse(chunk))
    done()
  }
  return pino({ level: 'info' }, new Writable({ write }))
}

test('pino-http logs each polling request with its status', async () => {
  const context = await listen()
  const lines = []
  context.engine.use(logger(lines))
  const { peer } = await openPolling(context)
  await peer.post('4a')
  await eventually(() => lines.length, 2)
  assert.deepEqual(
    lines.map(({ req, res }) => [req.method, res.statusCode]),
    [
      ['GET', 200],
      ['POST', 200],
    ],
  )
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['request completed', 'request completed'],
  )
})

test('pino-http logs an upgrade when its connection ends', async () => {
  const context = await listen()
  const lines = []
  context.engine.use(logger(lines))
  const { peer, socket } = await openWebSocket(context)
  assert.ok(socket.request.log)
  peer.socket.destroy()
  await eventually(() => lines.length, 1)
  assert.match(lines[0].req.url, /transport=websocket/)
})

test('the cors package answers a preflight and adds its headers to all responses, errors and the 101 included', async () => {
  const context = await listen()
  const Origin = 'http://app.example'
  context.engine.use(cors({ origin: Origin, credentials: true }))
  const headers = { Origin }
  const preflight = await request({ port: context.port, path: path(context), method: 'OPTIONS', headers })
  assert.deepEqual([preflight.status, preflight.headers['access-control-allow-origin']], [204, Origin])
  const { peer } = await openPolling(context, {}, headers)
  const failed = await request({ port: context.port, path: path(context, { sid: 'x' }), headers })
  for (const response of [peer.response, failed]) {
    assert.equal(response.headers['access-control-allow-origin'], Origin)
    assert.equal(response.headers['access-control-allow-credentials'], 'true')
  }
  const { peer: ws } = await openWebSocket(context, {}, { headers })
  assert.equal(ws.headers['access-control-allow-origin'], Origin)
})

test('the engine serves its path in front of an Express application, which serves the rest', async () => {
  const app = express()
  app.get('/hello', (req, res) => res.send('world'))
  const context = await listen({}, http.createServer(app))
  const hello = await request({ port: context.port, path: '/hello' })
  assert.deepEqual([hello.status, hello.body], [200, 'world'])
  assert.equal((await request({ port: context.port, path: '/other' })).status, 404)
  const connected = once(context.engine, 'connection')
  const socket = client(context, { transports: ['polling', 'websocket'] })
  await once(socket, 'upgrade')
  const message = once((await connected)[0], 'message')
  socket.send('a')
  assert.deepEqual(await message, ['a'])
})

test('an Express application may route to handleRequest itself', async () => {
  const { engine, bind } = require('../support')
  const app = express()
  const server = http.createServer(app)
  const eio = new engine.Server()
  app.use('/my', (req, res) => {
    // Express 5 has cut the mount path off; its own query parser stands aside
    eio.handleRequest(req, res)
  })
  const port = await bind(server)
  const response = await request({ port, path: '/my/?EIO=4&transport=polling' })
  assert.match(response.body, /^0\{/)
  eio.close()
})

improvement('B-6: Set-Cookie lines merged', 'two cookies of two middlewares are two lines of the 101', async () => {
  const context = await listen()
  context.engine.use(session(SESSION))
  context.engine.use((req, res, next) => {
    res.setHeader('Set-Cookie', ['a=1', 'b=2'])
    next()
  })
  const { peer } = await openWebSocket(context)
  const lines = cookies(peer).map((line) => line.split('=')[0])
  assert.deepEqual(lines.sort(), ['a', 'b', 'connect.sid'])
})
