'use strict'

const { once } = require('node:events')
const fs = require('node:fs')
const { createServer } = require('node:http')
const path = require('node:path')
const { createHash } = require('node:crypto')
const { readTarball } = require('./scratch')

/**
 * A package registry on loopback that has some tarballs, and sends who asks for anything else to the registry that npm uses here.
 *
 * @param {string[]} tarballs files
 * @returns {Promise<{ url: string, close(): void }>}
 */
async function startRegistry(tarballs, upstream) {
  const packages = new Map()
  const server = createServer((req, res) => {
    const [, name, file] = decodeURIComponent(req.url).split('/')
    const found = packages.get(name)
    if (found === undefined) return res.writeHead(302, { location: new URL(req.url.slice(1), upstream).href }).end()
    if (file !== undefined) return fs.createReadStream(found.file).pipe(res)
    const { manifest } = found
    const dist = {
      tarball: `${url}/${name}/${path.basename(found.file)}`,
      integrity: `sha512-${createHash('sha512').update(fs.readFileSync(found.file)).digest('base64')}`,
    }
    res.setHeader('content-type', 'application/json')
    res.end(
      JSON.stringify({
        name,
        'dist-tags': { latest: manifest.version },
        versions: { [manifest.version]: { ...manifest, dist } },
        // package managers refuse what was published today
        time: { [manifest.version]: '2026-01-01T00:00:00.000Z' },
      }),
    )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${server.address().port}`
  for (const file of tarballs) {
    const manifest = manifestOf(file)
    packages.set(manifest.name, { file, manifest })
  }
  return {
    url,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** The package.json of a tarball, whose first file it need not be. */
function manifestOf(file) {
  return JSON.parse(readTarball(file).get('package.json').toString('utf8'))
}

module.exports = { startRegistry }
