'use strict'

const { createPacketDecoderStream } = require('engine.io-parser')
const bridge = require('./bridge')
const { Socket } = require('./socket')
const { WebTransport } = require('./transports/webtransport')
const debug = require('debug')('engine')

/** Opens a session on a WebTransport session that the application has accepted, or moves one there. */
async function acceptWebTransport(server, session) {
  if (server.middlewares.length > 0) {
    debug('closing session: middlewares need a request, which WebTransport does not have')
    return session.close()
  }
  const timeout = setTimeout(() => {
    debug('the client failed to establish a bidirectional stream in the given period')
    session.close()
  }, server.opts.upgradeTimeout)
  const streams = session.incomingBidirectionalStreams.getReader()
  const { value: stream, done: closed } = await streams.read()
  if (closed) return clearTimeout(timeout)
  const decoder = createPacketDecoderStream(server.opts.maxHttpBufferSize, 'nodebuffer')
  const reader = stream.readable.pipeThrough(decoder).getReader()
  const { value: packet, done: ended } = await reader.read()
  clearTimeout(timeout)
  if (ended) return reader.releaseLock()
  const refuse = async () => {
    debug('invalid WebTransport handshake')
    await reader.cancel().catch((error) => debug('error while canceling the stream: %s', error.message))
    reader.releaseLock()
    session.close()
  }
  if (packet.type !== 'open') return refuse()
  if (packet.data === undefined) {
    if (server._limits !== undefined && server.clientsCount >= server._limits.options.maxConnections) return refuse()
    const id = bridge.generateId()
    const transport = new WebTransport(session, stream, reader)
    server._register(new Socket(id, server, transport, null, 4))
    return
  }
  const sid = sessionIdOf(packet.data)
  const client = sid ? server._upgradable(sid) : undefined
  if (client === undefined) return refuse()
  client._maybeUpgrade(new WebTransport(session, stream, reader))
}

function sessionIdOf(data) {
  try {
    const { sid } = JSON.parse(data)
    return typeof sid === 'string' ? sid : undefined
  } catch (error) {
    return undefined
  }
}

module.exports = { acceptWebTransport }
