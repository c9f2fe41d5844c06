'use strict'

// PM2: pm2 start ecosystem.config.js; pm2 reload drain
module.exports = {
  apps: [
    {
      name: 'drain',
      script: 'server.js',
      // More instances need the option cluster in server.js, see docs/scaling/pm2.md: sessions that poll need all their
      // requests in one process without it.
      instances: 1,
      exec_mode: 'cluster',
      // the old process is stopped when the new one has sent 'ready'
      wait_ready: true,
      // PM2 kills after 1.6 s by default; longer than DRAIN_TIMEOUT
      kill_timeout: 25_000,
      env: { PORT: 3000, DRAIN_TIMEOUT: 20_000, DRAIN_SPREAD: 10_000 },
    },
  ],
}
