// An application that exports the numbers of its server.

import { listen } from 'engine.io'
import { observe, prometheus, register, type Metrics } from 'engine.io/metrics'
import { metrics as otel } from '@opentelemetry/api'
import { Registry } from 'prom-client'
import { Server } from 'socket.io'

const engine = listen(0)
const metrics: Metrics = engine.metrics()
const open: number = metrics.sessions.open.polling[4] + metrics.sessions.opened.websocket[3]
const refused: number = metrics.refusals.TOO_MANY_CONNECTIONS + metrics.closes['ping timeout']
const late: number | undefined = engine.metrics({ eventLoop: true }).thread.eventLoop?.p99
const text: string = prometheus(engine, { labels: { name: 'a' }, eventLoop: true })
const unregister: () => void = register(new Registry(), engine)
const end: () => void = observe(otel.getMeter('an application'), engine)
prometheus(new Server().engine)

// @ts-expect-error: no such number
engine.metrics().sessions.closed
// @ts-expect-error: no such option
engine.metrics({ eventloop: true })
// @ts-expect-error: a server of another package has no numbers
prometheus({})

export { open, refused, late, text, unregister, end }
