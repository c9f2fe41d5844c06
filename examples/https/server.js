'use strict'

// An echo over TLS, with a certificate of your own (TLS_KEY and TLS_CERT name the files), or one that is made for
// localhost at the first start, which browsers warn about.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')
const engineIo = require('engine.io')

const { key, cert } = certificate()
const files = {
  '/': [path.join(__dirname, 'public', 'index.html'), 'text/html; charset=utf-8'],
  '/engine.io.js': [clientBundle(), 'text/javascript'],
}

const httpsServer = https.createServer({ key, cert }, (req, res) => {
  const [file, type] = files[req.url] ?? []
  if (file === undefined) return res.writeHead(404).end('not found')
  res.setHeader('content-type', type)
  fs.createReadStream(file).pipe(res)
})

engineIo.attach(httpsServer).on('connection', (socket) => {
  socket.send(`hello over ${socket.request.socket.getProtocol?.() ?? 'TLS'}`)
  socket.on('message', (data) => socket.send(data))
})

function certificate() {
  const { TLS_KEY, TLS_CERT } = process.env
  if (TLS_KEY && TLS_CERT) return { key: fs.readFileSync(TLS_KEY), cert: fs.readFileSync(TLS_CERT) }
  const folder = path.join(os.tmpdir(), 'engine.io-native-example-https')
  const [keyFile, certFile] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name))
  if (!fs.existsSync(certFile)) {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30']
    try {
      execFileSync('openssl', ['req', '-x509', ...made, ...subject, '-keyout', keyFile, '-out', certFile], {
        stdio: 'pipe',
      })
    } catch (error) {
      throw new Error('A certificate could not be made with openssl. Name your own by TLS_KEY and TLS_CERT.', {
        cause: error,
      })
    }
  }
  return { key: fs.readFileSync(keyFile), cert: fs.readFileSync(certFile) }
}

function clientBundle() {
  const main = path.dirname(require.resolve('engine.io-client/package.json'))
  return path.join(main, 'dist', 'engine.io.min.js')
}

httpsServer.listen(process.env.PORT ?? 3443, () => {
  console.log(`The echo is open: https://localhost:${httpsServer.address().port}`)
})
