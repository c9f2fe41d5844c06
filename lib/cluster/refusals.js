'use strict'

/** Why a request is refused whose owner cannot be reached. The client may try again after some seconds. */
const UNAVAILABLE = { name: 'OWNER_UNAVAILABLE', message: 'Session owner unavailable', retryAfter: 1 }

module.exports = { UNAVAILABLE }
