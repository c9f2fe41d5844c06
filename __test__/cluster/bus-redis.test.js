'use strict'

const { testClient } = require('./bus-servers')

testClient('redis')
