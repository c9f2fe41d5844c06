'use strict'

// The Socket.IO scenario: everything an application does with Socket.IO, over each transport, printed as a
// list. Uses the socket.io and socket.io-client of the working directory:
//
//   cd my-app && node <here>/scenario.js [mode]...            whatever engine.io that app resolves
//   node -r ./__test__/socketio/use-engine.js __test__/socketio/scenario.js     this checkout (ENGINE=upstream)

const { MODES, engineInUse, runStep } = require('./harness')
const topics = require('./steps')

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})

async function main() {
  const wanted = process.argv.slice(2)
  const modes = Object.keys(MODES).filter((mode) => wanted.length === 0 || wanted.includes(mode))
  const engine = engineInUse()
  console.log(`Socket.IO on ${engine.name}@${engine.version} (${engine.entry})`)

  const start = performance.now()
  let passed = 0
  const failed = []
  for (const mode of modes) {
    console.log(`\n${mode}`)
    for (const { topic, steps } of topics) {
      for (const step of steps) {
        if (step.modes && !step.modes.includes(mode)) continue
        try {
          await runStep(step, mode)
          passed++
          console.log(`  ✔ ${topic}: ${step.name}`)
        } catch (error) {
          failed.push(step.name)
          console.log(`  ✘ ${topic}: ${step.name}\n${String(error.stack).replace(/^/gm, '      ')}`)
        }
      }
    }
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  console.log(`\n${passed} steps passed, ${failed.length} failed, ${seconds} s`)
  if (failed.length > 0) process.exitCode = 1
}
