'use strict'

// npm run contract: writes lib/native/contract.js anew, from the numbers and texts of the core that JavaScript knows, too.

const { checkRust, run } = require('./setup')

checkRust()
const test = 'the_contract_of_javascript_is_current'
run('cargo', ['test', '--no-default-features', '--lib', '--', test], { env: { WRITE_CONTRACT: '1' } })
