'use strict'

const { createPacketDecoderStream } = require('engine.io-parser')
const bridge = require('../native/bridge')
const { FORBIDDEN } = require('../native/contract').ErrorCode
const { Socket } = require('../session/socket')
const { WebTransport } = require('../transports/webtransport')
const debug = require('debug')('engine')
const { kEmitError, kRegister, kState, kUpgradable } = require('../base/symbols')

/**
 * Opens a session on a WebTransport session that the application has accepted, or moves a session there. The promise is
 * rejected only with what a listener of the application throws, and by nothing that the client does.
 */
async function acceptWebTransport(server, session) {
  if (server.middlewares.length > 0) {
    debug('closing session: middlewares need a request, which WebTransport does not have')
    return closeSession(session)
  }
  const timeout = setTimeout(() => {
    debug('the client failed to establish a bidirectional stream in the given period')
    closeSession(session)
  }, server.opts.upgradeTimeout)
  let first
  try {
    first = await readFirst(session, server.opts.maxHttpBufferSize)
  } catch (error) {
    debug('the session failed before its handshake: %s', error && error.message)
    return closeSession(session)
  } finally {
    clearTimeout(timeout)
  }
  if (first === undefined) return
  const { stream, reader, packet } = first
  const refuse = async () => {
    debug('invalid WebTransport handshake')
    await reader.cancel().catch((error) => debug('error while canceling the stream: %s', error.message))
    reader.releaseLock()
    closeSession(session)
  }
  if (packet.type !== 'open') return refuse()
  if (packet.data === undefined) {
    const req = requestOf(session)
    let objection
    try {
      objection = server[kState].drain?.refusal()
      if (objection === undefined && server[kState].limits !== undefined) objection = server[kState].limits.check(req)
    } catch (error) {
      refuse()
      throw error
    }
    if (objection !== undefined) {
      const refused = refuse()
      server[kEmitError](req, FORBIDDEN, objection)
      return refused
    }
    const id = bridge.generateId()
    const transport = new WebTransport(session, stream, reader, {})
    server[kRegister](new Socket(id, server, transport, null, 4), req)
    return
  }
  const sid = sessionIdOf(packet.data)
  const client = sid ? server[kUpgradable](sid) : undefined
  if (client === undefined) return refuse()
  client._maybeUpgrade(new WebTransport(session, stream, reader, {}))
}

/** Reads the first packet of the session's first stream; undefined if the session ends before. */
async function readFirst(session, maxHttpBufferSize) {
  const streams = session.incomingBidirectionalStreams.getReader()
  const { value: stream, done: closed } = await streams.read()
  if (closed) return undefined
  const decoder = createPacketDecoderStream(maxHttpBufferSize, 'nodebuffer')
  const reader = stream.readable.pipeThrough(decoder).getReader()
  const { value: packet, done: ended } = await reader.read()
  if (!ended) return { stream, reader, packet }
  reader.releaseLock()
  return undefined
}

/** Closes a session. It does not matter if it is closed already, or if its implementation throws. */
function closeSession(session) {
  try {
    session.close()
  } catch (error) {
    debug('error while closing the session: %s', error && error.message)
  }
}

/**
 * Returns what limits need in place of a request: headers and address, as far as the session's implementation tells
 * them.
 */
function requestOf(session) {
  // the address has a port; IPv6 addresses have brackets or not
  const [, remoteAddress] = /^\[?(.+?)\]?:\d+$/.exec(session.peerAddress) || []
  const socket = { remoteAddress }
  const headers = session.header || {}
  return {
    method: 'CONNECT',
    headers,
    socket,
    connection: socket,
    session,
    _query: { EIO: '4', transport: 'webtransport' },
  }
}

function sessionIdOf(data) {
  try {
    const { sid } = JSON.parse(data)
    return typeof sid === 'string' ? sid : undefined
  } catch {
    return undefined
  }
}

module.exports = { acceptWebTransport }
