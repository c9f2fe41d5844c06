'use strict'
// uWebSockets.js as both peers on it use it.
const path = require('path')
const root = path.join(__dirname, '..', '..')

// Without a binary for this Node the package falls back to `ws` and says so on the console: not what is to be measured.
const { platform, arch, versions } = process
const dir = path.dirname(require.resolve('uWebSockets.js/package.json', { paths: [root] }))
const uws = require(path.join(dir, 'binaries', `uws_${platform}_${arch}_${versions.modules}.node`))

const file = (dir, name) => path.join(dir, name)
module.exports = {
  app: (certificate) =>
    certificate
      ? uws.SSLApp({ key_file_name: file(certificate, 'key.pem'), cert_file_name: file(certificate, 'cert.pem') })
      : uws.App(),
  // Beyond its limit uWebSockets.js drops messages; the default is 64 KiB.
  limits: { maxBackpressure: 16 * 1024 * 1024, idleTimeout: 0 },
  // A window per connection, as `ws` has it.
  compression: uws.DEDICATED_COMPRESSOR | uws.DEDICATED_DECOMPRESSOR,
  listen: (app, done) => app.listen(0, (token) => done(uws.us_socket_local_port(token))),
}
