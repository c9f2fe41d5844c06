'use strict'

// A program and what came of it, for people.

const { makeShow } = require('./show')
const { domainOf } = require('./domains')

const show = makeShow()

function tellProgram(program) {
  const lines = [`mode ${program.mode}, protocol ${program.protocol}`]
  for (const [name, value] of Object.entries(program.options)) lines.push(`option ${name}: ${show(value)}`)
  for (const hook of program.hooks) lines.push(`hook ${JSON.stringify(hook)}`)
  if (program.listeners.length > 0)
    lines.push(`on connection: ${domainOf(program.mode).tellListeners(program.listeners)}`)
  if (program.kind === 'timed') lines.push('timers fire, so that it is left open in which step something is seen')
  if (program.deaf) lines.push('clients do not answer close frames nor ends')
  const watched = Object.entries(program.watch).filter(([, events]) => events.length > 0)
  if (watched.length > 0)
    lines.push(`listeners: ${watched.map(([kind, events]) => `${kind} (${events.join(', ')})`).join(', ')}`)
  return lines
}

const indent = (text, by) =>
  text
    .replaceAll('\r', '')
    .split('\n')
    .join(`\n${' '.repeat(by)}`)

/** Where one step led, as text: what is the same on both sides once, else both. */
function tellStep(left, right, names) {
  const lines = []
  const objects = new Set([...Object.keys(left.streams), ...Object.keys(right.streams)])
  for (const object of objects) {
    const [a, b] = [left.streams[object] ?? [], right.streams[object] ?? []]
    for (let i = 0; i < Math.max(a.length, b.length); i++) {
      if (a[i] === b[i]) lines.push(`      ${object}: ${indent(a[i], 10)}`)
      else
        lines.push(
          `  !   ${object}:`,
          `        ${names[0]}: ${indent(a[i] ?? 'nothing', 14)}`,
          `        ${names[1]}: ${indent(b[i] ?? 'nothing', 14)}`,
        )
    }
  }
  for (const object of new Set([...Object.keys(left.state), ...Object.keys(right.state)])) {
    const [a, b] = [left.state[object] ?? {}, right.state[object] ?? {}]
    for (const field of new Set([...Object.keys(a), ...Object.keys(b)])) {
      if (a[field] !== b[field])
        lines.push(`  !   ${object}: ${field} is ${a[field]} (${names[0]}), ${b[field]} (${names[1]})`)
    }
  }
  return lines
}

/** @param {{ program: object, left: object[], right: object[], names: [string, string] }} found */
function tell({ program, left, right, names }) {
  const lines = tellProgram(program).map((line) => `  ${line}`)
  const { drawn } = domainOf(program.mode)
  const steps = ['the server is opened', ...program.steps.map((step) => drawn[step.kind].tell(step)), 'server.close()']
  steps.forEach((step, i) => {
    const seen = tellStep(left[i], right[i], names)
    if (i > 0 && (i < steps.length - 1 || seen.length > 0)) lines.push(`  ${i}. ${step}`)
    lines.push(...seen)
  })
  return lines.join('\n')
}

/** The command that runs this very program. */
function command(program) {
  return `npm run twin -- --replay '${JSON.stringify(program).replaceAll("'", "'\\''")}'`
}

module.exports = { tell, command }
