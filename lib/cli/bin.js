#!/usr/bin/env node
'use strict'

process.exitCode = require('./doctor').main(process.argv.slice(2))
