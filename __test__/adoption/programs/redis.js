'use strict'

// Two processes with a Redis adapter, and clients of both: `redis.js pubsub PORT` or `redis.js streams PORT`.

const { fork } = require('node:child_process')
const { once } = require('node:events')
const { createServer } = require('node:http')
const { createClient } = require('redis')
const { Server } = require('socket.io')
const { TRANSPORTS, askAll, open, serve, urlOf } = require('./check')

const [, , kind, port, isWorker] = process.argv

if (isWorker) worker().catch(fail)
else primary().catch(fail)

async function adapter() {
  const client = createClient({ url: `redis://127.0.0.1:${port}` })
  await client.connect()
  if (kind === 'streams') return require('@socket.io/redis-streams-adapter').createAdapter(client)
  const subscriber = client.duplicate()
  await subscriber.connect()
  return require('@socket.io/redis-adapter').createAdapter(client, subscriber)
}

async function worker() {
  const server = createServer()
  const connectionStateRecovery = kind === 'streams' ? {} : undefined
  const io = new Server(server, { adapter: await adapter(), connectionStateRecovery })
  serve(io)
  io.on('connection', (socket) => {
    socket.on('join', (room, answer) => answer(socket.join(room)))
    socket.on('tell', (room, news, answer) => {
      io.to(room).emit('news', news)
      answer()
    })
    socket.on('count', async (answer) => answer((await io.fetchSockets()).length))
    socket.on('cut', () => socket.conn.close())
  })
  server.listen(0, '127.0.0.1', () => process.send(urlOf(server)))
  process.once('disconnect', () => process.exit())
}

async function primary() {
  const workers = [0, 1].map(() => fork(__filename, [kind, port, 'worker']))
  const urls = await Promise.all(workers.map(async (one) => (await once(one, 'message'))[0]))
  for (const url of urls) await askAll(url, { route: null })
  for (const transports of TRANSPORTS) await tellAcross(urls, transports)
  if (kind === 'streams') for (const transports of TRANSPORTS) await recoverAcross(urls, transports)
  console.log('it works')
  workers.forEach((one) => one.disconnect())
  await Promise.all(workers.map((one) => once(one, 'exit')))
}

/** News of one process reach the clients of the other, in the room alone. */
async function tellAcross(urls, transports) {
  const room = `room of ${transports}`
  const [first, second] = await Promise.all(urls.map((url) => open(url, transports)))
  await second.emitWithAck('join', room)
  first.once('news', () => fail(new Error('expected no news outside the room')))
  const heard = new Promise((resolve) => second.once('news', resolve))
  await first.emitWithAck('tell', room, 'hello')
  expect(await heard, 'hello')
  // those that have closed may be in the count of the other process for a moment
  while ((await first.emitWithAck('count')) !== 2) await new Promise((resolve) => setTimeout(resolve, 20))
  first.close()
  second.close()
}

/** A client that loses its connection finds the other process, which sends what it has missed. */
async function recoverAcross(urls, transports) {
  const room = `recovery of ${transports}`
  const [client, teller] = [await open(urls[0], transports), await open(urls[1], ['websocket'])]
  await client.emitWithAck('join', room)
  const news = []
  client.on('news', (one) => news.push(one))
  await teller.emitWithAck('tell', room, 'before')
  while (news.length < 1) await once(client.io.engine, 'packet')
  const { id } = client

  client.io.reconnection(false)
  client.emit('cut')
  await new Promise((resolve) => client.once('disconnect', resolve))
  await teller.emitWithAck('tell', room, 'meanwhile')
  client.io.uri = urls[1]
  client.connect()
  await new Promise((resolve) => client.once('connect', resolve))
  expect(client.recovered, true)
  expect(client.id, id)
  while (news.length < 2) await once(client.io.engine, 'packet')
  await teller.emitWithAck('tell', room, 'after')
  while (news.length < 3) await once(client.io.engine, 'packet')
  expect(news.join(), 'before,meanwhile,after')
  client.close()
  teller.close()
}

function expect(got, wanted) {
  if (got !== wanted) throw new Error(`expected ${wanted}, got ${got}`)
}

function fail(error) {
  console.error(error)
  process.exit(1)
}
