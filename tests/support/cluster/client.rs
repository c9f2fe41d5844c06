//! A client of engine.io behind a load balancer without stickiness.

use super::ledger::Id;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It opens a session when its time comes.
    New,
    Opening,
    Open,
    /// Its transport has failed, or it has left: the application on its side knows.
    Closed,
}

#[derive(Debug)]
pub struct Client {
    pub state: State,
    pub id: Id,
    /// It sends a request again that was answered by 503; others close.
    pub retries: bool,
    pub wants_upgrade: bool,
    pub poll: Option<u64>,
    /// A poll has failed and is to be sent again.
    pub polls_again: bool,
    pub post: Option<u64>,
    /// Messages of the POST that is on the way, or is to be sent again.
    pub posting: u32,
    pub socket: Option<u64>,
    /// The server has agreed to the WebSocket.
    pub socket_open: bool,
    pub upgraded: bool,
    /// Messages that the server has confirmed, or that went over the WebSocket.
    pub sent: u32,
}

impl Client {
    pub fn new(retries: bool, wants_upgrade: bool) -> Self {
        Self {
            state: State::New,
            id: Id::new(),
            retries,
            wants_upgrade,
            poll: None,
            polls_again: false,
            post: None,
            posting: 0,
            socket: None,
            socket_open: false,
            upgraded: false,
            sent: 0,
        }
    }

    /// Whether it has nothing to do but to leave polling.
    pub fn may_upgrade(&self) -> bool {
        let busy = self.poll.is_some() || self.polls_again || self.post.is_some() || self.posting > 0;
        self.state == State::Open && self.socket_open && !self.upgraded && !busy
    }
}
