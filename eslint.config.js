'use strict'

const js = require('@eslint/js')
const globals = require('globals')

/** Rules beyond the recommended ones, each because it finds mistakes; layout is prettier's business. */
const rules = {
  ...js.configs.recommended.rules,
  'array-callback-return': 'error',
  'default-case-last': 'error',
  eqeqeq: ['error', 'always', { null: 'ignore' }],
  // U+001E separates packets
  'no-control-regex': 'off',
  'no-constructor-return': 'error',
  'no-else-return': 'error',
  'no-eval': 'error',
  'no-extend-native': 'error',
  'no-implied-eval': 'error',
  'no-lonely-if': 'error',
  'no-new-wrappers': 'error',
  'no-return-assign': ['error', 'except-parens'],
  'no-self-compare': 'error',
  'no-sequences': 'error',
  'no-template-curly-in-string': 'error',
  'no-throw-literal': 'error',
  'no-unneeded-ternary': 'error',
  'no-unreachable-loop': 'error',
  'no-unused-expressions': 'error',
  'no-unused-vars': ['error', { args: 'after-used', caughtErrors: 'all', ignoreRestSiblings: true }],
  'no-use-before-define': ['error', { functions: false, classes: false, variables: false }],
  'no-useless-call': 'error',
  'no-useless-computed-key': 'error',
  'no-useless-rename': 'error',
  'no-useless-return': 'error',
  'no-var': 'error',
  'object-shorthand': 'error',
  'prefer-const': ['error', { destructuring: 'all', ignoreReadBeforeAssign: true }],
  'prefer-object-has-own': 'error',
  'prefer-promise-reject-errors': 'error',
  'prefer-rest-params': 'error',
  'prefer-spread': 'error',
  strict: ['error', 'global'],
  yoda: 'error',
}

module.exports = [
  { ignores: ['**/node_modules/', '**/target/', 'bench/results/', 'dist/', '.cache/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' }, rules },
  { files: ['**/*.js'], languageOptions: { ecmaVersion: 2023, sourceType: 'commonjs', globals: globals.node } },
  { files: ['**/*.mjs'], languageOptions: { ecmaVersion: 2023, sourceType: 'module', globals: globals.node } },
  // Functions in these files run in a page.
  { files: ['__test__/e2e/*.js'], languageOptions: { globals: { document: false, window: false, client: false } } },
  { files: ['examples/demo/public/*.js'], languageOptions: { globals: { ...globals.browser, eio: false } } },
]
