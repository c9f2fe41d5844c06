'use strict'

const { devDependencies } = require('../../package.json')
const versions = require('./versions.json')

/** The versions of some packages with which this package is tried, as dependencies of an application with Socket.IO. */
function dependenciesOn(...names) {
  const { 'socket.io': server, 'socket.io-client': client } = devDependencies
  const dependencies = { 'socket.io': server, 'socket.io-client': client }
  for (const name of names) {
    if (versions[name] === undefined) throw new Error(`expected a version of ${name} in versions.json, got none`)
    dependencies[name] = versions[name]
  }
  return dependencies
}

module.exports = { dependenciesOn, versions }
