'use strict'

// The rows of revision 4 of the protocol.

require('./suite').suite(4)
