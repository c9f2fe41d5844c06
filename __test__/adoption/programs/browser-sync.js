'use strict'

// The server of browser-sync, whose pages ask it by Socket.IO.

const browserSync = require('browser-sync').create()
const { check } = require('./check')

const settings = { server: __dirname, listen: '127.0.0.1', open: false, ui: false, online: false, logLevel: 'silent' }

browserSync.init(settings, (error, { options }) => {
  if (error) throw error
  const url = `http://127.0.0.1:${options.get('port')}/browser-sync`
  check(url, { options: { path: '/browser-sync/socket.io' }, ask: () => {}, route: '/../hello.html' })
})
