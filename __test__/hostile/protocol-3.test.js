'use strict'

// The rows of revision 3 of the protocol.

require('./suite').suite(3)
