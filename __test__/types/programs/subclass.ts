// Subclasses, as cluster engines are.

import { Server, Socket, Transport } from 'engine.io'
import type { ErrorCallback, ServerOptions } from 'engine.io'

export class ClusterServer extends Server {
  constructor(opts?: ServerOptions) {
    super(opts)
  }

  protected override verify(req: any, upgrade: boolean, fn: ErrorCallback): void {
    super.verify(req, upgrade, (errorCode, errorContext) => {
      if (errorCode === Server.errors.UNKNOWN_SID && this.clients[req._query.sid] === undefined) return
      fn(errorCode, errorContext)
    })
  }

  protected override createTransport(name: 'polling' | 'websocket', req: any): Transport {
    return super.createTransport(name, req)
  }

  override generateId() {
    return Promise.resolve('0123456789abcdefghij')
  }

  override upgrades(name: 'polling' | 'websocket'): string[] {
    return super.upgrades(name).filter((one) => one !== 'webtransport')
  }

  protected override init() {
    super.init()
  }

  takeOver(sid: string, transport: Transport, req: any) {
    const client = new Socket(sid, this, transport, req, 4)
    this.clients[sid] = client
    this.clientsCount++
    client.upgrading = true
    client.upgraded = true
    client.transport.writable = false
    client.transport.send = () => {}
    client._maybeUpgrade(transport)
  }

  override emit(event: string, ...args: any[]): boolean {
    return super.emit(event, ...args)
  }
}

export class QueueTransport extends Transport {
  constructor(
    req: { _query: Record<string, string> },
    private readonly limit = 1,
  ) {
    super(req, { maxBufferedChunks: limit })
  }

  get room(): number {
    return (this.opts.maxBufferedChunks ?? 0) - this.limit
  }

  static override upgradesTo = ['websocket']

  get name() {
    return 'queue'
  }

  send(packets: Parameters<Transport['send']>[0]) {
    for (const packet of packets) this.onPacket({ type: packet.type, data: packet.data })
  }

  doClose(fn?: () => void) {
    fn?.()
    this.onClose()
  }
}
