'use strict'

// How values stand in a record: the same text for the same value, on both sides.

const { createHash } = require('node:crypto')

const LONG = 300

/** Text of bytes; long ones by their length and a hash. */
function brief(data, encoding = 'utf8') {
  const text = typeof data === 'string' ? data : data.toString(encoding)
  if (text.length <= LONG) return encoding === 'hex' ? `<${text}>` : JSON.stringify(text)
  // ids are other ones in each run
  const hash = createHash('sha1')
    .update(text.replace(/(sid\\*":\\*")[\w-]+/g, '$1'))
    .digest('hex')
    .slice(0, 8)
  return `${JSON.stringify(text.slice(0, 60))}… (${text.length}, ${hash})`
}

const isStack = (value) => typeof value === 'string' && value.includes('\n    at ')

/** @param {(value: object) => string | undefined} named names the objects that the record knows */
function makeShow(named = () => undefined) {
  const showError = (error, depth) => {
    const parts = [error.constructor?.name ?? 'Error']
    if (error.code !== undefined) parts.push(`code ${String(error.code)}`)
    if (error.type !== undefined) parts.push(`type ${String(error.type)}`)
    parts.push(JSON.stringify(String(error.message)))
    if ('description' in error) parts.push(`description ${show(error.description, depth + 1)}`)
    return parts.join(' ')
  }

  const showObject = (value, depth) => {
    if (depth > 4) return '{…}'
    const proto = Object.getPrototypeOf(value)
    const name = proto === null || proto === Object.prototype ? '' : `${value.constructor?.name} `
    return `${name}{${Object.keys(value)
      .map((key) => `${key}: ${show(value[key], depth + 1)}`)
      .join(', ')}}`
  }

  const show = (value, depth = 0) => {
    if (value === null || value === undefined) return String(value)
    // a stack has paths and line numbers
    if (isStack(value)) return `<stack of ${value.split('\n')[0]}>`
    if (typeof value === 'string') return brief(value)
    if (typeof value === 'function') return 'function'
    if (typeof value !== 'object') return typeof value === 'bigint' ? `${value}n` : String(value)
    const name = named(value)
    if (name !== undefined) return name
    if (Buffer.isBuffer(value)) return `Buffer ${brief(value, 'hex')}`
    if (ArrayBuffer.isView(value)) {
      return `${value.constructor.name} ${brief(Buffer.from(value.buffer, value.byteOffset, value.byteLength), 'hex')}`
    }
    if (value instanceof ArrayBuffer) return `ArrayBuffer ${brief(Buffer.from(value), 'hex')}`
    if (value instanceof Error) return showError(value, depth)
    if (Array.isArray(value)) return `[${value.map((item) => show(item, depth + 1)).join(', ')}]`
    return showObject(value, depth)
  }
  return show
}

module.exports = { brief, makeShow }
