'use strict'

/** Why a request is refused whose owner cannot be reached. The client may try again after some seconds. */
const UNAVAILABLE = { name: 'OWNER_UNAVAILABLE', message: 'Session owner unavailable', retryAfter: 1 }

/** Why a request is refused that is too large for the bus. Trying again would not help. */
const TOO_LARGE = { name: 'HEAD_TOO_LARGE', message: 'Request head too large for a session of another machine' }

module.exports = { TOO_LARGE, UNAVAILABLE }
