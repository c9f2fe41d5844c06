'use strict'

// A balancer without stickiness: each request gets a connection of its own to the port that the processes share, and
// Node's cluster gives each connection to the next process. HAProxy and nginx do the same by default.

const http = require('node:http')
const net = require('node:net')
const { pipeline } = require('node:stream')

/** Passes WebSockets of `front` on, and returns a function that does so with other requests. */
function balance(front, port) {
  const place = { port, host: '127.0.0.1' }

  function pass(req, res) {
    const { method, url, headers } = req
    const onward = http.request({ ...place, method, path: url, headers, agent: false }, (answer) => {
      // whether the client's connection stays open is not the other server's business
      const { connection, ...rest } = answer.headers
      res.writeHead(answer.statusCode, rest)
      pipeline(answer, res, () => {})
    })
    onward.on('error', () => {
      if (res.headersSent) res.destroy()
      else res.writeHead(502).end()
    })
    res.on('close', () => onward.destroy())
    req.pipe(onward)
  }

  front.on('upgrade', ({ method, url, rawHeaders }, socket, head) => {
    const lines = [`${method} ${url} HTTP/1.1`]
    for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`)
    const onward = net.connect(place)
    onward.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
    onward.write(head)
    pipeline(socket, onward, socket, () => {})
  })

  return { pass }
}

module.exports = { balance }
