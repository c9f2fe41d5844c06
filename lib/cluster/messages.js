'use strict'

// Reads the heads of peers' messages. A peer has the key, but may be another program by mistake or on purpose: what it
// sends is data and must not make an exception here.

const { validateHeaderName, validateHeaderValue } = require('http')
const { HeadField } = require('../native/contract')
const { ForwardedRequest, movedRequest, openingRequest } = require('../session/lazy-request')

/** The versions of HTTP in the heads of requests. Node's servers for HTTP/2 have the same requests. */
const VERSIONS = ['1.0', '1.1', '2.0']

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
  const known = answers.get(head)
  // who writes the headers may change them
  if (known !== undefined) return { status: known.status, headers: { ...known.headers }, length: known.length }
  const answer = checkAnswerHead(head)
  if (answer !== undefined && head.length <= MAX_KNOWN_LENGTH && !Object.values(answer.headers).some(Array.isArray)) {
    if (answers.size >= MAX_KNOWN) answers.clear()
    answers.set(head, { ...answer, headers: { ...answer.headers } })
  }
  return answer
}

/** Heads of answers that were read before. Most answers have one of few heads. */
const answers = new Map()
const MAX_KNOWN = 64
const MAX_KNOWN_LENGTH = 256

function checkAnswerHead(head) {
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
  const fields = fieldsOf(head)
  return fields && attempt(() => new ForwardedRequest(fields, body))
}

/**
 * Reads the head of the request that has opened a session at another process. Returns undefined if it is something else,
 * or if such sessions do not move.
 */
function readOpening(head) {
  const fields = fieldsOf(head)
  const req = fields && attempt(() => openingRequest(fields))
  const isRight = req?.method === 'GET' && req._query.EIO === '4' && !req._query.sid && req._query.j === undefined
  return isRight ? req : undefined
}

/**
 * Reads the head of an upgrade.
 *
 * @returns {{head: string[], headers: Record<string, any>} | undefined} the fields of the request's head and the headers
 *   for its response; undefined if it is something else
 */
function readMove(text) {
  const at = text.indexOf('\0')
  const head = fieldsOf(text.slice(at + 1))
  const json = text.slice(0, Math.max(at, 0))
  const headers = json === '{}' ? {} : parse(json)
  return head !== undefined && areHeaders(headers) ? { head, headers } : undefined
}

/** Makes the request of an upgrade. Returns undefined if its target is not a URL. */
function upgradeRequest(head, socket) {
  return attempt(() => movedRequest(head, socket))
}

/**
 * Returns the fields of a request's head, with headers of which each has a name and a value, and an empty one at the end;
 * undefined if the text is something else.
 */
function fieldsOf(text) {
  const fields = text.split('\0')
  const { length } = fields
  const isHead = length > HeadField.HEADERS && fields[length - 1] === '' && (length - 1 - HeadField.HEADERS) % 2 === 0
  if (!isHead || !VERSIONS.includes(fields[HeadField.VERSION])) return undefined
  for (let at = HeadField.HEADERS; at < length - 1; at += 2) if (fields[at] === '') return undefined
  return fields
}

/** Returns what the function returns; undefined if it throws. */
function attempt(make) {
  try {
    return make()
  } catch {
    return undefined
  }
}

module.exports = { readAnswer, readAnswerHead, readMove, readOpening, readRefusal, readRequest, upgradeRequest }
