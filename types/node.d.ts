// What lib/ uses of Node.js that @types/node does not declare, for `tsc` over lib/ (tsconfig.json). Nothing of it is published.

import 'events'
import 'http'
import 'net'
import 'stream'

declare global {
  interface PropertyDescriptor {
    /** Keeps what was added to Object.prototype out of a descriptor. */
    __proto__?: null
  }
  namespace NodeJS {
    interface ProcessReport {
      excludeNetwork?: boolean
    }
    interface ProcessVersions {
      bun?: string
    }
  }
}

declare module 'events' {
  interface EventEmitter {
    _events?: any
    _eventsCount?: number
    _maxListeners?: number
  }
  namespace EventEmitter {
    const usingDomains: boolean
    function init(this: EventEmitter): void
  }
}

declare module 'net' {
  interface Socket {
    _handle?: any
    _writeGeneric?(isMany: boolean, data: any, encoding: string | null, done: Function): void
    _reset?(): this
  }
}

declare module 'http' {
  interface IncomingMessage {
    /** The parsed query, as engine.io keeps it. */
    _query?: any
    _addHeaderLines?(lines: string[], count: number): void
    /** The WebSocket that the request has opened. */
    websocket?: any
    /** The response to it, as engine.io keeps it. */
    res?: any
  }
}
