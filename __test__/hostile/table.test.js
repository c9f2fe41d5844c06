'use strict'

// The table is whole: each cell is an attack that is run, or says why there is nothing to attack.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { doors } = require('./doors')
const faults = require('./faults')
const { defects } = require('./defects')
const { rows, attacks, columns, KINDS, cellOf } = require('./table')

const NEEDS = ['http', 'polling', 'channel', 'frames', 'streams', 'upgrade', 'hooks', 'compression']

test('the rows are all doors, in both revisions of the protocol where they speak both', () => {
  assert.deepEqual(
    doors.map(({ name }) => name),
    [
      'attach',
      'handleRequest + handleUpgrade',
      'https',
      'streams',
      'listen',
      'native listener',
      'wsEngine: ws',
      'onWebSocket',
      'WebTransport',
      'uServer',
    ],
  )
  assert.equal(rows.length, doors.length * 2 - 1)
})

test('the columns are all kinds of attacks, and no two have one name', () => {
  assert.deepEqual([...new Set(attacks.map(({ kind }) => kind))].sort(), [...KINDS].sort())
  assert.equal(new Set(attacks.map(({ name }) => name)).size, attacks.length)
})

test('no cell is empty: attacks are run, or there is a reason for each that is not', () => {
  for (const row of rows) {
    for (const column of columns) {
      const cell = cellOf(row, column)
      if (cell.attacks.length === 0 && cell.defects.length === 0) assert.match(cell.notApplicable, /\w+ \w+/)
      for (const { run } of cell.attacks) assert.equal(typeof run, 'function')
      for (const { reason } of cell.defects) assert.match(reason, /\w+ \w+/)
    }
  }
})

test('a cell without attacks is at a door that lacks what all of its attacks need', () => {
  for (const row of rows) {
    for (const column of columns) {
      const lacking = column.attacks.every(({ needs }) => needs.some((need) => row.lacks[need] !== undefined))
      assert.equal(cellOf(row, column).notApplicable !== undefined, lacking, `${row.name}: ${column.name}`)
    }
  }
})

test('the attacks of a column can share a server', () => {
  for (const { attacks: all, fault, opts, other, closes } of columns) {
    for (const attack of all) {
      assert.deepEqual(
        [attack.fault, attack.opts, attack.other ?? false, attack.closes ?? false],
        [fault, opts, other, closes],
      )
    }
    if (fault !== undefined) assert.equal(all.length, 1)
  }
})

test('attacks and doors name only what there is', () => {
  for (const { needs, fault } of attacks) {
    for (const need of needs) assert.ok(NEEDS.includes(need), need)
    if (fault !== undefined) assert.equal(typeof faults[fault], 'function', fault)
  }
  for (const { lacks } of rows) for (const need of Object.keys(lacks)) assert.ok(NEEDS.includes(need), need)
})

test('each defect of the original has a cell and a reason', () => {
  for (const defect of defects) {
    assert.match(defect.reason, /\w+ \w+/)
    const matches = (pattern, name) =>
      pattern === undefined || (pattern instanceof RegExp ? pattern.test(name) : pattern === name)
    assert.ok(
      rows.some((row) => matches(defect.row, row.name)),
      String(defect.row),
    )
    assert.ok(
      attacks.some((attack) => matches(defect.attack, attack.name)),
      String(defect.attack),
    )
  }
})
