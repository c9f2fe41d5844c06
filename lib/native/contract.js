'use strict'

// Generated from src/runtime/owner/contract.rs by `npm run contract`.

/** The kinds of events. The target of an event is a session up to `PROBING`, and a connection from `DRAINED` on. */
const Kind = {
  /** Session: a message. */
  MESSAGE: 1,
  /** Session: any other packet, if the owner wants them. `arg`: its type, `PARSE_ERROR` or `UNKNOWN_TYPE`. */
  PACKET: 2,
  /** Session: a ping went out, if the owner wants to see packets. */
  PINGED: 3,
  /** Session: answer the poll `arg` with this payload. */
  ANSWER_POLL: 4,
  /** Session: answer the poll `arg` with 400. */
  REJECT_POLL: 5,
  /** Session: the engine has answered the reported poll by itself, with a heartbeat or a `noop`. */
  POLL_TAKEN: 6,
  /** Session: a probe came in on channel `arg`. */
  UPGRADING: 7,
  /** Session: moved to channel `arg`. */
  UPGRADED: 8,
  /** Session: does not move to the probed channel. `arg`: see `ProbeEndCode`. The content is a fault. */
  UPGRADE_FAILED: 9,
  /** Session: over. `arg`: see `ReasonCode`. The content is the fault's message. */
  CLOSED: 10,
  /** Session: a packet behind the messages of a payload ends the session, once the owner calls `endPayload`. */
  PAYLOAD_END: 11,
  /** Session: a poll waits in the native listener. */
  POLL_READY: 12,
  /** Session on a channel that JavaScript drives, or whose heartbeats it sends: send a packet of the type `arg`. */
  SEND_PACKET: 13,
  /** Session on a channel that JavaScript drives: close the channel `arg`. */
  CLOSE_CHANNEL: 14,
  /** Session: answer the poll `arg` with this payload, which must not be compressed. */
  ANSWER_POLL_PLAIN: 15,
  /** Session whose requests or bytes JavaScript carries: time has passed. `arg`: `OVERDUE`, or 0. */
  DUE: 16,
  /** Session: a client has opened the connection `arg` for an upgrade. The content is its request's head. */
  PROBING: 17,
  /** Connection: everything that was handed over has been written. */
  DRAINED: 20,
  /**
   * Connection: the TCP connection has ended; the last event of a handle. `arg`: the code of the peer's close
   * frame, 1005 for a frame without a code, 1006 for no frame, and above `END_SHIFT` bits the cause, see
   * `EndCode`. The content is the reason in the frame.
   */
  CONNECTION_ENDED: 21,
  /** Connection without a session: a text or binary message. */
  CONNECTION_MESSAGE: 22,
  /** Connection without a session: closed by its peer, or with a fault (`arg`: `WITH_FAULT`; content: its message). */
  CONNECTION_CLOSED: 23,
  /** Connection whose bytes JavaScript carries: there are bytes to take, or the end has to be handled. */
  PIPE_READY: 24,
  /** Connection: one of few that talk. The owner's thread may read it. */
  LEFT_TO_OWNER: 25,
  /** Connection: a ping or pong frame came in, if the owner wants them. `arg`: its opcode. */
  CONTROL_FRAME: 26,
  /** Connection: these bytes came in, if the owner wants a copy. */
  BYTES: 27,
  /** Listener: closed, and all its connections have ended. */
  LISTENER_CLOSED: 33,
  /** Listener `arg`: the target, a session, was opened by its listener. The content is its request's head. */
  OPENED: 34,
  /** Listener `arg`: a request was refused. The target says why, see `REFUSALS`; the content is its head. */
  REFUSED: 35,
  /** The target, a body, is compressed: the content, or nothing if zlib failed. */
  COMPRESSED: 40,
  /** Member of a cluster: there are messages of peers to take. */
  PEERS: 41,
}

/** `arg` of `Kind.PACKET` for data that could not be decoded. */
const PARSE_ERROR = 100

/** `arg` of `Kind.PACKET` for a packet of protocol 3 whose type is unknown. */
const UNKNOWN_TYPE = 101

/**
 * `arg` of `Kind.DUE`: the peer's time to answer is over. JavaScript must read waiting data before it ends the
 * session.
 */
const OVERDUE = 1

/** `arg` of `Kind.CONNECTION_CLOSED`: the content is the message of a fault. */
const WITH_FAULT = 1

/** Added to the kind of an event whose content is too large for a string or a Buffer. */
const UNFIT = 128

/** Added by `drain` to the number of events, which is smaller than this, if there are more. */
const MORE_EVENTS = 0x10000

/**
 * Added by `drain`, besides `MORE_EVENTS`, if the next event belongs to a later turn: a message that is too large to
 * have been read together with the one before it on its connection.
 */
const NEXT_TURN = 0x20000

/** The kind in `outcome` if a call has caused several events. The call returns `[kind, arg, content, …]`. */
const SEVERAL_EVENTS = 255

/**
 * What `ownerOf` returns for an id that is not another member's. A member is its number, shifted by
 * `MEMBER_SHIFT`, and its boot.
 */
const IdOwner = {
  /** The id was not made with the key. */
  UNKNOWN: 0x1000000,
  /** This member has made it. */
  MINE: 0x1000001,
  /** It was made by a member that has gone. */
  GONE: 0x1000002,
}

/** See `IdOwner`. */
const MEMBER_SHIFT = 8

/** What `sendToPeer` returns. */
const PeerSent = {
  /** The message is not sent: the link has ended, or the message cannot be sent at all. */
  NO: 0,
  /** It is sent. */
  YES: 1,
  /** It is not sent now: too much waits because the peer does not read as fast. */
  LATER: 2,
}

/**
 * The kinds of messages between members. The number of a message names the request that it belongs to. From front to
 * owner go requests and what concerns them; the answers go back on the same link.
 */
const PeerMessage = {
  /** The first message of each side of a link, which JavaScript does not see. */
  HELLO: 0,
  /**
   * To the owner: a connection that asks for an upgrade, whose descriptor comes with the message. Head: the headers
   * for the response as JSON, NUL, the head of the request. Body: the bytes that came behind it.
   */
  MOVE: 1,
  /** To the owner: a poll or a POST. Head: the head of the request. Body: its body. */
  REQUEST: 2,
  /** To the front: the answer to a request. Head: status and headers as JSON. */
  ANSWER: 3,
  /** To the front: the request is refused. Head: code and context of `connection_error` as JSON. */
  REFUSAL: 4,
  /** To the owner: the client has gone. To the front: the client has to be cut off. */
  ABORT: 5,
  /** To the owner: the answer to a poll has been written. */
  DONE: 6,
  /** To the front: the connection that was moved is served; or the request of an `Ask` was handed on. */
  TAKEN: 7,
  /** To the owner: the body of a POST could not be read. Head: what went wrong, NUL, the session's id. */
  FAIL: 8,
  /** To the owner: answer this poll soon, because the front leaves. */
  RELEASE: 9,
  /** To all peers: whose is the session with the id in the head? */
  FIND: 10,
  /** The answer. Body: one byte if the session is here, otherwise nothing. */
  FOUND: 11,
  /** To a member that is a node of a bus: a `Request` for a session that may be on another machine. */
  ASK: 12,
  /** To a member that is a node of a bus: a `Move` for a session that may be on another machine. */
  ASK_MOVE: 13,
  /** To a member that is a node of a bus: the body of a POST could not be read. Head: the session's id. */
  ASK_FAIL: 14,
  /** To the owner: a `Request` that came from another machine. `Done` follows for a POST, too. */
  SERVE: 15,
  /** To a member that is a node of a bus: the sender is not, and has just joined. */
  PRESENT: 16,
  /**
   * To the owner: a `Move` without a descriptor. The owner makes a connection to the front, which carries the bytes.
   * Head: as that of `Move`. Body: where the front waits, and secrets, see lib/cluster/passages.js.
   */
  CARRY: 17,
  /** To a member that is a node of a bus: a `Carry` for a session that may be on another machine. */
  ASK_CARRY: 18,
  /** From the engine: the link can be used from now on. */
  UP: 254,
  /** From the engine: the link has ended, or could not be made. */
  DOWN: 255,
}

/** The handle of nothing. */
const NO_HANDLE = 0

/**
 * The bits of a handle that are the index of its slot; the others are the slot's generation. The handle names what
 * is found at the index only if that has the same handle.
 */
const INDEX_MASK = 0x1fffff

/** The largest number that JavaScript gives a poll. Larger numbers belong to polls of the native listener. */
const MAX_OWNER_POLL = 0x7fffffff

/** Characters of a session's id. */
const ID_LENGTH = 20

/** The names of the packet types, by their numbers. */
const PACKET_TYPES = ['open', 'close', 'ping', 'pong', 'message', 'upgrade', 'noop']

/** The packet types. */
const PacketType = {
  /**  */
  OPEN: 0,
  /**  */
  CLOSE: 1,
  /**  */
  PING: 2,
  /**  */
  PONG: 3,
  /**  */
  MESSAGE: 4,
  /**  */
  UPGRADE: 5,
  /**  */
  NOOP: 6,
}

/** The number for something other than a packet. */
const NOT_A_PACKET = 7

/** The content of a probing client's ping, and of the pong that answers it. */
const PROBE = 'probe'

/** The byte that ends a length in a binary payload of protocol 3. */
const LENGTH_END = 255

/** The number of digits after which such a length is not read any further: those of the largest number. */
const MAX_DIGITS = 310

/** Which of the engine's own packets (heartbeats, the noop of an upgrade) JavaScript sends. */
const Relayed = {
  /** None: the engine carries the session alone. */
  NOTHING: 0,
  /** Those to a client that polls, because JavaScript keeps what waits for a poll. */
  POLLS: 1,
  /** All of them, because a method that packets pass was replaced. */
  EVERYTHING: 2,
}

/** Results of a call that hands bytes to a connection. */
const SendStatus = {
  /** The bytes go out with the next flush. */
  FLOWING: 0,
  /** The peer is slow: wait for `Kind.DRAINED`. */
  CONGESTED: 1,
  /** The connection is closing or has ended; the bytes are not sent. */
  CLOSED: 2,
}

/**
 * `how` of `send`, `sendMany` and `share` is a packet's type, and above this many bits the mode, a sum of the
 * following.
 */
const MODE_SHIFT = 3

/** A mode of sending: in protocol 3. */
const MODE_V3 = 1

/** A mode of sending: the client takes text only. */
const MODE_TEXT_ONLY = 2

/** A mode of sending: not to be compressed. */
const MODE_PLAIN = 4

/**
 * A mode of `send` and `sendMany`: what waits is written in the call, as far as the kernel takes it, and no I/O thread
 * is asked to.
 */
const MODE_NOW = 8

/** Largest number of packets that cross in one call of `sendMany`. */
const MAX_PACKETS = 16

/**
 * Largest number of connections to which the owner's thread writes by itself after a single message. Waking an I/O
 * thread would take longer. One more recipient of a broadcast wakes it early.
 */
const SMALL_ROOM = 15

/**
 * Bytes of answers to probes and to pings of protocol 3 that wait for a client that does not read. Further answers
 * are left out.
 */
const MAX_WAITING_ANSWERS = 0x40000

/**
 * Pongs for the ping frames of a client that does not read, as in `ws` (`maxPendingAutoPongs`). With one more the
 * connection is cut off.
 */
const MAX_WAITING_PONGS = 60

/** Frames of which a message may consist, as in `ws` (`maxFragments`). */
const MAX_FRAGMENTS = 16384

/** The level of zlib, unless the application sets one. */
const COMPRESSION_LEVEL = 6

/** Messages and answers below this many bytes are not compressed, unless the application sets another limit. */
const COMPRESSION_THRESHOLD = 1024

/** The window of zlib in bits, unless the application sets another. */
const MAX_WINDOW_BITS = 15

/** The name of the extension that compresses messages. */
const DEFLATE = 'permessage-deflate'

/** Added by `pipeInput` to the number of bytes that it has taken, which is smaller, if the input has to be paused. */
const INPUT_WAITS = 0x80000000

/** Results of `pipeTake` other than a number of bytes. */
const TakeStatus = {
  /** There is more than fits: `pipeTakeLarge` returns it. */
  LARGE: 0xfffffffd,
  /** The connection has to be cut off. */
  DESTROY: 0xfffffffe,
  /** This side has to be ended. */
  END: 0xffffffff,
}

/** Which bytes `traffic` counts. */
const Direction = {
  /** The bytes that were read. */
  READ: 0,
  /** The bytes that were handed over to be written. */
  WRITTEN: 1,
}

/** The opcodes of control frames that are shown. */
const OpCode = {
  /**  */
  PING: 9,
  /**  */
  PONG: 10,
}

/** The longest content of a control frame, in bytes. */
const MAX_CONTROL = 125

/** The longest reason of a close frame, in bytes: the code is before it. */
const MAX_CLOSE_REASON = 123

/** Milliseconds after which a peer is cut off that does not end the connection after the closing handshake. */
const CLOSE_TIMEOUT = 30000

/** Why a session ended, in `Kind.CLOSED` and `fail`. Codes of errors come first. */
const ReasonCode = {
  /** The transport failed. */
  TRANSPORT_ERROR: 0,
  /** The transport failed, by a fault whose error has no type of its own. */
  FAULT: 1,
  /** The peer closed the connection or sent a close packet by POST. */
  TRANSPORT_CLOSE: 2,
  /** A packet could not be decoded. */
  PARSE_ERROR: 3,
  /** The peer missed the heartbeat's deadline. */
  PING_TIMEOUT: 4,
  /** The application closed the session. */
  FORCED_CLOSE: 5,
}

/** The reasons as the application reads them, by their codes. */
const REASONS = ['transport error', 'transport error', 'transport close', 'parse error', 'ping timeout', 'forced close']

/** The reasons that JavaScript gives by itself. */
const ReasonText = {
  /** The transport failed. */
  TRANSPORT_ERROR: 'transport error',
  /** The peer closed the connection. */
  TRANSPORT_CLOSE: 'transport close',
  /** The peer missed the deadline of a heartbeat that JavaScript runs. */
  PING_TIMEOUT: 'ping timeout',
  /** The application closed the session. */
  FORCED_CLOSE: 'forced close',
}

/** Faults of a transport, as the application reads them. */
const FaultText = {
  /** A second poll while one was pending. */
  POLL_OVERLAP: 'overlap from client',
  /** A second POST while one was in progress. */
  DATA_OVERLAP: 'data request overlap from client',
  /** The client left while its poll was pending. */
  POLL_ABORTED: 'poll connection closed prematurely',
  /** The client left in the middle of a POST. */
  DATA_ABORTED: 'data request connection closed prematurely',
  /** A POST has more bytes than allowed. */
  BODY_TOO_LARGE: 'payload too large',
  /** A POST comes in more pieces than allowed. */
  TOO_MANY_CHUNKS: 'too many chunks',
  /** A POST takes longer than allowed. */
  BODY_TIMEOUT: 'http request timeout',
  /** A binary POST in protocol 4. */
  INVALID_CONTENT: 'invalid content',
  /** The connection failed while writing to it. */
  WRITE: 'write error',
}

/** Why a session did not move to the channel that its client probed: `arg` of `Kind.UPGRADE_FAILED`. */
const ProbeEndCode = {
  /** The client took too long, or sent something other than a probe: the channel is closed. */
  GIVEN_UP: 0,
  /** The session ends; the channel is closed. */
  SESSION_ENDED: 1,
  /** The client closed the channel. */
  CLOSED: 2,
  /** The channel failed. */
  FAILED: 3,
}

/** Why a connection has ended, in the upper bits of `arg` of `Kind.CONNECTION_ENDED`. */
const EndCode = {
  /** This side has cut the connection off, or a timeout has. */
  CUT_OFF: 1,
  /** This side has reset the connection. */
  RESET: 2,
  /** The peer has ended its side. */
  PEER_ENDED: 3,
  /** Both close frames have passed, and our side has been ended. */
  CLOSED: 4,
  /** The peer has ended its side behind ours. */
  PEER_FOLLOWED: 5,
  /** Added to the number of the error that reading failed with. */
  READ_FAILED: 16384,
  /** Added to the number of the error that writing failed with. */
  WRITE_FAILED: 32768,
}

/** The bits of an `EndCode` that are the number of an error. */
const ERRNO_MASK = 16383

/** Above this many bits `arg` of `Kind.CONNECTION_ENDED` is an `EndCode`; below it is the code of a close frame. */
const END_SHIFT = 16

/** The code of a connection that ended without a close frame (RFC 6455, 7.1.5). */
const NO_CLOSE_FRAME = 1006

/** The codes of `connection_error` and of error responses. */
const ErrorCode = {
  /** The query names no transport that the server has. */
  UNKNOWN_TRANSPORT: 0,
  /** The query names a session that is not there. */
  UNKNOWN_SID: 1,
  /** A session is opened by GET only. */
  BAD_HANDSHAKE_METHOD: 2,
  /** Anything else is wrong with the request. */
  BAD_REQUEST: 3,
  /** The application, or a limit, refuses the request. */
  FORBIDDEN: 4,
  /** The client speaks protocol 3, which the server does not allow. */
  UNSUPPORTED_PROTOCOL_VERSION: 5,
}

/** What each error code says, by the codes. */
const ERROR_MESSAGES = [
  'Transport unknown',
  'Session ID unknown',
  'Bad handshake method',
  'Bad request',
  'Forbidden',
  'Unsupported protocol version',
]

/** The error code and the name of each refusal, by the number that is the target of `Kind.REFUSED`. */
const REFUSALS = [
  [0, 'UNKNOWN_TRANSPORT'],
  [1, 'UNKNOWN_SID'],
  [2, 'BAD_HANDSHAKE_METHOD'],
  [3, 'TRANSPORT_MISMATCH'],
  [3, 'PROTOCOL_MISMATCH'],
  [3, 'TRANSPORT_HANDSHAKE_ERROR'],
  [3, 'ID_GENERATION_ERROR'],
  [5, 'UNSUPPORTED_PROTOCOL_VERSION'],
  [4, 'DRAINING'],
]

/** What the client of a refused handshake is told while the server drains. */
const DRAINING = 'Server is draining'

/** Milliseconds that a proxy has for the header of the PROXY protocol, with which its connections begin. */
const PROXY_HEADER_TIMEOUT = 5000

/** The content type of an error response. */
const ERROR_TYPE = 'application/json'

/** The content type of an answer to a poll that is text. */
const TEXT_PAYLOAD_TYPE = 'text/plain; charset=UTF-8'

/** The content type of an answer to a poll, and of a POST, that is bytes: in protocol 3. */
const BINARY_PAYLOAD_TYPE = 'application/octet-stream'

/** The content type of an answer to a POST: it keeps old mobile browsers from offering a download of form posts. */
const POST_ANSWER_TYPE = 'text/html'

/** The answer to a POST. */
const POST_ANSWER = 'ok'

/** The header `Cache-Control` of answers to polls and POSTs. */
const CACHE_CONTROL = 'no-store'

/**
 * What the user agents of old Internet Explorers contain, one of these: they mistake payloads for cross-site
 * scripting, unless a header tells them not to.
 */
const OLD_IE = [';MSIE', 'Trident/']

/** The header that tells them not to, and its value. */
const XSS_PROTECTION = ['X-XSS-Protection', '0']

/** The content type of the answer to an upgrade request that is refused. */
const UPGRADE_REFUSAL_TYPE = 'text/html'

/** The fields of a request's head in the form in which the native listener passes it: strings that NUL separates. */
const HeadField = {
  /** The id of the session that was opened for the request, or nothing. */
  SID: 0,
  /** The handle of the connection that the request has become, or nothing. */
  CONNECTION: 1,
  /** Not empty if the query says more of transports than that it is of protocol 4. */
  IS_SPECIAL: 2,
  /** The client's address, or nothing on a UNIX socket. */
  REMOTE_ADDRESS: 3,
  /** The client's port. */
  REMOTE_PORT: 4,
  /** This side's address. */
  LOCAL_ADDRESS: 5,
  /** This side's port. */
  LOCAL_PORT: 6,
  /** The method. */
  METHOD: 7,
  /** The target. */
  TARGET: 8,
  /** The version of HTTP. */
  VERSION: 9,
  /** The first header: names, see `HEAD_NAMES`, and values in turn. */
  HEADERS: 10,
}

/**
 * Names of headers that nearly every request has. In a head each is one character, its index here plus 1, because
 * JavaScript keeps the head as long as the session.
 */
const HEAD_NAMES = [
  'host',
  'connection',
  'upgrade',
  'user-agent',
  'accept-encoding',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-extensions',
]

/** The first lines of the response that switches to WebSocket. */
const SWITCHING_PROTOCOLS = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']

/** The header `Upgrade` of a request for a WebSocket. */
const UPGRADE = 'websocket'

/** The names of the headers of the handshake. */
const HandshakeHeader = {
  /** Of the request: the key. */
  KEY: 'Sec-WebSocket-Key',
  /** Of the request: the version. Of its refusal: the versions that are accepted. */
  VERSION: 'Sec-WebSocket-Version',
  /** Of the request: the subprotocols that the client offers. Of the response: the one that was selected. */
  PROTOCOL: 'Sec-WebSocket-Protocol',
  /** Of the request: the extensions that the client offers. Of the response: those that were accepted. */
  EXTENSIONS: 'Sec-WebSocket-Extensions',
  /** Of the response: the answer to the key. */
  ACCEPT: 'Sec-WebSocket-Accept',
}

/** What is wrong with an upgrade request, where it makes a difference to more than the answer's text. */
const HandshakeError = {
  /** The version is not one of `WEBSOCKET_VERSIONS`. */
  VERSION: 3,
  /** The list of subprotocols is malformed. */
  PROTOCOL: 4,
  /** The list of extensions is malformed, or none of its offers can be accepted. */
  EXTENSIONS: 5,
}

/** The header `Sec-WebSocket-Version` of nearly all requests. */
const WEBSOCKET_VERSION = '13'

/** The header `Sec-WebSocket-Version` of the answer to a request of another version. */
const WEBSOCKET_VERSIONS = '13, 8'

module.exports = {
  Kind,
  PARSE_ERROR,
  UNKNOWN_TYPE,
  OVERDUE,
  WITH_FAULT,
  UNFIT,
  MORE_EVENTS,
  NEXT_TURN,
  SEVERAL_EVENTS,
  IdOwner,
  MEMBER_SHIFT,
  PeerSent,
  PeerMessage,
  NO_HANDLE,
  INDEX_MASK,
  MAX_OWNER_POLL,
  ID_LENGTH,
  PACKET_TYPES,
  PacketType,
  NOT_A_PACKET,
  PROBE,
  LENGTH_END,
  MAX_DIGITS,
  Relayed,
  SendStatus,
  MODE_SHIFT,
  MODE_V3,
  MODE_TEXT_ONLY,
  MODE_PLAIN,
  MODE_NOW,
  MAX_PACKETS,
  SMALL_ROOM,
  MAX_WAITING_ANSWERS,
  MAX_WAITING_PONGS,
  MAX_FRAGMENTS,
  COMPRESSION_LEVEL,
  COMPRESSION_THRESHOLD,
  MAX_WINDOW_BITS,
  DEFLATE,
  INPUT_WAITS,
  TakeStatus,
  Direction,
  OpCode,
  MAX_CONTROL,
  MAX_CLOSE_REASON,
  CLOSE_TIMEOUT,
  ReasonCode,
  REASONS,
  ReasonText,
  FaultText,
  ProbeEndCode,
  EndCode,
  ERRNO_MASK,
  END_SHIFT,
  NO_CLOSE_FRAME,
  ErrorCode,
  ERROR_MESSAGES,
  REFUSALS,
  DRAINING,
  PROXY_HEADER_TIMEOUT,
  ERROR_TYPE,
  TEXT_PAYLOAD_TYPE,
  BINARY_PAYLOAD_TYPE,
  POST_ANSWER_TYPE,
  POST_ANSWER,
  CACHE_CONTROL,
  OLD_IE,
  XSS_PROTECTION,
  UPGRADE_REFUSAL_TYPE,
  HeadField,
  HEAD_NAMES,
  SWITCHING_PROTOCOLS,
  UPGRADE,
  HandshakeHeader,
  HandshakeError,
  WEBSOCKET_VERSION,
  WEBSOCKET_VERSIONS,
}
