'use strict'

// npm run example -- NAME: sets up what is missing, then runs an example of the folder `examples`.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { build } = require('./build')
const { checkNode, checkRust, installPackages, step } = require('./setup')

const folder = path.join(__dirname, '..', 'examples')
const names = fs.readdirSync(folder).filter((name) => fs.existsSync(path.join(folder, name, 'server.js')))
const [name, ...args] = process.argv.slice(2)

if (!names.includes(name)) {
  console.error(`npm run example -- NAME: expected one of ${names.join(', ')}, and got ${name ?? 'no name'}.`)
  process.exit(2)
}

checkNode()
checkRust()
installPackages()
step('building the engine (the first time takes a minute or two)')
build()
const local = path.join(folder, 'local.js')
const child = spawn(process.execPath, ['--require', local, path.join(folder, name, 'server.js'), ...args], {
  stdio: 'inherit',
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
// as a shell tells of a signal: 130 for SIGINT
child.on('exit', (code, signal) => process.exit(code ?? 128 + os.constants.signals[signal]))
