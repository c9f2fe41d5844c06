'use strict'

// What reflection tells of the package's public objects that it does not tell of the original's, by its reason. See
// reflection.js for the lines: what, in the original, here.

const TRANSPORTS = ['Transport', 'Polling', 'JSONP', 'WebSocket', 'WebTransport']

/** The same lines for several classes, whose names stand for `*`. */
const each = (names, ...lines) => names.flatMap((name) => lines.map((line) => line.replace('*', name)))

module.exports = {
  'The engine notices who listens to all packets, so that it tells of those that it sees to itself only where somebody hears.':
    each(
      ['Socket'],
      '*.prototype.on | missing | wec function of 2',
      '*.prototype.addListener | missing | wec function of 2',
      '*.prototype.prependListener | missing | wec function of 2',
    ),

  "A transport's events reach its session without listeners, and its table of listeners (200 bytes) is there while it has any.":
    [
      ...each(
        TRANSPORTS,
        '*.prototype.on | missing | wec function of 2',
        '*.prototype.addListener | missing | wec function of 2',
        '*.prototype.prependListener | missing | wec function of 2',
        '*.prototype.emit | missing | wec function of 1',
        '*.prototype.removeListener | missing | wec function of 2',
      ),
      ...each(
        ['Transport', 'Polling', 'JSONP', 'WebSocket'],
        '*#_events | wec object | missing',
        '*#_eventsCount | wec number | missing',
        '*#_maxListeners | wec undefined | missing',
      ),
      'WebTransport#_maxListeners | wec undefined | missing',
      'WebTransport: the order of what both have | _events _eventsCount opts writable _readyState discarded protocol parser supportsBinary session writer sid | opts writable _readyState discarded protocol parser supportsBinary session writer _events _eventsCount sid',
      'WebSocket: the order of what both have | _events _eventsCount opts writable _readyState discarded protocol parser supportsBinary _onSent _onSentLast socket sid | opts writable _readyState discarded protocol parser supportsBinary socket _onSent _onSentLast _events _eventsCount sid',
    ],

  'Arrays that few sessions need are made when they are looked at: 40 bytes each.': each(
    ['cleanupFn', 'packetsFn', 'sentCallbackFn'],
    'Socket#* | wec array | missing',
    'Socket.prototype.* | missing | get set -c',
  ),

  'The engine has the timers of heartbeats until somebody looks at them.': each(
    ['pingIntervalTimer', 'pingTimeoutTimer', 'hasRefreshedPingTimeout'],
    'Socket.prototype.* | missing | get set -c',
  ).concat(
    'Socket#pingIntervalTimer | wec Timeout | missing',
    'Socket#pingIntervalTimer | wec null | missing',
    'Socket#pingTimeoutTimer | wec null | missing',
    'Socket#pingTimeoutTimer | wec Timeout | missing',
    'Socket#hasRefreshedPingTimeout | wec boolean | missing',
  ),

  "The engine has the connection and makes the frames: functions for each connection that would send them are needed for others' only.":
    [
      'WebSocket#_doSend | wec function of 1 | missing',
      'WebSocket#_doSendLast | wec function of 1 | missing',
      'WebSocket#_onSent | wec function of 1 | missing',
      'WebSocket#_onSentLast | wec function of 1 | missing',
    ],

  'The engine makes the scripts of JSONP.': ['JSONP#foot | wec string | missing', 'JSONP#head | wec string | missing'],

  "The WebSocket server and its connections are the engine's own, see row 22 of docs/DIFFERENCES.md.": [
    'Server#ws | wec WebSocketServer | wec NativeWebSocketServer',
    'WebSocket#socket | wec WebSocket | wec NativeWebSocket',
    'request#websocket | wec WebSocket | wec NativeWebSocket',
    'request.socket#Symbol(websocket) | wec WebSocket | wec NativeWebSocket',
    'request.socket#Symbol(websocket) | wec undefined | wec NativeWebSocket',
  ],

  "`ws` sets its sockets' timeout to 0 whether they have one or not.": [
    'request.socket#timeout | wec number | missing',
  ],

  "What few connections set is not a field of each; what a server's connection does not have is left out.": [
    'transport.socket#_sender | wec Sender | missing',
    'transport.socket#_socket | wec Socket | missing',
    'transport.socket#readyState | missing | wec number',
    ...each(
      ['addEventListener', 'bufferedAmount', 'removeEventListener'],
      'transport.socket: for…in meets * | yes | no',
    ),
  ],

  "A poll is known by its request, which is one of Node's: those show symbols of their own.": [
    'request#Symbol(poll) | missing | wec number',
    'request#Symbol(transport) | missing | wec JSONP',
    'request#Symbol(transport) | missing | wec Polling',
  ],

  'An addition: numbers for monitoring.': each(
    ['BaseServer', 'Server', 'uServer'],
    '*.prototype.metrics | missing | w-c function of 1',
  ),

  'An addition: bytes that wait for the client.': each(
    ['Socket', 'Polling', 'JSONP'],
    '*.prototype.bufferedAmount | missing | get -c',
  ),

  'An addition: a server ends its life in order.': each(
    ['BaseServer', 'Server', 'uServer'],
    '*.prototype.drain | missing | w-c function of 1',
    '*.prototype.draining | missing | get -c',
  ),

  'An addition: one message for many sessions.': each(
    ['BaseServer', 'Server', 'uServer'],
    '*.prototype.broadcast | missing | w-c function of 3',
  ),

  "A request of uWebSockets.js has been put into Node's form before.": [
    'uServer.prototype.prepare | w-c function of 2 | w-c function of 1',
  ],

  'No compiler has made the module: its members are plain, and a default import works, too.': [
    'exports#Server | get ec | wec function of 0',
    'exports#Socket | get ec | wec function of 5',
    'exports#Transport | get ec | wec function of 1',
    'exports#uServer | get ec | wec function of 0',
    'exports#__esModule | --- boolean | missing',
  ],
}
