'use strict'
// What a result of cluster.js says, as Markdown: for its own report, and for the documents (tables.js).
const rows = require('./cluster-rows')
const { num } = require('./report')

const percent = (x) => `${Math.round(x * 100)} %`
/** Of a core. */
const share = (x) => `${(x * 100).toFixed(1)} %`
const rangeOf = (s, figure) =>
  `${s.ratio[figure].toFixed(2)} (${s.low[figure].toFixed(2)}-${s.high[figure].toFixed(2)})`

const CPU = ['CPU us', ({ median }) => num(median.cpu)]
const LATENCY = [
  ['p50 us', ({ median }) => num(median.p50)],
  ['p99 us', ({ median }) => num(median.p99)],
]
const RATE = ['rate/s', ({ median }) => num(median.rate)]
const beside = (heading, figure) => [heading, (s) => (s.ratio[figure] === undefined ? '' : rangeOf(s, figure))]
/** Of several processes under the same load. */
const THROUGHPUT = [
  RATE,
  CPU,
  ['cores', ({ median }) => num(median.cores)],
  ...LATENCY,
  beside('rate beside the first (range)', 'rate'),
  beside('CPU', 'cpu'),
]
const verdict = (isMet, bar) => `${isMet ? 'met' : 'missed'}: ${bar}`

/** The tables: the columns after the first two, which are the load and how it is served. */
const TABLES = {
  machine: {
    title: 'Two processes of one machine',
    columns: [
      CPU,
      ['of it in the owner', ({ median }) => percent(median.owners)],
      ...LATENCY,
      beside('CPU beside the first (range)', 'cpu'),
      ['bar', ({ ratio }, { cpu }) => (ratio.cpu && cpu ? verdict(ratio.cpu <= cpu, cpu) : '')],
    ],
  },
  bus: {
    title: 'Two machines, over a bus',
    text: '`CPU us` is that of both processes together; that of redis-server or nats-server has columns of its own, per echo and per message on the bus. What is sent in the same turn of the event loop shares a message.',
    columns: [
      CPU,
      ['CPU us of the bus', ({ median }) => num(median.bus)],
      ['messages on the bus', ({ median }) => num(median.published)],
      ['CPU us of the bus, each', (s, target, at) => (at === 0 ? '' : num(each(s)))],
      RATE,
      ...LATENCY,
      beside('CPU beside the first (range)', 'cpu'),
    ],
  },
  forged: {
    title: 'Forged ids',
    text: 'What `cluster` adds is the difference to the first line; the rest is what a request costs that is refused.',
    columns: [
      CPU,
      ['of a core, at 20,000/s', ({ at }) => (at ? share(at.cores) : '')],
      [
        'more than the first (range)',
        ({ at }) => (at?.more ? `${share(at.more.median)} (${share(at.more.low)} to ${share(at.more.high)})` : ''),
      ],
      ...LATENCY,
      [
        'bar',
        ({ at }, { more }, index) => (index === 1 && at?.more ? verdict(at.more.median <= more, share(more)) : ''),
      ],
    ],
  },
  beside: {
    title: 'One client beside polls with forged ids',
    columns: [RATE, ...LATENCY, beside('p50 beside the first (range)', 'p50'), beside('p99', 'p99')],
  },
  four: {
    title: 'Four processes',
    text: '`sticky`: each connection goes to the owner of its session. `any`: none does.',
    columns: THROUGHPUT,
  },
  socketio: {
    title: 'Four workers of Socket.IO',
    text: "Node's cluster with `@socket.io/cluster-adapter`, with `@socket.io/sticky` in the primary process or without it. CPU is that of all five processes.",
    columns: THROUGHPUT,
  },
}

const groupOf = (id) => rows.find((row) => row.id === id)?.group

/** @param {object} result of cluster.js */
function tables(result, level = '##') {
  const out = []
  for (const [group, { title, text, columns }] of Object.entries(TABLES)) {
    const chosen = result.rows.filter(({ id }) => groupOf(id) === group)
    if (chosen.length === 0) continue
    out.push(`${level} ${title}`, '', ...(text ? [text, ''] : []))
    const headings = ['load', 'served', ...columns.map(([heading]) => heading)]
    out.push(line(headings), line(headings.map((_, at) => (at < 2 ? '---' : '---:'))))
    for (const row of chosen) {
      for (const [at, [name, s]] of Object.entries(row.engines).entries()) {
        out.push(line([at === 0 ? row.title : '', name, ...columns.map(([, cell]) => cell(s, row.target, at))]))
      }
    }
    out.push('')
  }
  return `${out.join('\n').trimEnd()}\n`
}

const line = (cells) => `| ${cells.join(' | ')} |`

/** The ways of a row, in order. */
const waysOf = (result, id) => Object.values(result.rows.find((row) => row.id === id)?.engines ?? {})
/** CPU us of the bus for each of its messages. */
const each = ({ median }) => median.bus / median.published
const times = ({ ratio }) => `${ratio.cpu.toFixed(2)} times`

/** What the documents say in sentences. */
function findings(result) {
  const [echo, upgrade, poll] = ['echo', 'upgrade', 'poll'].map((id) => waysOf(result, id)[1])
  const [, redisFrame, , natsFrame] = waysOf(result, 'bus-echo')
  const [, redisPoll, , natsPoll] = waysOf(result, 'bus-poll')
  const [localFrame, frame] = waysOf(result, 'bus-echo-lone')
  const [localPoll, request] = waysOf(result, 'bus-poll-lone')
  const [, forged] = waysOf(result, 'forged')
  const out = []
  if (echo && upgrade && poll) {
    out.push(
      `- **One machine.** A message on a WebSocket that has moved takes ${times(echo)} the CPU of one at its owner, an upgrade that moves ${times(upgrade)}, and a message by POST and GET that are forwarded ${times(poll)}: where clients poll much, route by the owner (\`showOwner\`).`,
    )
  }
  if (redisFrame && redisPoll && frame && request) {
    const messages = (busy, lone) =>
      `${num(busy.median.published)} to ${num(lone.median.published)} messages on the bus`
    out.push(
      `- **Over a bus.** With 100 clients at once, an echo on a relayed WebSocket takes ${times(redisFrame)} the CPU over Redis and ${times(natsFrame)} over NATS, and an echo by POST and GET ${times(redisPoll)} and ${times(natsPoll)}. It is ${messages(redisFrame, frame)} by WebSocket, and ${messages(redisPoll, request)} by POST and GET: the more there is to send, the more shares a message.`,
    )
  }
  if (frame && request) {
    const took = (s, local) => `${num(s.median.p50)} us in place of ${num(local.median.p50)} us`
    out.push(
      `- **Latency.** An echo over Redis on the same machine takes ${took(frame, localFrame)} if it is relayed, and ${took(request, localPoll)} by POST and GET, with one client. The network's delay is added to each message.`,
    )
  }
  if (forged?.at?.more) {
    const { median, low, high } = forged.at.more
    out.push(
      `- **Forged ids.** 20,000 a second took ${share(median)} of a core more than without \`cluster\`, from round to round ${share(low)} to ${share(high)}: that is the noise of the processes. In one process, where requests with and without it take turns (\`node bench/forged.js\`), it is 2 to 3 % of a core.`,
    )
  }
  return out.join('\n')
}

/** Messages on the bus of a million relayed clients, by their heartbeats alone: a ping and a pong every 25 s. */
const HEARTBEATS = (2 * 1e6) / 25

/** What a bus carries, for the arithmetic of large numbers. */
function arithmetic(result) {
  const [, redis, nats] = waysOf(result, 'bus-echo-lone')
  if (!redis) return ''
  const cores = (s) => ((HEARTBEATS * each(s)) / 1e6).toFixed(1)
  return `- **Messages on the bus** take ${num(each(redis))} us of CPU in redis-server and ${num(each(nats))} us in nats-server, if they come one at a time. The heartbeats of a million relayed clients would be up to ${num(HEARTBEATS)} a second with \`pingInterval: 25000\`: up to ${cores(redis)} cores of redis-server, which uses one for this, or ${cores(nats)} of nats-server. Each message of a client, and each to it, is at most one more.`
}

module.exports = { tables, findings, arithmetic }
