//! What a node and its process say to each other.

use super::super::id::Member;
use super::message::{Id, Purpose, Run};

/// Names a request, with its answer and what is relayed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stream {
    /// It came in here and was handed on.
    Asked(u32),
    /// It came in at another node, for a session of this one.
    Served(Run, u32),
}

/// What the process has to do for the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Publish a message: to one node, or to all of them.
    Publish {
        /// The receiver.
        to: Option<Run>,
        /// The message.
        message: Vec<u8>,
    },
    /// New sessions get ids of this member from now on.
    Joined(Member),
    /// Another node has the number that this one was told to have. It keeps it, see [`Node::renumber`].
    NumberTaken(u16),
    /// Present a request to a session of this process, and call [`Node::answer`], [`Node::give`] or [`Node::refuse`].
    Serve {
        /// Its name.
        stream: Stream,
        /// What it wants.
        purpose: Purpose,
        /// The session.
        id: Id,
        /// The session may be given away, as far as the node knows: see [`Node::give`].
        claimable: bool,
        /// The head of the request.
        head: Vec<u8>,
        /// The first bytes of its body.
        body: Vec<u8>,
        /// They are all.
        last: bool,
    },
    /// Send an answer to the client. Call [`Node::done`] when all of it was handed to its connection.
    Answer {
        /// The request.
        stream: Stream,
        /// The status.
        status: u16,
        /// The head of the answer.
        head: Vec<u8>,
        /// The first bytes of its body.
        body: Vec<u8>,
        /// They are all.
        last: bool,
    },
    /// More bytes of a stream. Call [`Node::consumed`] when they are used.
    Data {
        /// The stream.
        stream: Stream,
        /// The bytes.
        body: Vec<u8>,
        /// They are the last ones.
        last: bool,
    },
    /// [`Node::room`] has grown after it was too small.
    Writable(Stream),
    /// A request that came in here fails. The stream is over.
    Failed {
        /// The request.
        stream: Stream,
        /// What to tell the client.
        failure: Failure,
    },
    /// The client of a request that is served here has gone, or its node. The stream is over.
    Gone(Stream),
    /// The answer to a request that is served here was handed to the client's connection, or its relay has ended in
    /// both directions. The stream is over.
    Done(Stream),
    /// The session of a request that is served here has moved, and the request goes after it. The stream is over.
    Moved(Stream),
    /// The answer to a request of this session may not have arrived: end the session. The stream is over.
    Lost(Stream, Id),
    /// A session belongs to this process now, and so does its upgrade. The stream is over.
    Claimed {
        /// The upgrade.
        stream: Stream,
        /// The session.
        id: Id,
        /// What its former owner knew about it.
        state: Vec<u8>,
    },
    /// A request that had to wait (see [`Node::admit`]) may go on.
    Proceed(u64),
}

/// What the client of a failed request is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// 503 with `Retry-After`: the owner cannot be reached. If the request has reached it, the session ends.
    Unavailable,
    /// 400: the session does not exist.
    Unknown,
    /// 400: the bus does not carry a head of this size.
    TooLarge,
    /// The session belongs to this process by now: the request is to be presented to it.
    Here,
    /// The session has moved before its owner had all that was sent, which is not kept here: the request is to be asked
    /// for once more.
    Again,
    /// The answer has begun: the connection is cut.
    Cut,
}

/// Whether a request that came in at this process may be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It may.
    Now,
    /// After [`Action::Proceed`].
    Later,
    /// Too many wait: 503.
    Never,
}
