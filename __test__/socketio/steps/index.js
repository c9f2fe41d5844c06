'use strict'

// One file per topic. A step is one behaviour: `{ name, modes?, run(bench) }`, where `modes` names the
// transports it applies to (all of them when absent).
module.exports = [
  'connecting',
  'namespaces',
  'rooms',
  'broadcast',
  'acknowledgements',
  'binary',
  'volatile',
  'middleware',
  'upgrade',
  'recovery',
  'disconnecting',
  'closing',
].map((topic) => ({ topic, steps: require(`./${topic}`) }))
