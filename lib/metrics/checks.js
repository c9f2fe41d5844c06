'use strict'

// What exporters are given: mistakes throw before anything is exported, because a scrape with an invalid name or value
// is lost as a whole.

/** Names of Prometheus. */
const METRIC_NAME = /^[A-Za-z_:][A-Za-z0-9_:]*$/
const LABEL_NAME = /^(?!__)[A-Za-z_][A-Za-z0-9_]*$/

/** Labels that values have of their own. */
const OWN_LABELS = ['transport', 'protocol', 'reason', 'state', 'direction', 'how', 'why', 'quantile', 'le']

const OPTIONS = ['labels', 'prefix', 'eventLoop']

/**
 * Returns the options of an exporter.
 *
 * @param {any} server
 * @param {any} options
 * @param {RegExp} [labelName] what the names of labels have to match
 * @throws {TypeError} that says what is wrong, and what was expected
 */
function checked(server, options, labelName = LABEL_NAME) {
  checkMethods('server', server, ['metrics'])
  if (!isObject(options)) throw new TypeError(`the options must be an object, got ${shown(options)}`)
  for (const name of Object.keys(options)) {
    if (!OPTIONS.includes(name)) {
      throw new TypeError(`the option ${name} is unknown; the options are ${OPTIONS.join(', ')}`)
    }
  }
  const { labels, prefix, eventLoop } = Object.assign(Object.create(null), options)
  if (prefix !== undefined && !(typeof prefix === 'string' && (prefix === '' || METRIC_NAME.test(prefix)))) {
    throw new TypeError(`prefix must be the beginning of a name, of letters, digits, _ and :, got ${shown(prefix)}`)
  }
  if (eventLoop !== undefined && typeof eventLoop !== 'boolean') {
    throw new TypeError(`eventLoop must be a boolean, got ${shown(eventLoop)}`)
  }
  if (labels !== undefined) checkLabels(labels, labelName)
  return { labels, prefix, eventLoop }
}

function checkLabels(labels, labelName) {
  if (!isObject(labels)) throw new TypeError(`labels must be an object, got ${shown(labels)}`)
  for (const [name, value] of Object.entries(labels)) {
    if (name === '' || !labelName.test(name)) {
      throw new TypeError(`the name of a label must have letters, digits and _ only, got ${shown(name)}`)
    }
    if (OWN_LABELS.includes(name)) {
      throw new TypeError(
        `labels must not be named ${OWN_LABELS.join(', ')}, which the values have of their own; got ${name}`,
      )
    }
    if (typeof value !== 'string' && typeof value !== 'boolean' && !Number.isFinite(value)) {
      throw new TypeError(`the label ${name} must be a string, a number or a boolean, got ${shown(value)}`)
    }
  }
}

/** @throws {TypeError} if an object lacks one of the methods */
function checkMethods(what, object, methods) {
  const missing = methods.find((name) => typeof object?.[name] !== 'function')
  if (missing !== undefined) throw new TypeError(`the ${what} must have a method ${missing}(), got ${shown(object)}`)
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function shown(value) {
  if (typeof value === 'string') return `'${value}'`
  return typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value)
}

module.exports = { checked, checkMethods }
