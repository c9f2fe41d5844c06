'use strict'

// A reporter for Node's test runner: one line of JSON for each test that failed, `{ name, error }`, and `{ passed, skipped }`.

module.exports = async function* reporter(source) {
  const names = []
  let passed = 0
  let skipped = 0
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      names.splice(data.nesting, Infinity, data.name)
    } else if (type === 'test:pass') {
      if (data.skip !== undefined || data.todo !== undefined) skipped += 1
      else if (data.details.type !== 'suite') passed += 1
    } else if (type === 'test:fail' && data.skip === undefined && data.todo === undefined) {
      const { failureType, message, cause } = data.details.error
      // Of a group those in it are told.
      if (failureType === 'subtestsFailed') continue
      const name = [...names.slice(0, data.nesting), data.name].join(' › ')
      yield `${JSON.stringify({ name, error: String(cause?.message ?? message) })}\n`
    }
  }
  yield `${JSON.stringify({ passed, skipped })}\n`
}
