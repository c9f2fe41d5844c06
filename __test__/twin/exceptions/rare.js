'use strict'

// Programs that need an exception which random programs need too seldom to be met by each long run, by the exception. They are
// part of the long run.

const program = {
  ...{ seed: 1, mode: 'attach', protocol: 4, kind: 'raw', options: {}, hooks: [], listeners: [], snapshots: 'each' },
  watch: { server: [], session: ['close'], transport: ['close'] },
}

const rare = {
  '52: a transport closes once': {
    ...program,
    steps: [
      { kind: 'openPolling', as: 'a', headers: {}, poll: true },
      { kind: 'post', on: 'a', packets: ['2', '1'], headers: {} },
    ],
  },
  '4: a prepended close listener that ends other sessions runs when its own no longer counts': {
    ...program,
    steps: [
      { kind: 'openPolling', as: 'a' },
      {
        kind: 'application',
        on: 'a',
        calls: [{ do: 'listen', on: 'socket', event: 'close', by: 'prependListener', calls: [{ do: 'closeServer' }] }],
      },
      { kind: 'openWebSocket', as: 'b' },
    ],
  },
  '51: a heartbeat does not take along what the application has put into the buffer by itself': {
    ...program,
    protocol: 3,
    options: { allowEIO3: true },
    steps: [
      { kind: 'openWebSocket', as: 'a' },
      { kind: 'application', on: 'a', calls: [{ do: 'buffer', how: 'push' }] },
      { kind: 'frames', on: 'a', frames: [{ text: '2' }] },
    ],
  },
  '34: a connection listener that throws does not keep a WebSocket from being opened': {
    ...program,
    mode: 'uServer',
    listeners: [{ do: 'throw' }],
    steps: [{ kind: 'openWebSocket', as: 'a' }],
  },
  '19: an id whose session has ended in the original alone, because a POST found one unanswered that row 8 is about': {
    ...program,
    hooks: [{ hook: 'generateId', how: 'same' }],
    steps: [
      { kind: 'openPolling', as: 'a' },
      {
        kind: 'application',
        on: 'a',
        calls: [{ do: 'listen', on: 'transport', event: 'packet', by: 'prependListener', calls: [{ do: 'throw' }] }],
      },
      { kind: 'post', on: 'a', packets: ['4a'], headers: {} },
      { kind: 'post', on: 'a', packets: ['4b'], headers: {} },
      { kind: 'openPolling', as: 'b', headers: {} },
    ],
  },
}

module.exports = { rare }
