'use strict'

// Rules that stand in both languages, by the tables of examples in tests/tables: tests/tables.rs reads them for the core.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { RawWebSocket, improvement, listen, once, openWebSocket, request } = require('../support')

const read = (name) => JSON.parse(fs.readFileSync(path.join(__dirname, '../../tests/tables', `${name}.json`), 'utf8'))

// ---- requests: what is refused and how, and the headers of answers that are not ---------------------

/** Headers that an answer has only if the table says so. */
const HEADERS = ['content-type', 'cache-control', 'x-xss-protection', 'upgrade', 'sec-websocket-accept']
HEADERS.push('sec-websocket-protocol', 'sec-websocket-version', 'content-encoding')

const OPTIONS = { maxHttpBufferSize: 10 }

/** Opens the session that a row is about: its id. */
async function sessionOf(row, context) {
  if (row.session === 'websocket') return (await openWebSocket(context)).open.sid
  const revision = row.session === 'polling of protocol 3' ? '3' : '4'
  const { body } = await request({ port: context.port, path: `/engine.io/?EIO=${revision}&transport=polling` })
  return /"sid":"([\w-]+)"/.exec(body)[1]
}

async function answerTo(row) {
  const httpCompression = row.threshold === undefined ? false : { threshold: row.threshold }
  const context = await listen({ ...OPTIONS, allowEIO3: row.allowEIO3 === true, httpCompression })
  const sid = row.session === undefined ? undefined : await sessionOf(row, context)
  const target = row.target.replace('SID', sid)
  const { status, headers, body } = row.isUpgrade
    ? await upgraded(context, target, row)
    : await request({ port: context.port, path: target, method: row.method, headers: row.headers, body: row.body })
  const shown = HEADERS.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]])
  const answer = { status, headers: Object.fromEntries(shown) }
  // where compression is at stake, the headers say whether the body is compressed
  return row.threshold === undefined ? { ...answer, body: body.replace(/(sid\\?":\\?")[\w-]{20}/, '$1SID') } : answer
}

async function upgraded(context, target, { method, headers }) {
  const given = Object.entries(headers || {}).map(([name, value]) => [name, value === null ? undefined : value])
  const peer = await RawWebSocket.request(context.port, target, { method, headers: Object.fromEntries(given) })
  await peer.response()
  if (peer.status === 101) return { ...peer, status: 101, body: '' }
  await peer.end()
  return { ...peer, status: peer.status, body: peer.text }
}

for (const row of read('requests')) {
  const sentence = `a request is answered as the table says: ${row.name}`
  const isAnswered = async () => assert.deepEqual(await answerTo(row), row.answer)
  if (row.isImprovement) improvement('such a request is refused; the original never answers it', sentence, isAnswered)
  else test(sentence, isAnswered)
}

// ---- the codec of protocol 3 ------------------------------------------------------------------------

/** The codec that transports of protocol 3 show. */
async function parser() {
  const context = await listen({ allowEIO3: true })
  const connected = once(context.engine, 'connection')
  await request({ port: context.port, path: '/engine.io/?EIO=3&transport=polling' })
  const [socket] = await connected
  return socket.transport.parser
}

const bytesOf = (value) => (value?.base64 === undefined ? value : Buffer.from(value.base64, 'base64'))
const shown = (value) => (typeof value === 'string' ? value : { base64: Buffer.from(value).toString('base64') })

test('payloads of protocol 3 are encoded as the table says', async () => {
  const codec = await parser()
  for (const { packets, supportsBinary, payload } of read('v3-payloads').encode) {
    const list = packets.map(([type, ...data]) => (data.length === 0 ? { type } : { type, data: bytesOf(data[0]) }))
    let encoded
    codec.encodePayload(list, supportsBinary, (result) => (encoded = shown(result)))
    assert.deepEqual(encoded, payload, JSON.stringify(packets))
  }
})

test('payloads of protocol 3 are decoded as the table says', async () => {
  const codec = await parser()
  for (const { payload, packets } of read('v3-payloads').decode) {
    const decoded = []
    codec.decodePayload(bytesOf(payload), ({ type = null, data }) => {
      decoded.push(type === 'error' || data === undefined ? [type] : [type, shown(data)])
    })
    assert.deepEqual(decoded, packets, JSON.stringify(payload))
  }
})

// ---- close frames -----------------------------------------------------------------------------------

test('close frames carry the codes that the table allows, and no others', async () => {
  const { allowed, refused } = read('close-codes')
  const context = await listen()
  const connectionOf = async () => (await openWebSocket(context)).socket.transport.socket
  for (const code of allowed) (await connectionOf()).close(code)
  const open = await connectionOf()
  for (const code of refused) assert.throws(() => open.close(code), TypeError, String(code))
})
