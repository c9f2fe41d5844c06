//! The numbers and texts that both languages know: the contract between the core and its owner in JavaScript.
//!
//! Each stands here once. `lib/native/contract.js` is generated from this file by `npm run contract`, and a test fails
//! while that file is not current. Items marked `js` belong to other rooms of the core, which the generated file
//! repeats.

mod codes;
#[cfg(test)]
mod javascript;

pub use self::codes::Refusal;

#[cfg(test)]
use crate::session::Fault;

#[cfg(test)]
use self::javascript::{Item, Value};
#[cfg(test)]
use crate::{
    protocol::{PacketType, v3},
    session::Relayed,
    websocket::{HandshakeError, MAX_CONTROL, MAX_FRAGMENTS, OpCode, deflate, handshake},
};

/// Declares items for Rust, and lists them with their comments for the generator: enums of numbers, constants, and with
/// `js` before them groups and constants that only the generated file gets.
macro_rules! contract {
    (@list [$($list:tt)*]) => {
        /// Everything that JavaScript gets, in the order of this file.
        #[cfg(test)]
        fn items() -> Vec<Item> {
            vec![$($list)*]
        }
    };
    (@list [$($list:tt)*] $(#[doc = $doc:literal])* pub enum $name:ident {
        $($(#[doc = $note:literal])* $variant:ident = $value:literal,)*
    } $($rest:tt)*) => {
        $(#[doc = $doc])*
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $note])* $variant = $value,)*
        }
        contract! { @list [$($list)* Item::new(stringify!($name), &[$($doc),*], vec![
            $(Item::variant(stringify!($variant), &[$($note),*], $value)),*
        ]),] $($rest)* }
    };
    (@list [$($list:tt)*] $(#[doc = $doc:literal])* pub const $name:ident: $type:ty = $value:expr; $($rest:tt)*) => {
        $(#[doc = $doc])*
        pub const $name: $type = $value;
        contract! { @list [$($list)* Item::new(stringify!($name), &[$($doc),*], $name),] $($rest)* }
    };
    (@list [$($list:tt)*] $(#[doc = $doc:literal])* js enum $name:ident {
        $($(#[doc = $note:literal])* $key:ident = $value:expr,)*
    } $($rest:tt)*) => {
        contract! { @list [$($list)* Item::new(stringify!($name), &[$($doc),*], vec![
            $(Item::new(stringify!($key), &[$($note),*], $value)),*
        ]),] $($rest)* }
    };
    (@list [$($list:tt)*] $(#[doc = $doc:literal])* js const $name:ident = $value:expr; $($rest:tt)*) => {
        contract! { @list [$($list)* Item::new(stringify!($name), &[$($doc),*], $value),] $($rest)* }
    };
    ($($item:tt)*) => {
        contract! { @list [] $($item)* }
    };
}

contract! {
    // ---- events --------------------------------------------------------------------------------

    /// The kinds of events. The target of an event is a session up to `PROBING`, and a connection from `DRAINED` on.
    pub enum Kind {
        /// Session: a message.
        Message = 1,
        /// Session: any other packet, if the owner wants them. `arg`: its type, `PARSE_ERROR` or `UNKNOWN_TYPE`.
        Packet = 2,
        /// Session: a ping went out, if the owner wants to see packets.
        Pinged = 3,
        /// Session: answer the poll `arg` with this payload.
        AnswerPoll = 4,
        /// Session: answer the poll `arg` with 400.
        RejectPoll = 5,
        /// Session: the engine has answered the reported poll by itself, with a heartbeat or a `noop`.
        PollTaken = 6,
        /// Session: a probe came in on channel `arg`.
        Upgrading = 7,
        /// Session: moved to channel `arg`.
        Upgraded = 8,
        /// Session: does not move to the probed channel. `arg`: see `ProbeEndCode`. The content is a fault.
        UpgradeFailed = 9,
        /// Session: over. `arg`: see `ReasonCode`. The content is the fault's message.
        Closed = 10,
        /// Session: a packet behind the messages of a payload ends the session, once the owner calls `endPayload`.
        PayloadEnd = 11,
        /// Session: a poll waits in the native listener.
        PollReady = 12,
        /// Session on a channel that JavaScript drives, or whose heartbeats it sends: send a packet of the type `arg`.
        SendPacket = 13,
        /// Session on a channel that JavaScript drives: close the channel `arg`.
        CloseChannel = 14,
        /// Session: answer the poll `arg` with this payload, which must not be compressed.
        AnswerPollPlain = 15,
        /// Session whose requests or bytes JavaScript carries: time has passed. `arg`: `OVERDUE`, or 0.
        Due = 16,
        /// Session: a client has opened the connection `arg` for an upgrade. The content is its request's head.
        Probing = 17,

        /// Connection: everything that was handed over has been written.
        Drained = 20,
        /// Connection: the TCP connection has ended; the last event of a handle. `arg`: the code of the peer's close
        /// frame, 1005 for a frame without a code, 1006 for no frame, and above `END_SHIFT` bits the cause, see
        /// `EndCode`. The content is the reason in the frame.
        ConnectionEnded = 21,
        /// Connection without a session: a text or binary message.
        ConnectionMessage = 22,
        /// Connection without a session: closed by its peer, or with a fault (`arg`: `WITH_FAULT`; content: its
        /// message).
        ConnectionClosed = 23,
        /// Connection whose bytes JavaScript carries: there are bytes to take, or the end has to be handled.
        PipeReady = 24,

        /// Connection: one of few that talk. The owner's thread may read it.
        LeftToOwner = 25,
        /// Connection: a ping or pong frame came in, if the owner wants them. `arg`: its opcode.
        ControlFrame = 26,
        /// Connection: these bytes came in, if the owner wants a copy.
        Bytes = 27,

        /// Listener: closed, and all its connections have ended.
        ListenerClosed = 33,
        /// Listener `arg`: the target, a session, was opened by its listener. The content is its request's head.
        Opened = 34,
        /// Listener `arg`: a request was refused. The target says why, see `REFUSALS`; the content is its head.
        Refused = 35,

        /// The target, a body, is compressed: the content, or nothing if zlib failed.
        Compressed = 40,
        /// Member of a cluster: there are messages of peers to take.
        Peers = 41,
    }

    /// `arg` of `Kind.PACKET` for data that could not be decoded.
    pub const PARSE_ERROR: u32 = 100;

    /// `arg` of `Kind.PACKET` for a packet of protocol 3 whose type is unknown.
    pub const UNKNOWN_TYPE: u32 = 101;

    /// `arg` of `Kind.DUE`: the peer's time to answer is over. JavaScript must read waiting data before it ends the
    /// session.
    pub const OVERDUE: u32 = 1;

    /// `arg` of `Kind.CONNECTION_CLOSED`: the content is the message of a fault.
    pub const WITH_FAULT: u32 = 1;

    /// Added to the kind of an event whose content is too large for a string or a Buffer.
    pub const UNFIT: u32 = 128;

    /// Added by `drain` to the number of events, which is smaller than this, if there are more.
    pub const MORE_EVENTS: u32 = 1 << 16;

    /// Added by `drain`, besides `MORE_EVENTS`, if the next event belongs to a later turn: a message that is too large to
    /// have been read together with the one before it on its connection.
    pub const NEXT_TURN: u32 = 1 << 17;

    /// The kind in `outcome` if a call has caused several events. The call returns `[kind, arg, content, …]`.
    pub const SEVERAL_EVENTS: u32 = 255;

    // ---- the cluster ---------------------------------------------------------------------------

    /// What `ownerOf` returns for an id that is not another member's. A member is its number, shifted by
    /// `MEMBER_SHIFT`, and its boot.
    pub enum IdOwner {
        /// The id was not made with the key.
        Unknown = 0x100_0000,
        /// This member has made it.
        Mine = 0x100_0001,
        /// It was made by a member that has gone.
        Gone = 0x100_0002,
    }

    /// See `IdOwner`.
    pub const MEMBER_SHIFT: u32 = 8;

    /// What `sendToPeer` returns.
    pub enum PeerSent {
        /// The message is not sent: the link has ended, or the message cannot be sent at all.
        No = 0,
        /// It is sent.
        Yes = 1,
        /// It is not sent now: too much waits because the peer does not read as fast.
        Later = 2,
    }

    /// The kinds of messages between members. The number of a message names the request that it belongs to. From front to
    /// owner go requests and what concerns them; the answers go back on the same link.
    pub enum PeerMessage {
        /// The first message of each side of a link, which JavaScript does not see.
        Hello = 0,
        /// To the owner: a connection that asks for an upgrade, whose descriptor comes with the message. Head: the headers
        /// for the response as JSON, NUL, the head of the request. Body: the bytes that came behind it.
        Move = 1,
        /// To the owner: a poll or a POST. Head: the head of the request. Body: its body.
        Request = 2,
        /// To the front: the answer to a request. Head: status and headers as JSON.
        Answer = 3,
        /// To the front: the request is refused. Head: code and context of `connection_error` as JSON.
        Refusal = 4,
        /// To the owner: the client has gone. To the front: the client has to be cut off.
        Abort = 5,
        /// To the owner: the answer to a poll has been written.
        Done = 6,
        /// To the front: the connection that was moved is served; or the request of an `Ask` was handed on.
        Taken = 7,
        /// To the owner: the body of a POST could not be read. Head: what went wrong, NUL, the session's id.
        Fail = 8,
        /// To the owner: answer this poll soon, because the front leaves.
        Release = 9,
        /// To all peers: whose is the session with the id in the head?
        Find = 10,
        /// The answer. Body: one byte if the session is here, otherwise nothing.
        Found = 11,
        /// To a member that is a node of a bus: a `Request` for a session that may be on another machine.
        Ask = 12,
        /// To a member that is a node of a bus: a `Move` for a session that may be on another machine.
        AskMove = 13,
        /// To a member that is a node of a bus: the body of a POST could not be read. Head: the session's id.
        AskFail = 14,
        /// To the owner: a `Request` that came from another machine. `Done` follows for a POST, too.
        Serve = 15,
        /// To a member that is a node of a bus: the sender is not, and has just joined.
        Present = 16,
        /// To the owner: a `Move` without a descriptor. The owner makes a connection to the front, which carries the bytes.
        /// Head: as that of `Move`. Body: where the front waits, and secrets, see lib/cluster/passages.js.
        Carry = 17,
        /// To a member that is a node of a bus: a `Carry` for a session that may be on another machine.
        AskCarry = 18,
        /// From the engine: the link can be used from now on.
        Up = 254,
        /// From the engine: the link has ended, or could not be made.
        Down = 255,
    }

    // ---- handles -------------------------------------------------------------------------------

    /// The handle of nothing.
    pub const NO_HANDLE: u32 = 0;

    /// The bits of a handle that are the index of its slot; the others are the slot's generation. The handle names what
    /// is found at the index only if that has the same handle.
    pub const INDEX_MASK: u32 = (1 << 21) - 1;

    /// The largest number that JavaScript gives a poll. Larger numbers belong to polls of the native listener.
    pub const MAX_OWNER_POLL: u32 = (1 << 31) - 1;

    /// Characters of a session's id.
    js const ID_LENGTH = crate::session::ID_LENGTH;

    // ---- packets -------------------------------------------------------------------------------

    /// The names of the packet types, by their numbers.
    js const PACKET_TYPES = PacketType::ALL.map(PacketType::name);

    /// The packet types.
    js enum PacketType {
        OPEN = PacketType::Open as u32,
        CLOSE = PacketType::Close as u32,
        PING = PacketType::Ping as u32,
        PONG = PacketType::Pong as u32,
        MESSAGE = PacketType::Message as u32,
        UPGRADE = PacketType::Upgrade as u32,
        NOOP = PacketType::Noop as u32,
    }

    /// The number for something other than a packet.
    pub const NOT_A_PACKET: u32 = 7;

    /// The content of a probing client's ping, and of the pong that answers it.
    js const PROBE = crate::session::PROBE;

    /// The byte that ends a length in a binary payload of protocol 3.
    js const LENGTH_END = v3::LENGTH_END;

    /// The number of digits after which such a length is not read any further: those of the largest number.
    js const MAX_DIGITS = v3::MAX_DIGITS;

    /// Which of the engine's own packets (heartbeats, the noop of an upgrade) JavaScript sends.
    js enum Relayed {
        /// None: the engine carries the session alone.
        NOTHING = Relayed::Nothing as u32,
        /// Those to a client that polls, because JavaScript keeps what waits for a poll.
        POLLS = Relayed::Polls as u32,
        /// All of them, because a method that packets pass was replaced.
        EVERYTHING = Relayed::Everything as u32,
    }

    // ---- sending -------------------------------------------------------------------------------

    /// Results of a call that hands bytes to a connection.
    pub enum SendStatus {
        /// The bytes go out with the next flush.
        Flowing = 0,
        /// The peer is slow: wait for `Kind.DRAINED`.
        Congested = 1,
        /// The connection is closing or has ended; the bytes are not sent.
        Closed = 2,
    }

    /// `how` of `send`, `sendMany` and `share` is a packet's type, and above this many bits the mode, a sum of the
    /// following.
    pub const MODE_SHIFT: u32 = 3;

    /// A mode of sending: in protocol 3.
    pub const MODE_V3: u32 = 1;

    /// A mode of sending: the client takes text only.
    pub const MODE_TEXT_ONLY: u32 = 2;

    /// A mode of sending: not to be compressed.
    pub const MODE_PLAIN: u32 = 4;

    /// A mode of `send` and `sendMany`: what waits is written in the call, as far as the kernel takes it, and no I/O thread
    /// is asked to.
    pub const MODE_NOW: u32 = 8;

    /// Largest number of packets that cross in one call of `sendMany`.
    pub const MAX_PACKETS: usize = 16;

    /// Largest number of connections to which the owner's thread writes by itself after a single message. Waking an I/O
    /// thread would take longer. One more recipient of a broadcast wakes it early.
    pub const SMALL_ROOM: u32 = 15;

    /// Bytes of answers to probes and to pings of protocol 3 that wait for a client that does not read. Further answers
    /// are left out.
    pub const MAX_WAITING_ANSWERS: usize = 256 * 1024;

    /// Pongs for the ping frames of a client that does not read, as in `ws` (`maxPendingAutoPongs`). With one more the
    /// connection is cut off.
    pub const MAX_WAITING_PONGS: u8 = 60;

    /// Frames of which a message may consist, as in `ws` (`maxFragments`).
    js const MAX_FRAGMENTS = MAX_FRAGMENTS;

    // ---- compression ---------------------------------------------------------------------------

    /// The level of zlib, unless the application sets one.
    pub const COMPRESSION_LEVEL: u32 = 6;

    /// Messages and answers below this many bytes are not compressed, unless the application sets another limit.
    pub const COMPRESSION_THRESHOLD: u32 = 1024;

    /// The window of zlib in bits, unless the application sets another.
    js const MAX_WINDOW_BITS = deflate::MAX_WINDOW_BITS;

    /// The name of the extension that compresses messages.
    js const DEFLATE = deflate::NAME;

    // ---- streams that JavaScript carries, and functions for a net.Socket -- ----------------------

    /// Added by `pipeInput` to the number of bytes that it has taken, which is smaller, if the input has to be paused.
    pub const INPUT_WAITS: u32 = 1 << 31;

    /// Results of `pipeTake` other than a number of bytes.
    pub enum TakeStatus {
        /// There is more than fits: `pipeTakeLarge` returns it.
        Large = 0xffff_fffd,
        /// The connection has to be cut off.
        Destroy = 0xffff_fffe,
        /// This side has to be ended.
        End = 0xffff_ffff,
    }

    /// Which bytes `traffic` counts.
    pub enum Direction {
        /// The bytes that were read.
        Read = 0,
        /// The bytes that were handed over to be written.
        Written = 1,
    }

    /// The opcodes of control frames that are shown.
    js enum OpCode {
        PING = OpCode::Ping as u8,
        PONG = OpCode::Pong as u8,
    }

    /// The longest content of a control frame, in bytes.
    js const MAX_CONTROL = MAX_CONTROL;

    /// The longest reason of a close frame, in bytes: the code is before it.
    js const MAX_CLOSE_REASON = MAX_CONTROL - 2;

    /// Milliseconds after which a peer is cut off that does not end the connection after the closing handshake.
    pub const CLOSE_TIMEOUT: u32 = 30_000;

    // ---- ends ----------------------------------------------------------------------------------

    /// Why a session ended, in `Kind.CLOSED` and `fail`. Codes of errors come first.
    pub enum ReasonCode {
        /// The transport failed.
        TransportError = 0,
        /// The transport failed, by a fault whose error has no type of its own.
        Fault = 1,
        /// The peer closed the connection or sent a close packet by POST.
        TransportClose = 2,
        /// A packet could not be decoded.
        ParseError = 3,
        /// The peer missed the heartbeat's deadline.
        PingTimeout = 4,
        /// The application closed the session.
        ForcedClose = 5,
    }

    /// The reasons as the application reads them, by their codes.
    js const REASONS = ReasonCode::ALL.map(ReasonCode::text);

    /// The reasons that JavaScript gives by itself.
    js enum ReasonText {
        /// The transport failed.
        TRANSPORT_ERROR = ReasonCode::TransportError.text(),
        /// The peer closed the connection.
        TRANSPORT_CLOSE = ReasonCode::TransportClose.text(),
        /// The peer missed the deadline of a heartbeat that JavaScript runs.
        PING_TIMEOUT = ReasonCode::PingTimeout.text(),
        /// The application closed the session.
        FORCED_CLOSE = ReasonCode::ForcedClose.text(),
    }

    /// Faults of a transport, as the application reads them.
    js enum FaultText {
        /// A second poll while one was pending.
        POLL_OVERLAP = &*Fault::PollOverlap.message(),
        /// A second POST while one was in progress.
        DATA_OVERLAP = &*Fault::DataOverlap.message(),
        /// The client left while its poll was pending.
        POLL_ABORTED = &*Fault::PollAborted.message(),
        /// The client left in the middle of a POST.
        DATA_ABORTED = &*Fault::DataAborted.message(),
        /// A POST has more bytes than allowed.
        BODY_TOO_LARGE = &*Fault::BodyTooLarge.message(),
        /// A POST comes in more pieces than allowed.
        TOO_MANY_CHUNKS = &*Fault::TooManyChunks.message(),
        /// A POST takes longer than allowed.
        BODY_TIMEOUT = &*Fault::BodyTimeout.message(),
        /// A binary POST in protocol 4.
        INVALID_CONTENT = &*Fault::InvalidContent.message(),
        /// The connection failed while writing to it.
        WRITE = &*Fault::Write(String::new()).message(),
    }

    /// Why a session did not move to the channel that its client probed: `arg` of `Kind.UPGRADE_FAILED`.
    pub enum ProbeEndCode {
        /// The client took too long, or sent something other than a probe: the channel is closed.
        GivenUp = 0,
        /// The session ends; the channel is closed.
        SessionEnded = 1,
        /// The client closed the channel.
        Closed = 2,
        /// The channel failed.
        Failed = 3,
    }

    /// Why a connection has ended, in the upper bits of `arg` of `Kind.CONNECTION_ENDED`.
    pub enum EndCode {
        /// This side has cut the connection off, or a timeout has.
        CutOff = 1,
        /// This side has reset the connection.
        Reset = 2,
        /// The peer has ended its side.
        PeerEnded = 3,
        /// Both close frames have passed, and our side has been ended.
        Closed = 4,
        /// The peer has ended its side behind ours.
        PeerFollowed = 5,
        /// Added to the number of the error that reading failed with.
        ReadFailed = 0x4000,
        /// Added to the number of the error that writing failed with.
        WriteFailed = 0x8000,
    }

    /// The bits of an `EndCode` that are the number of an error.
    pub const ERRNO_MASK: u32 = 0x3fff;

    /// Above this many bits `arg` of `Kind.CONNECTION_ENDED` is an `EndCode`; below it is the code of a close frame.
    pub const END_SHIFT: u32 = 16;

    /// The code of a connection that ended without a close frame (RFC 6455, 7.1.5).
    pub const NO_CLOSE_FRAME: u16 = 1006;

    // ---- requests ------------------------------------------------------------------------------

    /// The codes of `connection_error` and of error responses.
    pub enum ErrorCode {
        /// The query names no transport that the server has.
        UnknownTransport = 0,
        /// The query names a session that is not there.
        UnknownSid = 1,
        /// A session is opened by GET only.
        BadHandshakeMethod = 2,
        /// Anything else is wrong with the request.
        BadRequest = 3,
        /// The application, or a limit, refuses the request.
        Forbidden = 4,
        /// The client speaks protocol 3, which the server does not allow.
        UnsupportedProtocolVersion = 5,
    }

    /// What each error code says, by the codes.
    js const ERROR_MESSAGES = ErrorCode::ALL.map(ErrorCode::message);

    /// The error code and the name of each refusal, by the number that is the target of `Kind.REFUSED`.
    js const REFUSALS = Refusal::ALL.map(|refusal| [(refusal.code() as u32).into(), Value::from(refusal.name())]);

    /// What the client of a refused handshake is told while the server drains.
    pub const DRAINING: &str = "Server is draining";

    /// Milliseconds that a proxy has for the header of the PROXY protocol, with which its connections begin.
    pub const PROXY_HEADER_TIMEOUT: u32 = 5_000;

    /// The content type of an error response.
    pub const ERROR_TYPE: &str = "application/json";

    /// The content type of an answer to a poll that is text.
    pub const TEXT_PAYLOAD_TYPE: &str = "text/plain; charset=UTF-8";

    /// The content type of an answer to a poll, and of a POST, that is bytes: in protocol 3.
    pub const BINARY_PAYLOAD_TYPE: &str = "application/octet-stream";

    /// The content type of an answer to a POST: it keeps old mobile browsers from offering a download of form posts.
    pub const POST_ANSWER_TYPE: &str = "text/html";

    /// The answer to a POST.
    pub const POST_ANSWER: &str = "ok";

    /// The header `Cache-Control` of answers to polls and POSTs.
    pub const CACHE_CONTROL: &str = "no-store";

    /// What the user agents of old Internet Explorers contain, one of these: they mistake payloads for cross-site
    /// scripting, unless a header tells them not to.
    pub const OLD_IE: [&str; 2] = [";MSIE", "Trident/"];

    /// The header that tells them not to, and its value.
    pub const XSS_PROTECTION: [&str; 2] = ["X-XSS-Protection", "0"];

    /// The content type of the answer to an upgrade request that is refused.
    pub const UPGRADE_REFUSAL_TYPE: &str = "text/html";

    /// The fields of a request's head in the form in which the native listener passes it: strings that NUL separates.
    pub enum HeadField {
        /// The id of the session that was opened for the request, or nothing.
        Sid = 0,
        /// The handle of the connection that the request has become, or nothing.
        Connection = 1,
        /// Not empty if the query says more of transports than that it is of protocol 4.
        IsSpecial = 2,
        /// The client's address, or nothing on a UNIX socket.
        RemoteAddress = 3,
        /// The client's port.
        RemotePort = 4,
        /// This side's address.
        LocalAddress = 5,
        /// This side's port.
        LocalPort = 6,
        /// The method.
        Method = 7,
        /// The target.
        Target = 8,
        /// The version of HTTP.
        Version = 9,
        /// The first header: names, see `HEAD_NAMES`, and values in turn.
        Headers = 10,
    }

    /// Names of headers that nearly every request has. In a head each is one character, its index here plus 1, because
    /// JavaScript keeps the head as long as the session.
    pub const HEAD_NAMES: [&str; 8] = [
        "host",
        "connection",
        "upgrade",
        "user-agent",
        "accept-encoding",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
    ];

    /// The first lines of the response that switches to WebSocket.
    js const SWITCHING_PROTOCOLS = handshake::SWITCHING_PROTOCOLS;

    /// The header `Upgrade` of a request for a WebSocket.
    js const UPGRADE = handshake::UPGRADE;

    /// The names of the headers of the handshake.
    js enum HandshakeHeader {
        /// Of the request: the key.
        KEY = handshake::names::KEY,
        /// Of the request: the version. Of its refusal: the versions that are accepted.
        VERSION = handshake::names::VERSION,
        /// Of the request: the subprotocols that the client offers. Of the response: the one that was selected.
        PROTOCOL = handshake::names::PROTOCOL,
        /// Of the request: the extensions that the client offers. Of the response: those that were accepted.
        EXTENSIONS = handshake::names::EXTENSIONS,
        /// Of the response: the answer to the key.
        ACCEPT = handshake::names::ACCEPT,
    }

    /// What is wrong with an upgrade request, where it makes a difference to more than the answer's text.
    js enum HandshakeError {
        /// The version is not one of `WEBSOCKET_VERSIONS`.
        VERSION = HandshakeError::Version as u32,
        /// The list of subprotocols is malformed.
        PROTOCOL = HandshakeError::Protocol as u32,
        /// The list of extensions is malformed, or none of its offers can be accepted.
        EXTENSIONS = HandshakeError::Extensions as u32,
    }

    /// The header `Sec-WebSocket-Version` of nearly all requests.
    js const WEBSOCKET_VERSION = handshake::USUAL_VERSION;

    /// The header `Sec-WebSocket-Version` of the answer to a request of another version.
    js const WEBSOCKET_VERSIONS = handshake::VERSIONS;
}
