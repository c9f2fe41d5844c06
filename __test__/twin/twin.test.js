'use strict'

// The machine must be able to fail: each planted difference is found, made small, and told.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const { unexplained } = require('./exceptions')
const { rare } = require('./exceptions/rare')
const { bound, context, noticed, worldOf } = require('./faults')

const RUN = path.join(__dirname, 'run.js')
const PLANTED = path.join(__dirname, '../fixtures/planted.js')

function twin(args, env = {}, script = RUN) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (output += text))
    child.on('close', (code) => resolve({ code, output }))
  })
}

const NONE = ['--mode', 'attach', '--seed', '7', '--left', 'upstream']

/** A planted difference, and hooks whose rows once explained all that came of them. */
const hooks = [
  { hook: 'headersListener', event: 'headers', how: 'throw' },
  { hook: 'middleware', how: 'line break' },
  { hook: 'allowRequest', how: 'twice' },
  { hook: 'generateId', how: 'same' },
  { hook: 'allowRequest', how: 'throw' },
  { hook: 'middleware', how: 'answer and go on' },
]

for (const hook of hooks) {
  test(`an exception hides nothing else: ${hook.hook}, ${hook.how}`, () => {
    const steps = [
      { kind: 'abandon', transport: 'polling', how: 'reset' },
      { kind: 'openPolling', as: 'a' },
    ]
    const step = { streams: { server: ['generateId(<request>)'] }, state: {}, readyStates: { '{a}': 'open' } }
    const of = {
      program: { mode: 'attach', hooks: [hook], options: {}, listeners: [], steps },
      left: [step, step, step],
    }
    const [left, right] = ['HTTP/1.1 200 OK\nDate: <date>\n\n"ok"', 'HTTP/1.1 200 OK\nX-Planted: yes\n\n"ok"']
    const object = 'client a, handshake 1'
    const fault = 'uncaughtException TypeError "planted"'
    const planted = [
      { step: 0, object, left, right, lefts: [left], rights: [right] },
      { step: 0, object: 'session {a}', left: 'message("a")', lefts: ['message("a")'], rights: [] },
      { step: 0, object: 'process', left: undefined, right: fault, lefts: [], rights: [fault] },
    ]
    assert.deepEqual(unexplained(planted, { ...of, right: of.left }), planted)
  })
}

test('an exception hides nothing else: a listener that throws', () => {
  const streams = { process: ['uncaughtException Error "twin: the application"'], 'session {a}': ['message("a")'] }
  const step = { streams, state: {}, readyStates: { '{a}': 'open' } }
  const listeners = [{ do: 'listen', on: 'socket', event: 'message', calls: [{ do: 'throw' }] }]
  const of = { program: { mode: 'attach', hooks: [], options: {}, listeners, steps: [] }, left: [step], right: [step] }
  const about = { step: 0, object: 'session {a}' }
  const planted = [
    { ...about, left: 'message("a")', right: 'message("b")', lefts: ['message("a")'], rights: ['message("b")'] },
  ]
  const more = {
    ...about,
    left: undefined,
    right: 'message("b")',
    lefts: ['message("a")'],
    rights: ['message("a")', 'message("b")'],
  }
  assert.deepEqual(unexplained(planted, of), planted)
  assert.deepEqual(unexplained([more], of), [])
})

test('what a bound function throws belongs to its own program, though another recorded something last', () => {
  const [own, other] = [{ name: 'own' }, { name: 'other' }]
  const fail = context.run(own, () =>
    bound(() => {
      throw new TypeError('of no mark')
    }),
  )
  noticed(other)
  try {
    fail()
    assert.fail('it did not throw')
  } catch (error) {
    assert.equal(worldOf(error), own)
  }
})

for (const [key, program] of Object.entries(rare)) {
  test(`an exception is needed by its program: ${key}`, async () => {
    const { code, output } = await twin(['--replay', JSON.stringify(program)])
    assert.equal(code, 0, output)
    assert.ok(output.includes(`explained by ${key}`), output)
  })
}

test('the original cannot be told from itself', async () => {
  const { code, output } = await twin([...NONE, '--right', 'upstream', '--count', '100'])
  assert.equal(code, 0, output)
  assert.match(output, /^twin: 100 passed, 0 failed/m)
})

/** What is planted, how its difference is called, how few steps show it, and how many programs find it. */
const plants = [
  ['a header', /^client [a-z ]+: response \d+, otherwise$/m, 1, 15],
  ["a packet's text", /^client (websocket|upgrade): frame text, otherwise$/m, 3, 90],
  ['an event that is missing', /^session: heartbeat \| nothing$/m, 3, 250],
  ['a state', /^session: readyState closed \| closing$/m, 3, 90],
  ['an order', /^transport of session: (drain|ready) \| (drain|ready)$|drain \| nothing$/m, 3, 90],
  ['a reason', /^session: close, otherwise$/m, 3, 90],
  ['an exception', /TypeError "planted"/m, 4, 90],
]

for (const [plant, wanted, most, count] of plants) {
  test(`a difference is found and shrunk: ${plant}`, async () => {
    const { code, output } = await twin([...NONE, '--right', PLANTED, '--count', String(count), '--most', '3'], {
      PLANT: plant,
    })
    assert.equal(code, 1, output)
    assert.match(output, wanted)
    assert.match(output, /shrunk in [\d.]+ s/)
    const programs = [...output.matchAll(/--replay '(.*)'$/gm)].map(([, json]) => JSON.parse(json))
    assert.ok(
      programs.some(({ steps }) => steps.length <= most),
      `no program has ${most} steps or fewer: ${output}`,
    )
  })
}

test('the command that is printed shows the difference again', async () => {
  const first = await twin([...NONE, '--right', PLANTED, '--count', '15', '--most', '1'], { PLANT: 'a header' })
  const [, program] = /--replay '(.*)'$/m.exec(first.output)
  const second = await twin(['--left', 'upstream', '--right', PLANTED, '--replay', program], { PLANT: 'a header' })
  assert.equal(second.code, 1)
  assert.match(second.output, /X-Planted: yes/)
})

test('the long run goes on where it was, adds up, and names the exceptions that nothing needs', async (t) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'twin-'))
  t.after(() => fs.rmSync(directory, { recursive: true }))
  const summary = path.join(directory, 'summary.json')
  const run = (count) => {
    const given = { directory, summary, mode: 'attach', attach: count, seed: 7 }
    const args = Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)])
    return twin(args, {}, path.join(__dirname, 'long.js'))
  }
  const { code, output } = await run(15)
  assert.equal(code, 1, output)
  assert.match(output, /^no program needs the exception of row /m)
  assert.equal(JSON.parse(fs.readFileSync(summary)).programs, 30)
  const results = fs.readdirSync(directory).filter((name) => name.startsWith('attach') && name.endsWith('.json'))
  assert.equal(results.length, 2)
  for (const name of results) {
    const file = path.join(directory, name)
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"programs": 15', '"programs": 1000'))
  }
  await run(15)
  assert.equal(JSON.parse(fs.readFileSync(summary)).programs, 2000)
})
