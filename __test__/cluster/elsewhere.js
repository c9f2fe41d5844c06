'use strict'

// Processes of a cluster on another platform, behind a balancer without stickiness: the stage `platforms-all` runs this.
// ELSEWHERE is JSON: the program that runs Node.js there with its first arguments, its environment, how the program of a
// member and an empty directory are called there, and a folder for what the members write.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { defer, eventually, request } = require('../support')
const { openEchoing, openSession, poll, post, says, startBalancer, upgrade } = require('./support')

const { command, env, program, directory, folder } = JSON.parse(process.env.ELSEWHERE ?? '')

/** Milliseconds for a process to start. */
const START_LIMIT = 120_000

let count = 0

/**
 * Starts a process. It writes to a file, because not every runtime takes the pipes of Node.js.
 *
 * @param {string[]} args the directory of the cluster, or nothing for that of the program
 */
async function start(args = [directory]) {
  const log = path.join(folder, `member-${++count}`)
  const output = fs.openSync(log, 'w')
  const [file, ...first] = command
  const child = spawn(file, [...first, program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', output, output],
  })
  fs.closeSync(output)
  const ended = new Promise((resolve) => child.on('exit', resolve))
  const kill = () => {
    child.kill('SIGKILL')
    return ended
  }
  defer(kill)
  const end = Date.now() + START_LIMIT
  for (;;) {
    const text = fs.readFileSync(log, 'utf8')
    const listening = /^listening (\d+)/m.exec(text)
    if (listening) return { port: Number(listening[1]), kill }
    if (child.exitCode !== null || Date.now() > end) throw new Error(`expected a process that listens, got: ${text}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function startAll(number, args = undefined) {
  const members = []
  for (let i = 0; i < number; i++) members.push(await start(args))
  return members
}

async function metrics({ port }) {
  return JSON.parse((await request({ port, path: '/metrics' })).body)
}

test('clients of engine.io-client come by any process, by each transport, with `cluster: true`', async () => {
  const members = await startAll(3, [])
  const port = await startBalancer(members)
  const ways = Array.from({ length: 12 }, (_, i) =>
    [['polling'], ['websocket'], ['polling', 'websocket'], ['polling', 'websocket']].at(i % 4),
  )
  const clients = await openEchoing(port, ways)
  await eventually(() => clients.filter(({ transport }) => transport.name === 'websocket').length, 9)
  // the upgrades of all clients may have come to the owners
  await says(await upgrade(members[1], await openSession(members[0])), 'a')
  const all = await Promise.all(members.map(metrics))
  assert.equal(new Set(all.map(({ number }) => number)).size, 3)
  for (const name of ['forwarded', 'served', 'relayed', 'accepted']) {
    assert.ok(
      all.some((one) => one[name] > 0),
      `${name} in ${JSON.stringify(all)}`,
    )
  }
})

test('a process is killed: its sessions are unknown at once, those of others go on, and its number is taken again', async () => {
  const [owner, front, other] = await startAll(3)
  const [sid, kept] = [await openSession(owner), await openSession(other)]
  for (const text of ['4before', `4${'x'.repeat(900_000)}`]) {
    await post(front, sid, text)
    assert.equal((await poll(front, sid)).body, text)
  }
  const carried = await upgrade(front, await openSession(owner))
  await says(carried, 'x'.repeat(200_000))
  const { number } = await metrics(owner)
  await owner.kill()
  await carried.end()
  for (const process of [front, other]) assert.equal((await poll(process, sid)).status, 400)
  await post(front, kept, '4still here')
  assert.equal((await poll(front, kept)).body, '4still here')

  const next = await start()
  assert.equal((await metrics(next)).number, number)
  const moved = await upgrade(front, await openSession(next))
  await says(moved, 'a')
  for (const process of [front, other]) assert.equal((await poll(process, sid)).status, 400)
})
