//! The functions that run for every message.

use std::ptr;
use std::rc::Rc;

use napi::{Error, Result, Status, sys};

use super::{Args, Fast, add, callback, flag, int, number, text};
use crate::node::connections::ends;
use crate::node::convert::{Content, Raw, to_content, uint32s, with_content};
use crate::node::counts::count_sent;
use crate::node::sessions::packet_type;
use crate::node::state::State;
use crate::node::wake::check;
use crate::protocol::PacketType;
use crate::runtime::Outbox;
use crate::runtime::contract::{Direction, MAX_PACKETS, MODE_PLAIN, MODE_SHIFT, MODE_TEXT_ONLY, MODE_V3, SendStatus};
use crate::session::{OutPacket, Revision};
use crate::websocket::{OpCode, UpgradeRequest, check as judge, handshake};

/// Result of `send` and `sendFrame` for a connection that has ended.
const CLOSED: u32 = SendStatus::Closed as u32;

/// Makes an object with all functions.
///
/// * `drain(meta: Uint32Array, take: (...contents) => void): number` takes events, see `State::drain`.
/// * `flush(here: number): number` has everything written that was handed over, see `State::flush`.
/// * `send(connection, data, how): number` sends one packet with the next flush; `how` is its type and its
///   mode, see [`MODE_SHIFT`]. Returns a [`SendStatus`].
/// * `sendMany(connection, how, count, ...data): number` sends up to [`MAX_PACKETS`] packets of one type in a row.
/// * `sendFrame(connection, bytes): number` sends bytes that are frames already.
/// * `pipeInput(connection, bytes): number` takes bytes that came in through a pipe; drain next. See
///   `State::pipe_input`.
/// * `pipeTake(connection, into: Buffer, offset): number` takes what a pipe has to write, see `State::pipe_take`.
/// * `share(data, how): number` keeps one packet's frame for `sendShared`, until the next call.
/// * `shareFrame(header, payload): number` keeps a frame that was encoded elsewhere.
/// * `dropShared(): number` frees the kept frame.
/// * `generateId(): string` makes the id of a session.
/// * `openSession(timing, protocol, connection, supportsBinary, jsonp): number` see `State::open_session`.
/// * `tick(session)`, `poll(session, poll, more)`, `postStarted(session)`, `postFinished(session, body, binary)` and
///   `sendPacket(session, type, data, compress)` see `super::sessions`.
/// * `releaseSession(session): number` releases a session, whose handle JavaScript forgets in the same step.
/// * `releaseConnection(connection): number` releases a connection that has had its last event.
/// * `upgrade(fd, key, early: Uint8Array, maxPayload, maxChunks): number` accepts the usual upgrade request with this
///   key and takes its connection over, see `State::adopt`. Throws if the key is invalid.
/// * `conclude(connection): number` lets our side of the connection end, because JavaScript has heard that its session
///   is over. Returns 1 if a flush has to follow.
/// * `traffic(connection, direction): number` the bytes that were read or handed over to be written, see [`Direction`].
/// * `sendSharedTo(connections: Uint32Array): number` sends it to each of them, whose places get their [`SendStatus`].
/// * `sendShared(connection): number` sends the frame that is kept: what a broadcast sends to each of its
///   recipients crosses once.
pub(super) fn functions(env: sys::napi_env, state: &Rc<State>) -> Result<sys::napi_value> {
    let mut object = ptr::null_mut();
    // SAFETY: env belongs to the running callback.
    check(unsafe { sys::napi_create_object(env, &mut object) })?;
    add(env, object, state, "drain", callback::<2, Drain>)?;
    add(env, object, state, "flush", callback::<1, Flush>)?;
    add(env, object, state, "send", callback::<3, Send>)?;
    add(env, object, state, "sendMany", callback::<{ 3 + MAX_PACKETS }, SendMany>)?;
    add(env, object, state, "sendFrame", callback::<2, SendFrame>)?;
    add(env, object, state, "pipeInput", callback::<2, PipeInput>)?;
    add(env, object, state, "pipeTake", callback::<3, PipeTake>)?;
    add(env, object, state, "share", callback::<2, Share>)?;
    add(env, object, state, "shareFrame", callback::<2, ShareFrame>)?;
    add(env, object, state, "dropShared", callback::<0, DropShared>)?;
    add(env, object, state, "sendShared", callback::<1, SendShared>)?;
    add(env, object, state, "sendSharedTo", callback::<1, SendSharedTo>)?;
    add(env, object, state, "generateId", callback::<0, GenerateId>)?;
    add(env, object, state, "openSession", callback::<5, OpenSession>)?;
    add(env, object, state, "tick", callback::<1, Tick>)?;
    add(env, object, state, "poll", callback::<3, Poll>)?;
    add(env, object, state, "postStarted", callback::<1, PostStarted>)?;
    add(env, object, state, "postFinished", callback::<3, PostFinished>)?;
    add(env, object, state, "sendPacket", callback::<4, SendPacket>)?;
    add(env, object, state, "releaseSession", callback::<1, ReleaseSession>)?;
    add(env, object, state, "releaseConnection", callback::<1, ReleaseConnection>)?;
    add(env, object, state, "upgrade", callback::<5, Upgrade>)?;
    add(env, object, state, "conclude", callback::<1, Conclude>)?;
    add(env, object, state, "traffic", callback::<2, Traffic>)?;
    Ok(object)
}

struct Drain;

impl Fast<2> for Drain {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [meta, take]: Args<2>) -> Result<u32> {
        let (data, len) = uint32s(env, meta)?;
        // SAFETY: the array has this many numbers. Nothing else touches it during this call: the only JavaScript that
        // runs in it keeps its arguments.
        let meta = unsafe { std::slice::from_raw_parts_mut(data.as_ptr(), len) };
        state.drain(env, meta, take)
    }
}

struct Flush;

impl Fast<1> for Flush {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [here]: Args<1>) -> Result<u32> {
        state.flush(number(env, here)? as usize);
        Ok(0)
    }
}

struct Send;

impl Fast<3> for Send {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [connection, data, how]: Args<3>) -> Result<u32> {
        let (kind, mode) = kind_and_mode(env, how)?;
        let connections = state.tables.connections.borrow();
        let Some(connection) = connections.get(number(env, connection)?) else { return Ok(CLOSED) };
        with_content(env, data, |content| {
            let bytes = content.len();
            let status = state.enqueue_by(connection, mode, |outbox| append(outbox, kind, mode, content));
            count_sent(&state.counts, kind, status, 1, bytes);
            status
        })
    }
}

/// Appends a packet to an outbox.
fn append(outbox: &mut Outbox, kind: PacketType, mode: u32, content: Content<'_>) {
    let revision = if mode & MODE_V3 != 0 { Revision::V3 } else { Revision::V4 };
    match content {
        Content::None => outbox.message(OpCode::Text, &[kind.digit()], &[]),
        Content::Text(text) if mode & MODE_PLAIN != 0 => outbox.plain_message(OpCode::Text, &[kind.digit()], text),
        Content::Text(text) => outbox.message(OpCode::Text, &[kind.digit()], text),
        Content::Binary(bytes) => outbox.binary(kind, bytes, revision, mode & MODE_TEXT_ONLY != 0),
    }
}

struct SendMany;

impl Fast<{ 3 + MAX_PACKETS }> for SendMany {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, args: Args<{ 3 + MAX_PACKETS }>) -> Result<u32> {
        let [connection, how, count, data @ ..] = args;
        let (kind, mode) = kind_and_mode(env, how)?;
        let count = (number(env, count)? as usize).min(MAX_PACKETS);
        let connections = state.tables.connections.borrow();
        let Some(connection) = connections.get(number(env, connection)?) else { return Ok(CLOSED) };
        let (mut done, mut bytes) = (Ok(()), 0);
        let status = state.enqueue_by(connection, mode, |outbox| {
            done = data[..count].iter().try_for_each(|&data| {
                with_content(env, data, |content| {
                    bytes += content.len();
                    append(outbox, kind, mode, content);
                })
            });
        });
        count_sent(&state.counts, kind, status, count, bytes);
        done.map(|()| status)
    }
}

struct SendFrame;

impl Fast<2> for SendFrame {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [connection, frame]: Args<2>) -> Result<u32> {
        let connections = state.tables.connections.borrow();
        let Some(connection) = connections.get(number(env, connection)?) else { return Ok(CLOSED) };
        with_content(env, frame, |content| {
            state.enqueue(connection, |outbox| match content {
                Content::None => {}
                Content::Text(bytes) | Content::Binary(bytes) => outbox.frame(bytes),
            })
        })
    }
}

struct PipeInput;

impl Fast<2> for PipeInput {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [connection, bytes]: Args<2>) -> Result<u32> {
        let connection = number(env, connection)?;
        with_content(env, bytes, |content| match content {
            Content::None => 0,
            Content::Text(bytes) | Content::Binary(bytes) => state.pipe_input(connection, bytes),
        })
    }
}

struct PipeTake;

impl Fast<3> for PipeTake {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [connection, into, offset]: Args<3>) -> Result<u32> {
        let (mut data, mut len) = (ptr::null_mut(), 0);
        let offset = number(env, offset)? as usize;
        // SAFETY: out pointers are valid. JavaScript does not run during this call, and what it has written
        // from before the offset is not touched.
        let into = unsafe {
            check(sys::napi_get_buffer_info(env, into, &mut data, &mut len))?;
            match data.is_null() || offset > len {
                true => &mut [],
                false => std::slice::from_raw_parts_mut(data.cast::<u8>().add(offset), len - offset),
            }
        };
        Ok(state.pipe_take(number(env, connection)?, into))
    }
}

struct Share;

impl Fast<2> for Share {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [data, how]: Args<2>) -> Result<u32> {
        let (kind, mode) = kind_and_mode(env, how)?;
        let mut outbox = Outbox::new(None);
        let bytes = with_content(env, data, |content| {
            let bytes = content.len();
            append(&mut outbox, kind, mode, content);
            bytes
        })?;
        state.broadcast.message.set((kind == PacketType::Message).then_some(bytes));
        *state.broadcast.frame.borrow_mut() = (*outbox.bytes).into();
        Ok(0)
    }
}

struct ShareFrame;

impl Fast<2> for ShareFrame {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, parts: Args<2>) -> Result<u32> {
        let (mut shared, mut payload) = (Vec::new(), 0);
        for part in parts {
            payload = with_content(env, part, |content| match content {
                Content::None => 0,
                Content::Text(bytes) | Content::Binary(bytes) => {
                    shared.extend_from_slice(bytes);
                    bytes.len()
                }
            })?;
        }
        // the payload begins with the packet's type
        state.broadcast.message.set(Some(payload.saturating_sub(1)));
        *state.broadcast.frame.borrow_mut() = shared.into();
        Ok(0)
    }
}

struct DropShared;

impl Fast<0> for DropShared {
    type Output = u32;

    fn run(_: sys::napi_env, state: &State, _: Args<0>) -> Result<u32> {
        *state.broadcast.frame.borrow_mut() = std::sync::Arc::default();
        Ok(0)
    }
}

struct SendShared;

impl Fast<1> for SendShared {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [connection]: Args<1>) -> Result<u32> {
        let connections = state.tables.connections.borrow();
        let Some(connection) = connections.get(number(env, connection)?) else { return Ok(CLOSED) };
        Ok(state.enqueue_shared(connection))
    }
}

struct SendSharedTo;

impl Fast<1> for SendSharedTo {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [targets]: Args<1>) -> Result<u32> {
        let (data, len) = uint32s(env, targets)?;
        // SAFETY: the array has this many numbers. No JavaScript runs during this call, so that nothing else touches it.
        let targets = unsafe { std::slice::from_raw_parts_mut(data.as_ptr(), len) };
        let connections = state.tables.connections.borrow();
        for target in targets {
            *target = connections.get(*target).map_or(CLOSED, |connection| state.enqueue_shared(connection));
        }
        Ok(0)
    }
}

struct GenerateId;

impl Fast<0> for GenerateId {
    type Output = Raw;

    fn run(env: sys::napi_env, state: &State, _: Args<0>) -> Result<Raw> {
        let id = state.generate_id()?;
        let mut value = ptr::null_mut();
        // SAFETY: env belongs to the running callback; the id is ASCII, and copied.
        check(unsafe { sys::napi_create_string_latin1(env, id.as_ptr().cast(), id.len() as isize, &mut value) })?;
        Ok(Raw(value))
    }
}

struct OpenSession;

impl Fast<5> for OpenSession {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, args: Args<5>) -> Result<u32> {
        let [timing, protocol, connection, supports_binary, jsonp] = args;
        state.open_session(
            number(env, timing)?,
            number(env, protocol)?,
            number(env, connection)?,
            flag(env, supports_binary)?,
            text(env, jsonp)?,
        )
    }
}

struct Tick;

impl Fast<1> for Tick {
    type Output = Raw;

    fn run(env: sys::napi_env, state: &State, [session]: Args<1>) -> Result<Raw> {
        state.tick(env, number(env, session)?)
    }
}

struct Poll;

impl Fast<3> for Poll {
    type Output = Raw;

    fn run(env: sys::napi_env, state: &State, [session, poll, more]: Args<3>) -> Result<Raw> {
        state.poll(env, number(env, session)?, number(env, poll)?, flag(env, more)?)
    }
}

struct PostStarted;

impl Fast<1> for PostStarted {
    type Output = Raw;

    fn run(env: sys::napi_env, state: &State, [session]: Args<1>) -> Result<Raw> {
        state.post_started(env, number(env, session)?)
    }
}

struct PostFinished;

impl Fast<3> for PostFinished {
    type Output = Raw;

    fn run(env: sys::napi_env, state: &State, [session, body, binary]: Args<3>) -> Result<Raw> {
        state.post_finished(env, number(env, session)?, body, flag(env, binary)?)
    }
}

struct SendPacket;

impl Fast<4> for SendPacket {
    type Output = Raw;

    fn run(env: sys::napi_env, state: &State, [session, kind, data, compress]: Args<4>) -> Result<Raw> {
        let packet = OutPacket { kind: packet_type(number(env, kind)?)?, data: to_content(env, data)? };
        state.send_packets(env, number(env, session)?, vec![packet], flag(env, compress)?)
    }
}

struct ReleaseSession;

impl Fast<1> for ReleaseSession {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [session]: Args<1>) -> Result<u32> {
        state.release_session(number(env, session)?);
        Ok(0)
    }
}

struct ReleaseConnection;

impl Fast<1> for ReleaseConnection {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [connection]: Args<1>) -> Result<u32> {
        state.release_connection(number(env, connection)?);
        Ok(0)
    }
}

struct Upgrade;

impl Fast<5> for Upgrade {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [fd, key, early, max_payload, max_chunks]: Args<5>) -> Result<u32> {
        let mut limit = 0.0;
        // SAFETY: env and the value belong to the running callback.
        check(unsafe { sys::napi_get_value_double(env, max_payload, &mut limit) })?;
        let (fd, max_chunks) = (int(env, fd)?, number(env, max_chunks)?);
        let key = text(env, key)?;
        let request = UpgradeRequest {
            method: "GET",
            upgrade: Some(handshake::UPGRADE),
            key: key.as_deref(),
            version: Some(handshake::USUAL_VERSION),
            protocol: None,
        };
        let accepted = judge(&request).map_err(|error| Error::new(Status::InvalidArg, error.message()))?;
        let response = accepted.response(None);
        with_content(env, early, |content| match content {
            Content::Binary(early) => state.adopt(fd, response.as_bytes(), early, ends(limit, max_chunks, None)),
            _ => Err(Error::new(Status::InvalidArg, "expected a Uint8Array")),
        })?
    }
}

struct Conclude;

impl Fast<1> for Conclude {
    type Output = u32;

    fn run(env: sys::napi_env, state: &State, [connection]: Args<1>) -> Result<u32> {
        let connections = state.tables.connections.borrow();
        let connection = connections.get(number(env, connection)?);
        Ok(connection.is_some_and(|connection| connection.conclude()).into())
    }
}

struct Traffic;

impl Fast<2> for Traffic {
    type Output = f64;

    fn run(env: sys::napi_env, state: &State, [connection, direction]: Args<2>) -> Result<f64> {
        let connections = state.tables.connections.borrow();
        let Some(connection) = connections.get(number(env, connection)?) else { return Ok(0.0) };
        let bytes = if number(env, direction)? == Direction::Read as u32 {
            connection.bytes_read()
        } else {
            connection.bytes_written()
        };
        Ok(bytes as f64)
    }
}

/// `how` of `send`.
fn kind_and_mode(env: sys::napi_env, how: sys::napi_value) -> Result<(PacketType, u32)> {
    let how = number(env, how)?;
    Ok((packet_type(how & ((1 << MODE_SHIFT) - 1))?, how >> MODE_SHIFT))
}
