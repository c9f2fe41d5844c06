'use strict'

const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const { createRequire } = require('node:module')
const path = require('node:path')

const fromHere = createRequire(__filename)

const BUNDLES = {
  '/engine.io.js': bundle('engine.io-client', 'engine.io.min.js'),
  '/socket.io.js': bundle('socket.io-client', 'socket.io.min.js'),
}

/** A site on localhost with one empty page that loads both browser clients. */
async function serveSite() {
  // Chromium connects ahead of need, and a connection that it never uses would keep a server from closing for minutes
  const server = http.createServer({ headersTimeout: 2000, connectionsCheckingInterval: 500 }, (req, res) => {
    const file = BUNDLES[req.url]
    if (file) {
      res.setHeader('content-type', 'text/javascript')
      return fs.createReadStream(file).pipe(res)
    }
    if (req.url !== '/') return res.writeHead(404).end()
    res.setHeader('content-type', 'text/html; charset=utf-8')
    res.end(
      '<!doctype html><link rel="icon" href="data:,"><script src="engine.io.js"></script><script src="socket.io.js"></script>',
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${server.address().port}/` }
}

function bundle(name, file) {
  return path.join(path.dirname(fromHere.resolve(`${name}/package.json`)), 'dist', file)
}

module.exports = { serveSite }
