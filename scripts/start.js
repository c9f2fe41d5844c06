'use strict'

// npm start: sets up what is missing, then runs the live demo. Arguments go to the demo (`--engine=upstream`).

const { build } = require('./build')
const { checkNode, checkRust, installPackages, step } = require('./setup')

checkNode()
checkRust()
installPackages()
step('building the engine (the first time takes a minute or two)')
build()
require('../examples/demo/server.js')
