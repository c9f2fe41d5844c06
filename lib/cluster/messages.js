'use strict'

// Reads the heads of peers' messages. A peer has the key, but may be another program by mistake or on purpose: what it
// sends is data and must not make an exception here.

const { validateHeaderName, validateHeaderValue } = require('http')
const { HeadField } = require('../native/contract')
const { forwardedRequest, movedRequest } = require('../session/lazy-request')

/** The versions of HTTP in the heads of requests. */
const VERSIONS = ['1.0', '1.1']

/** Headers that say how the body is sent, which Node decides. */
const FRAMING = ['trailer', 'transfer-encoding']

/** Returns a value that is written as JSON; undefined if the text is not JSON. */
function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Returns whether this can be written as headers of a response. */
function areHeaders(headers) {
  if (!isRecord(headers)) return false
  try {
    for (const name of Object.keys(headers)) {
      validateHeaderName(name)
      const values = Array.isArray(headers[name]) ? headers[name] : [headers[name]]
      for (const value of values) {
        if (typeof value === 'object') return false
        validateHeaderValue(name, value)
      }
    }
    return true
  } catch {
    return false
  }
}

/**
 * Reads the answer to a request.
 *
 * @returns {{status: number, headers: Record<string, any>} | undefined} undefined if it cannot be written
 */
function readAnswer(head, body) {
  const answer = readAnswerHead(head)
  if (answer === undefined) return undefined
  const { status, headers, length } = answer
  return length === undefined || length === (body === undefined ? 0 : body.length) ? { status, headers } : undefined
}

/**
 * Reads the head of the answer to a request.
 *
 * @returns {{status: number, headers: Record<string, any>, length: number | undefined} | undefined} with the length of
 *   the body if the head has it; undefined if it cannot be written
 */
function readAnswerHead(head) {
  const answer = parse(head)
  if (!Array.isArray(answer)) return undefined
  const [status, headers] = answer
  // a response below 200 is not the last one
  if (!Number.isInteger(status) || status < 200 || status > 999 || !areHeaders(headers)) return undefined
  let length
  for (const name of Object.keys(headers)) {
    const lower = name.toLowerCase()
    if (FRAMING.includes(lower)) return undefined
    if (lower !== 'content-length') continue
    if (length !== undefined || !(Number(headers[name]) >= 0)) return undefined
    length = Number(headers[name])
  }
  return { status, headers, length }
}

/**
 * Reads why a request is refused.
 *
 * @returns {{code: number, context: any} | undefined} undefined if it is something else
 */
function readRefusal(head) {
  const refusal = parse(head)
  if (!Array.isArray(refusal)) return undefined
  const [code, context] = refusal
  if (!Number.isInteger(code) || !isRecord(context)) return undefined
  // this may be written to the client
  if (context.message !== undefined && typeof context.message !== 'string') return undefined
  return { code, context }
}

/** Reads the head of a poll or a POST. Returns undefined if it is something else. */
function readRequest(head, body) {
  return isHead(head) ? attempt(() => forwardedRequest(head, body)) : undefined
}

/**
 * Reads the head of an upgrade.
 *
 * @returns {{head: string, headers: Record<string, any>} | undefined} the head of the request and the headers for its
 *   response; undefined if it is something else
 */
function readMove(text) {
  const at = text.indexOf('\0')
  const head = text.slice(at + 1)
  const headers = parse(text.slice(0, Math.max(at, 0)))
  return areHeaders(headers) && isHead(head) ? { head, headers } : undefined
}

/** Makes the request of an upgrade. Returns undefined if its target is not a URL. */
function upgradeRequest(head, socket) {
  return attempt(() => movedRequest(head, socket))
}

/** Returns whether a text has the fields of a request's head, and headers of which each has a name and a value. */
function isHead(text) {
  const fields = text.split('\0')
  const names = fields.slice(HeadField.HEADERS, -1)
  if (fields.length <= HeadField.HEADERS || fields.at(-1) !== '' || names.length % 2 !== 0) return false
  if (!VERSIONS.includes(fields[HeadField.VERSION])) return false
  return names.every((name, at) => at % 2 !== 0 || name !== '')
}

/** Returns what the function returns; undefined if it throws. */
function attempt(make) {
  try {
    return make()
  } catch {
    return undefined
  }
}

module.exports = { readAnswer, readAnswerHead, readMove, readRefusal, readRequest, upgradeRequest }
