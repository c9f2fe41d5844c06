'use strict'

// Makes a program smaller, as long as it still shows a difference of the same class.

/** Values that may stand in a program's place, each smaller than the program. */
function* smaller(program) {
  const { steps } = program
  for (let size = steps.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < steps.length; at += size)
      yield { ...program, steps: [...steps.slice(0, at), ...steps.slice(at + size)] }
  }
  if (program.hooks.length > 0)
    for (const hook of program.hooks) yield { ...program, hooks: program.hooks.filter((one) => one !== hook) }
  if (program.listeners.length > 0) yield { ...program, listeners: [] }
  if (program.deaf) yield without(program, 'deaf')
  if (program.snapshots === 'each') yield { ...program, snapshots: 'end' }
  for (const kind of ['transport', 'session', 'server']) {
    if (program.watch[kind].length > 0) yield { ...program, watch: { ...program.watch, [kind]: [] } }
  }
  for (const kind of ['transport', 'session', 'server']) {
    for (const event of program.watch[kind]) {
      yield { ...program, watch: { ...program.watch, [kind]: program.watch[kind].filter((one) => one !== event) } }
    }
  }
  for (const option of Object.keys(program.options)) {
    yield { ...program, options: without(program.options, option) }
  }
  for (const listeners of smallerLists(program.listeners)) yield { ...program, listeners }
  for (const [i, step] of steps.entries()) {
    for (const value of smallerStep(step))
      yield {
        ...program,
        steps: steps.with ? steps.with(i, value) : [...steps.slice(0, i), value, ...steps.slice(i + 1)],
      }
  }
}

/** How many programs are tried at once. */
const ABREAST = 8

/** Members of steps that are no details. */
const ESSENTIAL = new Set(['kind', 'as', 'on', 'do', 'event', 'how', 'query', 'data', 'method'])

function without(object, key) {
  const { [key]: _, ...rest } = object
  return rest
}

function* smallerStep(step) {
  for (const [key, value] of Object.entries(step)) {
    if (Array.isArray(value)) for (const list of smallerLists(value)) yield { ...step, [key]: list }
    else if (key === 'data' && value?.text?.length * (value?.times ?? 1) > 1) yield { ...step, data: { text: 'm' } }
    else if (key === 'data' && value?.bytes?.length > 2) yield { ...step, data: { bytes: '01' } }
    else if (key === 'headers' && Object.keys(value).length > 0) yield { ...step, headers: {} }
    else if (!ESSENTIAL.has(key)) yield without(step, key)
    if (Array.isArray(value) && !ESSENTIAL.has(key) && value.length === 0 && key === 'callback')
      yield without(step, key)
  }
}

function* smallerLists(list) {
  for (let i = 0; i < list.length; i++) {
    if (list.length > 1) yield [...list.slice(0, i), ...list.slice(i + 1)]
    else yield []
    if (typeof list[i] !== 'object') continue
    for (const value of smallerStep(list[i])) yield [...list.slice(0, i), value, ...list.slice(i + 1)]
  }
}

/**
 * @param {object} program
 * @param {(program: object) => Promise<boolean>} shows whether it still shows the difference
 * @param {number} most how many programs to try
 */
async function shrink(program, shows, most = 250) {
  const start = performance.now()
  let tried = 0
  let current = program
  for (let found = true; found && tried < most;) {
    found = false
    const candidates = smaller(current)
    while (!found && tried < most) {
      const some = take(candidates, ABREAST)
      if (some.length === 0) break
      tried += some.length
      const shown = await Promise.all(some.map(shows))
      const first = shown.indexOf(true)
      if (first === -1) continue
      current = some[first]
      found = true
    }
  }
  return { program: current, tried, ms: performance.now() - start }
}

function take(iterator, count) {
  const list = []
  while (list.length < count) {
    const { value, done } = iterator.next()
    if (done) break
    list.push(value)
  }
  return list
}

module.exports = { shrink }
