'use strict'

// What an application gives the server beside plain options: functions, built from data.

/** An id that is given to every session. */
const SAME_ID = 'always-the-same-id'

/** How long a hook takes that takes its time. */
const LATER_MS = 15

/** Decides later. A connection that has been cut off before is seen to be: timers may fire before connections are read. */
function later(world, decide) {
  world.deciding++
  world.onDeciding?.()
  setTimeout(
    () =>
      setImmediate(() => {
        world.deciding--
        decide()
      }),
    LATER_MS,
  )
}

const HOOKS = {
  allowRequest: {
    draw: (random) => ({
      how: random.pick(['accept', 'accept', 'later', 'refuse', 'refuseLater', 'throw', 'twice', 'object']),
    }),
    apply({ how }, options, world) {
      options.allowRequest = (req, callback) => {
        world.record('server', `allowRequest(${world.observer.show(req)})`)
        if (how === 'throw') throw world.error('allowRequest')
        const reason = how === 'object' ? { not: 'a string' } : 'not today'
        const decide =
          how.startsWith('refuse') || how === 'object' ? () => callback(reason, false) : () => callback(null, true)
        if (how === 'twice') decide()
        if (how.endsWith('ater')) later(world, decide)
        else decide()
      }
    },
  },
  generateId: {
    draw: (random) => ({ how: random.pick(['sync', 'promise', 'throw', 'reject', 'same']) }),
    after({ how }, engine, world) {
      let last = 0
      engine.generateId = (req) => {
        world.record('server', `generateId(${world.observer.show(req)})`)
        const id = `made-by-the-application-${++last}`
        if (how === 'same') return SAME_ID
        if (how === 'throw') throw world.error('generateId')
        if (how === 'reject') return Promise.reject(world.error('generateId'))
        return how === 'promise' ? Promise.resolve(id) : id
      }
    },
  },
  middleware: {
    draw: (random) => ({
      how: random.pick([
        'header',
        'header',
        'later',
        'vary',
        'fail',
        'answer',
        'cookie',
        'several',
        'line break',
        'answer and go on',
        'look',
      ]),
    }),
    after({ how }, engine, world) {
      engine.use((req, res, next) => {
        if (world.program.kind !== 'real') world.record('server', `middleware(${world.observer.show(req)})`)
        if (how === 'header') res.setHeader('X-Middleware', 'yes')
        if (how === 'vary') res.setHeader('Vary', 'Accept')
        if (how === 'cookie') res.setHeader('Set-Cookie', 'a=1')
        if (how === 'fail') return next(world.error('middleware'))
        if (how === 'answer') {
          res.writeHead(418)
          return res.end('teapot')
        }
        if (how === 'several') res.setHeader('X-Several', ['one', 'two'])
        if (how === 'line break') {
          // Node's own response does not take it
          try {
            res.setHeader('X-Break', 'a\r\nX-Split: b')
          } catch (error) {
            world.record('server', `setHeader threw ${error.code}`)
          }
        }
        if (how === 'answer and go on') {
          res.writeHead(200, { 'Content-Length': '0' })
          res.end()
        }
        if (how === 'look')
          world.record(
            'server',
            `the response has ${['setHeader', 'getHeader', 'removeHeader', 'write', 'writeHead', 'end'].filter((name) => typeof res[name] === 'function')}`,
          )
        if (how === 'later') later(world, next)
        else next()
      })
    },
  },
  headersListener: {
    draw: (random) => ({
      event: random.pick(['headers', 'initial_headers']),
      how: random.pick(['add', 'add', 'replace', 'remove', 'throw', 'line break']),
    }),
    after({ event, how }, engine, world) {
      engine.on(event, (headers) => {
        if (how === 'throw') throw world.error('a listener of headers')
        if (how === 'line break') headers['X-Break'] = 'a\r\nX-Split: b'
        if (how === 'add') headers['X-Listener'] = event
        if (how === 'replace') headers['Content-Type'] = 'application/x-twin'
        if (how === 'remove') delete headers['cache-control']
      })
    },
  },
}

function drawHooks(random) {
  const names = Object.keys(HOOKS).filter(() => random.chance(0.1))
  return names.map((name) => ({ hook: name, ...HOOKS[name].draw(random) }))
}

/** @returns functions that belong into the options */
function hookOptions(hooks, world) {
  const options = {}
  for (const hook of hooks) HOOKS[hook.hook].apply?.(hook, options, world)
  return options
}

function applyHooks(hooks, engine, world) {
  for (const hook of hooks) HOOKS[hook.hook].after?.(hook, engine, world)
}

module.exports = { SAME_ID, drawHooks, hookOptions, applyHooks }
