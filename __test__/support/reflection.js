'use strict'

// What reflection tells of an object: its own properties and those of its prototypes, each as a short text.

const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')

/** What Node's own emitters and prototypes have; its symbols differ from version to version. */
const NODES = new Set([Object.prototype, Function.prototype, EventEmitter, EventEmitter.prototype])
const NODES_SYMBOLS = new Set(['kCapture', 'shapeMode'])

function kind(value) {
  if (value === null) return 'null'
  if (typeof value === 'function') return `function of ${value.length}`
  if (typeof value !== 'object') return typeof value
  if (Array.isArray(value)) return 'array'
  const prototype = Object.getPrototypeOf(value)
  return prototype !== null && typeof prototype.constructor === 'function' ? prototype.constructor.name : 'object'
}

/** `we- array` of a property that is writable, enumerable and not configurable; `get set -c` of an accessor. */
function text(descriptor) {
  const flag = (name, letter) => (descriptor[name] ? letter : '-')
  const tail = flag('enumerable', 'e') + flag('configurable', 'c')
  if ('value' in descriptor) return `${flag('writable', 'w')}${tail} ${kind(descriptor.value)}`
  return `${descriptor.get ? 'get ' : ''}${descriptor.set ? 'set ' : ''}${tail}`
}

/** Own properties by name; of symbols those that are enumerable, which printing and copying show. */
function own(object, except = () => false) {
  const properties = {}
  for (const key of Reflect.ownKeys(object)) {
    const descriptor = Object.getOwnPropertyDescriptor(object, key)
    if (typeof key === 'symbol' && (!descriptor.enumerable || NODES_SYMBOLS.has(key.description))) continue
    if (!except(key)) properties[String(key)] = text(descriptor)
  }
  return properties
}

/** The names of the constructors up to EventEmitter, or Node's own class. */
function chain(prototype) {
  const names = []
  for (let at = prototype; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at))
    names.push(at.constructor.name)
  return names.join(' < ')
}

/** A class: its statics, its chains, and what its instances inherit that Node does not give them. */
function shapeOfClass(Class) {
  const inherited = {}
  for (let at = Class.prototype; at !== null && !NODES.has(at); at = Object.getPrototypeOf(at)) {
    for (const [name, shape] of Object.entries(own(at, (key) => key === 'constructor'))) inherited[name] ??= shape
  }
  const statics = own(Class, (key) => key === 'length' || key === 'name' || key === 'prototype')
  return { name: Class.name, arity: Class.length, chain: chain(Class.prototype), statics, inherited }
}

/** The names that for…in meets, own or not. */
function namesIn(object) {
  const names = []
  for (const name in object) names.push(name)
  return names
}

/** One line for each difference between two snapshots, the original's text first: `Socket#ws | wec Server | missing`. */
function differences(original, ours) {
  const found = new Set()
  const note = (what, theirs, mine) => theirs !== mine && found.add(`${what} | ${theirs} | ${mine}`)
  const compare = (prefix, theirs, mine) => {
    for (const name of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
      note(prefix + name, theirs[name] ?? 'missing', mine[name] ?? 'missing')
    }
  }
  assert.deepEqual(Object.keys(ours.stages), Object.keys(original.stages))
  for (const [name, stages] of Object.entries(original.stages)) {
    for (const [stage, theirs] of Object.entries(stages)) {
      const mine = ours.stages[name][stage]
      compare(`${name}#`, theirs.own, mine.own)
      const order = (one, other) =>
        Object.keys(one.own)
          .filter((key) => Object.hasOwn(other.own, key))
          .join(' ')
      note(`${name}: the order of what both have`, order(theirs, mine), order(mine, theirs))
      const inherits = (shape, key) => (shape.inherits.includes(key) ? 'yes' : 'no')
      for (const key of new Set([...theirs.inherits, ...mine.inherits])) {
        const isOwn = Object.hasOwn(theirs.own, key) || Object.hasOwn(mine.own, key)
        if (!isOwn) note(`${name}: for…in meets ${key}`, inherits(theirs, key), inherits(mine, key))
      }
    }
  }
  for (const [name, { statics, inherited, ...rest }] of Object.entries(original.classes)) {
    const mine = ours.classes[name]
    for (const property of Object.keys(rest))
      note(`${name}: its ${property}`, String(rest[property]), String(mine[property]))
    compare(`${name}.`, statics, mine.statics)
    compare(`${name}.prototype.`, inherited, mine.inherited)
  }
  for (const name of Object.keys(original.statics)) compare(`${name}.`, original.statics[name], ours.statics[name])
  return [...found].sort()
}

module.exports = { own, shapeOfClass, namesIn, differences }
