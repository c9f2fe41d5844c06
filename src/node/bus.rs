//! A node of a bus. JavaScript has the bus, and gives and takes its messages.

use std::time::Instant;

use napi::{Env, Error, Result, Status};
use napi_derive::napi;

use super::convert::{Raw, buffer_value};
use super::peers::{address_of, key_of, member_of, run_of};
use crate::cluster::bus::action::{Action, Admission, Failure, Stream};
use crate::cluster::bus::claim::{HoldBack, Ownership};
use crate::cluster::bus::message::{MAX_PIECE, Millis, Purpose, Run, Why};
use crate::cluster::bus::node::{Config, MAX_PEERS, Node};
use crate::cluster::id::{Key, Member};

/// What the clock of a node shows at its start, as 0 stands for no time.
const START: Millis = 1_000;

/// The longest time for which an owner may keep a poll.
const MAX_POLL: f64 = 7.0 * 24.0 * 3_600_000.0;

/// What JavaScript has to do for a node, see `Action`. Streams are named by texts.
#[napi(object, object_from_js = false)]
pub struct BusAction {
    /// `publish`, `serve`, `answer`, `data`, `writable`, `failed`, `gone`, `done`, `moved`, `lost`, `claimed`,
    /// `proceed`, `numberTaken`.
    pub kind: &'static str,
    /// The stream; of `publish` the address of the receiver, or nothing for all nodes.
    pub stream: Option<String>,
    /// Of `serve` what the request wants; of `failed` what the client is told.
    pub what: Option<&'static str>,
    /// Of `answer` the status, of `proceed` the token, of `numberTaken` the number.
    pub number: u32,
    /// The id of the session.
    pub id: Option<String>,
    pub head: Option<Raw>,
    pub body: Option<Raw>,
    pub last: bool,
    /// Of `serve`: the session may be given away, as far as the node knows.
    pub claimable: bool,
}

/// Numbers of a node, see `Dropped` and `Held`.
#[napi(object, object_from_js = false)]
pub struct BusNumbers {
    /// Nodes with which there is an association.
    pub nodes: u32,
    pub served: u32,
    pub waiting: u32,
    pub refused: f64,
    pub misdirected: f64,
    pub stale: f64,
    pub violations: f64,
}

/// A node of a bus. See `src/cluster/bus/` for its methods.
#[napi]
pub struct BusNode {
    node: Node,
    run: Run,
    hold: HoldBack,
    began: Instant,
}

#[napi]
impl BusNode {
    /// A node that gives out ids of a member, which is named as in `memberOf`.
    #[napi(constructor)]
    pub fn new(key: &[u8], shows_owner: bool, member: u32, longest_poll: f64) -> Result<Self> {
        let key = Key::new(key_of(key)?).showing_owner(shows_owner);
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Error::new(Status::GenericFailure, format!("the system gave no random bytes: {error}")))?;
        let run = u64::from_ne_bytes(random).max(1);
        let Member { number, boot } = member_of(member);
        let longest_poll = if longest_poll > 0.0 { longest_poll.min(MAX_POLL) as Millis } else { 0 };
        let node = Node::new(START, Config { key, run, number: Some(number), boot, longest_poll });
        Ok(Self { node, run, hold: HoldBack::default(), began: Instant::now() })
    }

    /// Its address on the bus.
    #[napi]
    pub fn address(&self) -> String {
        address_of(self.run)
    }

    /// It gives out ids of another member from now on, which is named as in `memberOf`. If it has given out ids of the
    /// former one, it goes on answering for them.
    #[napi]
    pub fn renumber(&mut self, member: u32, has_issued: bool) {
        self.node.renumber(self.now(), member_of(member), has_issued);
    }

    /// It stands for these members, too, which are named as in `memberOf`. Returns how many of them it leaves out.
    #[napi]
    pub fn stand_for(&mut self, members: Vec<u32>) -> u32 {
        let members: Vec<_> = members.into_iter().map(member_of).collect();
        self.node.stand_for(self.now(), &members) as u32
    }

    /// Whether the node with this address, and no other one, stands for the member that an id names.
    #[napi]
    pub fn is_of(&self, id: String, address: String) -> bool {
        run_of(&address).is_some_and(|run| self.node.is_of(id.as_bytes(), run))
    }

    /// A message has come.
    #[napi]
    pub fn receive(&mut self, message: &[u8]) {
        self.node.receive(self.now(), message);
    }

    /// Does what is due.
    #[napi]
    pub fn tick(&mut self) {
        self.node.tick(self.now());
    }

    /// Milliseconds until `tick` has to be called.
    #[napi]
    pub fn due(&self) -> f64 {
        self.node.due().saturating_sub(self.now()) as f64
    }

    /// Tells the other nodes that this one ends.
    #[napi]
    pub fn leave(&mut self) {
        self.node.leave(self.now());
    }

    /// Whether another node may have the session.
    #[napi]
    pub fn knows(&self, id: String) -> bool {
        self.node.knows(self.now(), id.as_bytes())
    }

    /// Whether a request that came in here may be looked at: true, false if it waits for `proceed`, or nothing if too
    /// many wait.
    #[napi]
    pub fn admit(&mut self, what: String, id: String, token: u32) -> Result<Option<bool>> {
        Ok(match self.node.admit(purpose_of(&what)?, id.as_bytes(), token.into()) {
            Admission::Now => Some(true),
            Admission::Later => Some(false),
            Admission::Never => None,
        })
    }

    /// Hands a request to the owner of its session. Returns the stream.
    #[napi]
    pub fn ask(&mut self, what: String, id: String, head: &[u8], body: &[u8], last: bool) -> Result<String> {
        let (now, purpose) = (self.now(), purpose_of(&what)?);
        self.hold.foreign_request(now);
        Ok(name_of(self.node.ask(now, purpose, id.as_bytes(), head, body, last)))
    }

    /// Answers a request. Returns false if head or body are too long.
    #[napi]
    pub fn answer(&mut self, stream: String, status: u16, head: &[u8], body: &[u8], last: bool) -> Result<bool> {
        let stream = stream_of(&stream)?;
        if head.len() > MAX_PIECE || body.len() > MAX_PIECE {
            return Ok(false);
        }
        self.node.answer(stream, status, head, body, last);
        Ok(true)
    }

    /// Says that the session of a request is not here.
    #[napi]
    pub fn refuse(&mut self, stream: String) -> Result<()> {
        self.node.refuse(stream_of(&stream)?, Why::Unknown);
        Ok(())
    }

    /// Milliseconds for which the application need not hear of a session that opens now; 0 if it hears at once.
    #[napi]
    pub fn holds(&self) -> u32 {
        let now = self.now();
        match self.hold.open(now) {
            Ownership::Unheard { until } => (until - now) as u32,
            Ownership::Heard | Ownership::Moved => 0,
        }
    }

    /// Gives a session to the node where its upgrade came in. Returns false, and does nothing, if that has gone.
    #[napi]
    pub fn give(&mut self, stream: String, state: &[u8]) -> Result<bool> {
        Ok(self.node.give(stream_of(&stream)?, state))
    }

    /// A session of this process has ended that was another node's before.
    #[napi]
    pub fn released(&mut self, id: String) {
        self.node.released(id.as_bytes());
    }

    /// A session of this process has ended. Returns whether requests for it have waited.
    #[napi]
    pub fn over(&mut self, id: String) -> bool {
        self.node.over(id.as_bytes())
    }

    /// The bytes that `send` takes now. After less than a piece, `writable` follows.
    #[napi]
    pub fn room(&mut self, stream: String) -> Result<u32> {
        Ok(self.node.room(stream_of(&stream)?) as u32)
    }

    /// Sends bytes of a stream. Returns whether it takes them.
    #[napi]
    pub fn send(&mut self, stream: String, bytes: &[u8], last: bool) -> Result<bool> {
        Ok(self.node.send(stream_of(&stream)?, bytes, last))
    }

    /// Bytes of a stream are used.
    #[napi]
    pub fn consumed(&mut self, stream: String, bytes: u32) -> Result<()> {
        self.node.consumed(stream_of(&stream)?, bytes as usize);
        Ok(())
    }

    /// The client has the whole answer.
    #[napi]
    pub fn done(&mut self, stream: String) -> Result<()> {
        self.node.done(stream_of(&stream)?);
        Ok(())
    }

    /// A stream ends before its end.
    #[napi]
    pub fn cut(&mut self, stream: String) -> Result<()> {
        self.node.cut(stream_of(&stream)?);
        Ok(())
    }

    /// Takes what has to be done. It may bring about more.
    #[napi]
    pub fn take(&mut self, env: Env) -> Result<Vec<BusAction>> {
        let now = self.now();
        self.node.flush(now);
        let mut taken = Vec::new();
        while let Some(action) = self.node.next_action() {
            if matches!(action, Action::Serve { .. }) {
                self.hold.foreign_request(now);
            }
            taken.extend(described(&env, action)?);
        }
        Ok(taken)
    }

    /// Whether this node knows as many others as it can: further ones are not heard.
    #[napi]
    pub fn is_full(&self) -> bool {
        self.node.held().peers >= MAX_PEERS
    }

    /// Numbers for `server.metrics()`.
    #[napi]
    pub fn numbers(&self) -> BusNumbers {
        let (held, dropped) = (self.node.held(), self.node.dropped());
        BusNumbers {
            nodes: self.node.associated().count() as u32,
            served: held.served as u32,
            waiting: held.waiting as u32,
            refused: dropped.refused as f64,
            misdirected: dropped.misdirected as f64,
            stale: dropped.stale as f64,
            violations: dropped.violations as f64,
        }
    }

    fn now(&self) -> Millis {
        START + Millis::try_from(self.began.elapsed().as_millis()).unwrap_or(Millis::MAX / 2)
    }
}

/// An action as JavaScript sees it; `None` if JavaScript has nothing to do.
fn described(env: &Env, action: Action) -> Result<Option<BusAction>> {
    let bytes = |bytes: &[u8]| buffer_value(env.raw(), bytes).map(Some);
    let nothing = |kind: &'static str| BusAction {
        kind,
        stream: None,
        what: None,
        number: 0,
        id: None,
        head: None,
        body: None,
        last: false,
        claimable: false,
    };
    let of = |kind, stream| BusAction { stream: Some(name_of(stream)), ..nothing(kind) };
    Ok(Some(match action {
        Action::Publish { to, message } => {
            BusAction { stream: to.map(address_of), body: bytes(&message)?, ..nothing("publish") }
        }
        Action::Serve { stream, purpose, id, claimable, head, body, last } => {
            let what = Some(match purpose {
                Purpose::Poll => POLL,
                Purpose::Post => POST,
                Purpose::Upgrade => UPGRADE,
            });
            let id = Some(String::from_utf8_lossy(&id).into_owned());
            BusAction { what, id, head: bytes(&head)?, body: bytes(&body)?, last, claimable, ..of("serve", stream) }
        }
        Action::Answer { stream, status, head, body, last } => {
            let number = status.into();
            BusAction { number, head: bytes(&head)?, body: bytes(&body)?, last, ..of("answer", stream) }
        }
        Action::Data { stream, body, last } => BusAction { body: bytes(&body)?, last, ..of("data", stream) },
        Action::Writable(stream) => of("writable", stream),
        Action::Failed { stream, failure } => {
            let what = Some(match failure {
                Failure::Unknown => "unknown",
                Failure::Cut => "cut",
                Failure::Here => "here",
                Failure::Again => "again",
                Failure::TooLarge => "tooLarge",
                Failure::Unavailable => "unavailable",
            });
            BusAction { what, ..of("failed", stream) }
        }
        Action::Gone(stream) => of("gone", stream),
        Action::Moved(stream) => of("moved", stream),
        Action::Done(stream) => of("done", stream),
        Action::Lost(stream, id) => {
            BusAction { id: Some(String::from_utf8_lossy(&id).into_owned()), ..of("lost", stream) }
        }
        Action::Proceed(token) => BusAction { number: token as u32, ..nothing("proceed") },
        Action::NumberTaken(number) => BusAction { number: number.into(), ..nothing("numberTaken") },
        Action::Claimed { stream, id, state } => BusAction {
            id: Some(String::from_utf8_lossy(&id).into_owned()),
            body: bytes(&state)?,
            ..of("claimed", stream)
        },
        // the number is given out before it is known whether another node has it
        Action::Joined(_) => return Ok(None),
    }))
}

const POLL: &str = "poll";
const POST: &str = "post";
const UPGRADE: &str = "upgrade";

fn purpose_of(what: &str) -> Result<Purpose> {
    match what {
        POLL => Ok(Purpose::Poll),
        POST => Ok(Purpose::Post),
        UPGRADE => Ok(Purpose::Upgrade),
        _ => Err(Error::new(Status::InvalidArg, format!("expected {POLL}, {POST} or {UPGRADE}, got {what}"))),
    }
}

fn name_of(stream: Stream) -> String {
    match stream {
        Stream::Asked(ticket) => ticket.to_string(),
        Stream::Served(run, ticket) => format!("{}/{ticket}", address_of(run)),
    }
}

fn stream_of(name: &str) -> Result<Stream> {
    let stream = match name.split_once('/') {
        None => name.parse().ok().map(Stream::Asked),
        Some((run, ticket)) => {
            let served = (run_of(run), ticket.parse());
            if let (Some(run), Ok(ticket)) = served { Some(Stream::Served(run, ticket)) } else { None }
        }
    };
    stream.ok_or_else(|| Error::new(Status::InvalidArg, format!("expected the name of a stream, got {name}")))
}
