'use strict'

module.exports = {
  ...require('./cleanup'),
  ...require('./engine'),
  ...require('./events'),
  ...require('./http'),
  ...require('./improvement'),
  ...require('./ledger'),
  ...require('./peers'),
  ...require('./server'),
  ...require('./tcp'),
  ...require('./websocket'),
  ...require('./child'),
  ...require('./duplex'),
}
