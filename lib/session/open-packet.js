'use strict'

/** Returns the data of an open packet. The last argument is the options of the server. */
const openPacket = (sid, upgrades, { pingInterval, pingTimeout, maxHttpBufferSize: maxPayload }) =>
  JSON.stringify({ sid, upgrades, pingInterval, pingTimeout, maxPayload })

module.exports = { openPacket }
