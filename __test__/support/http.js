'use strict'

const http = require('node:http')
const { defer } = require('./cleanup')
const { deadline } = require('./events')

/**
 * One HTTP request on a connection of its own.
 *
 * Resolves with `{ status, headers, rawHeaders, body, buffer }`; the promise carries the ClientRequest as `req`.
 */
function request({ port, method = 'GET', path, headers = {}, body, ms, ...options }) {
  let req
  const answered = new Promise((resolve, reject) => {
    const agent = options.createConnection ? undefined : false
    req = http.request({ host: '127.0.0.1', port, method, path, headers, agent, ...options })
    req.on('error', reject)
    req.on('response', (res) => {
      const chunks = []
      res.on('error', reject)
      res.on('data', (chunk) => chunks.push(chunk))
      res.on('end', () => {
        const buffer = Buffer.concat(chunks)
        resolve({
          status: res.statusCode,
          headers: res.headers,
          rawHeaders: res.rawHeaders,
          body: buffer.toString('utf8'),
          buffer,
        })
      })
    })
    if (body === undefined) {
      req.end()
    } else if (body !== null) {
      req.end(body) // `null` leaves the request open: the caller writes through `promise.req`
    }
  })
  defer(() => req.destroy())
  const result = deadline(answered, `answer to ${method} ${path}`, ms)
  result.catch(() => {})
  result.req = req
  return result
}

/** Header names of a response in the order and case they had on the wire. */
function headerNames(response) {
  return response.rawHeaders.filter((_, i) => i % 2 === 0)
}

module.exports = { request, headerNames }
