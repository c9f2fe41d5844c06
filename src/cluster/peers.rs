//! A member and its links to its peers, on an I/O thread.
//!
//! A link ([`link`](super::link)) goes from the member that asks to the one that answers; two members that ask each other
//! have two. What comes waits in the inbox until the owner takes it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::bus::message::Run;
use super::bus::node::MAX_FORMER;
use super::directory::{Census, Choice, Directory, Seat};
use super::id::{Key, Member, RANDOM};
use super::link::{Incoming, Link, Reading, Writing, greet};
use super::os::{self, Bound, Descriptor, Listener, Stream};
use super::wire::Malformed;
use crate::runtime::contract::{PeerMessage, PeerSent};
use crate::runtime::{Batch, Command, Commands, EventQueue, Kind};
use crate::session::ID_LENGTH;

/// The kinds of messages of a member to itself.
const UP: u8 = PeerMessage::Up as u8;
const DOWN: u8 = PeerMessage::Down as u8;

/// Bytes of messages that the owner may have still to take. Above that no link is read.
const MAX_UNTAKEN: usize = 16 << 20;

/// Time for a peer to accept a link and to say hello.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that have not said hello, at most. Further ones wait.
const MAX_STRANGERS: usize = 128;

/// Time for the last messages of a member that leaves.
const FAREWELL: Duration = Duration::from_secs(1);

/// What an id says of its session's owner, as this member knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It was not made with the key.
    Unknown,
    /// This member.
    Mine,
    /// A member that has gone.
    Gone,
    /// Another member.
    Peer(Member),
}

/// A member of those on this machine.
#[derive(Debug)]
pub struct Peers {
    handle: u32,
    key: Key,
    seats: Mutex<Seats>,
    /// Whether ids were made with the number that this member has now.
    has_issued: AtomicBool,
    directory: Directory,
    commands: Commands,
    queue: EventQueue,
    links: Mutex<Links>,
    inbox: Mutex<Inbox>,
    /// Links with messages that wait for [`Peers::flush`].
    unflushed: Mutex<Vec<Arc<Link>>>,
    /// Links that the owner has not been asked to read yet, with their streams.
    left: Mutex<Vec<(Arc<Link>, Arc<Stream>)>>,
    /// Notified when the owner has taken messages.
    room: Notify,
    /// For connections that have not said hello.
    strangers: Arc<Semaphore>,
    leaves: watch::Sender<bool>,
}

/// The numbers of a member: that of new sessions, and those before, for which it still answers.
#[derive(Debug)]
struct Seats {
    now: Seat,
    former: Vec<Seat>,
}

#[derive(Debug, Default)]
struct Links {
    all: HashMap<u32, Arc<Link>>,
    /// Those that this member has made, by their peers.
    made: HashMap<Member, u32>,
    /// The members that have gone, by their numbers.
    gone: HashMap<u16, u8>,
}

/// The last number of a link, of all members that this process is or was: what was meant for a link of a member that
/// has left does not reach one of its successor.
static LAST_LINK: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Default)]
struct Inbox {
    messages: VecDeque<Incoming>,
    bytes: usize,
}

impl Peers {
    /// Joins the members of a directory, as the owner's `handle`, and as a node of a bus if `is_node`. Messages of peers
    /// are announced in `queue` by [`Kind::Peers`].
    ///
    /// # Errors
    /// See [`Directory::open`], [`Directory::key`] and [`Directory::take_seat`].
    pub fn join(
        path: &std::path::Path,
        key: Option<&[u8; Key::LENGTH]>,
        (shows_owner, choice, is_node): (bool, Choice, bool),
        (handle, queue, commands): (u32, EventQueue, Commands),
    ) -> io::Result<Arc<Self>> {
        let directory = Directory::open(path)?.for_nodes(is_node);
        let key = match key {
            Some(key) => Key::new(key),
            None => Key::new(&directory.key()?),
        };
        let directory = directory.for_key(&key);
        let (seat, bound) = directory.take_seat(choice)?;
        let peers = Arc::new(Self {
            handle,
            key: key.showing_owner(shows_owner),
            seats: Mutex::new(Seats { now: seat, former: Vec::new() }),
            has_issued: AtomicBool::new(false),
            directory,
            commands,
            queue,
            links: Mutex::default(),
            inbox: Mutex::default(),
            unflushed: Mutex::default(),
            left: Mutex::default(),
            room: Notify::new(),
            strangers: Arc::new(Semaphore::new(MAX_STRANGERS)),
            leaves: watch::Sender::new(false),
        });
        peers.listen(bound)?;
        Ok(peers)
    }

    fn listen(self: &Arc<Self>, bound: Bound) -> io::Result<()> {
        let accepting = self.clone();
        let run = |call| self.commands.send(Command::Run(call));
        os::listen(bound, run, |listener| {
            tokio::spawn(accepting.accept(listener));
        })
    }

    /// Takes another number for new sessions, because a member of another machine has this one. Sessions with the former
    /// number stay. Returns whether there may be some.
    ///
    /// # Errors
    /// See [`Directory::take_seat`]; and when this was done too often.
    pub fn change_number(self: &Arc<Self>) -> io::Result<bool> {
        if self.seats().former.len() >= MAX_FORMER {
            return Err(io::Error::other(format!("expected at most {MAX_FORMER} changes of the number")));
        }
        let (seat, bound) = self.directory.take_seat(Choice::Spread)?;
        let mut seats = self.seats();
        let former = std::mem::replace(&mut seats.now, seat);
        seats.former.push(former);
        drop(seats);
        if let Err(error) = self.listen(bound) {
            let mut seats = self.seats();
            if let Some(former) = seats.former.pop() {
                seats.now = former;
            }
            return Err(error);
        }
        Ok(self.has_issued.swap(false, Ordering::Relaxed))
    }

    /// Notes which node of a bus this member is.
    ///
    /// # Errors
    /// See [`Seat::note_run`].
    pub fn note_run(&self, run: Run) -> io::Result<()> {
        self.seats().now.note_run(run)
    }

    /// The node that the owner of a session was, if it was a member here and has gone: see [`Directory::former_run`].
    pub fn former_run(&self, id: &[u8]) -> Option<Run> {
        self.directory.former_run(self.key.owner_of(id)?)
    }

    /// This member.
    pub fn member(&self) -> Member {
        self.seats().now.member
    }

    /// The id of a session of this member.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn issue(&self) -> Result<[u8; ID_LENGTH], getrandom::Error> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random)?;
        self.has_issued.store(true, Ordering::Relaxed);
        Ok(self.key.issue(random, self.member()))
    }

    /// The owner of a session with this id.
    pub fn owner_of(&self, id: &[u8]) -> Owner {
        let Some(member) = self.key.owner_of(id) else { return Owner::Unknown };
        let seats = self.seats();
        if seats.have(member) {
            return Owner::Mine;
        }
        let has_number = seats.all().any(|seat| seat.member.number == member.number);
        drop(seats);
        if has_number || self.links().gone.get(&member.number) == Some(&member.boot) {
            return Owner::Gone;
        }
        Owner::Peer(member)
    }

    /// The members that seem to be there, besides this one.
    pub fn others(&self) -> Vec<Member> {
        let mut members = self.directory.members();
        let seats = self.seats();
        members.retain(|&member| !seats.have(member));
        members
    }

    /// The other members, and which of them are nodes of a bus.
    pub fn count(&self) -> Census {
        let mut census = self.directory.count();
        let seats = self.seats();
        for members in [&mut census.nodes, &mut census.others] {
            members.retain(|&member| !seats.have(member));
        }
        census
    }

    /// The link to a peer. It is made unless there is one; [`PeerMessage::Up`] or
    /// [`PeerMessage::Down`] follows then.
    pub fn link(self: &Arc<Self>, peer: Member) -> u32 {
        let mut links = self.links();
        if let Some(&number) = links.made.get(&peer) {
            return number;
        }
        let link = links.add();
        let number = link.number;
        links.made.insert(peer, number);
        drop(links);
        let peers = self.clone();
        self.commands.send(Command::Run(Box::new(move || {
            tokio::spawn(peers.connect(link, peer));
        })));
        number
    }

    /// Sends a message on a link that is up, with the next [`Peers::flush`]. Sends nothing if the link has ended, if the
    /// message is too large, or, for now, if it begins something and too many bytes or descriptors wait because the peer
    /// does not read as fast.
    pub fn send(
        &self,
        link: u32,
        kind: u8,
        number: u32,
        (head, body): (&[u8], &[u8]),
        descriptor: Option<Descriptor>,
    ) -> PeerSent {
        let Some(link) = self.links().all.get(&link).cloned() else { return PeerSent::No };
        let (sent, is_first) = link.add(kind, number, (head, body), descriptor);
        // what waited before has been flushed or will be
        if is_first {
            self.unflushed().push(link);
        }
        sent
    }

    /// Has everything written that was sent before: here, as far as the kernel takes it at once, and the rest by the
    /// tasks of the links.
    pub fn flush(&self) {
        let links = std::mem::take(&mut *self.unflushed());
        for link in links {
            link.flush();
        }
    }

    /// Takes up to `most` messages.
    pub fn take(&self, most: usize) -> Vec<Incoming> {
        let mut inbox = self.inbox();
        let count = most.min(inbox.messages.len());
        let taken: Vec<_> = inbox.messages.drain(..count).collect();
        let before = inbox.bytes;
        inbox.bytes -= taken.iter().map(Incoming::cost).sum::<usize>();
        let has_room = before > MAX_UNTAKEN && inbox.bytes <= MAX_UNTAKEN;
        drop(inbox);
        if has_room {
            self.room.notify_waiters();
        }
        taken
    }

    /// Leaves: the numbers are free when this returns, so that this process can join again by the same one. What waits is
    /// still sent, and then the links end.
    pub fn leave(&self) {
        self.flush();
        self.leaves.send_replace(true);
        self.seats().free();
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unflushed(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.unflushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, message: Incoming) {
        if self.add(message) {
            self.queue.push(Kind::Peers, self.handle, 0);
        }
    }

    /// Puts a message into the inbox on the owner's thread, which drains next.
    pub(super) fn put_silently(&self, message: Incoming, batch: &mut Batch) {
        if self.add(message) {
            batch.push(Kind::Peers, self.handle, 0);
        }
    }

    /// Returns whether the owner has to hear of the message, because it is the first one.
    fn add(&self, message: Incoming) -> bool {
        let mut inbox = self.inbox();
        inbox.bytes += message.cost();
        inbox.messages.push_back(message);
        inbox.messages.len() == 1
    }

    /// See [`EventQueue::append_silently`].
    pub(super) fn append_silently(&self, batch: &mut Batch) {
        self.queue.append_silently(batch);
    }

    /// Whether the owner has too much to take.
    pub(super) fn is_full(&self) -> bool {
        self.inbox().bytes > MAX_UNTAKEN
    }

    /// Waits until this member leaves.
    async fn left(&self) {
        let _ = self.leaves.subscribe().wait_for(|leaves| *leaves).await;
    }

    /// Waits for a peer; `None` if that takes too long, or if this member leaves.
    async fn patiently<T>(&self, peer: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            result = timeout(PATIENCE, peer) => result.ok(),
            () = self.left() => None,
        }
    }

    /// Waits until the owner has taken messages, if there are too many.
    async fn has_room(&self) {
        loop {
            let room = self.room.notified();
            if !self.is_full() {
                return;
            }
            room.await;
        }
    }

    /// Accepts links of peers until this member leaves.
    async fn accept(self: Arc<Self>, mut listener: Listener) {
        loop {
            let next = async {
                let permit = self.strangers.clone().acquire_owned().await;
                (os::accept(&mut listener).await, permit)
            };
            let accepted = tokio::select! {
                accepted = next => accepted,
                () = self.left() => return,
            };
            match accepted {
                (Ok(stream), Ok(permit)) => {
                    let peers = self.clone();
                    tokio::spawn(async move { peers.welcome(stream, permit).await });
                }
                // the process has no descriptor left, or a pipe could not be made
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Serves a link that a peer has made.
    async fn welcome(self: Arc<Self>, stream: Stream, permit: OwnedSemaphorePermit) {
        if !stream.is_same_user() {
            return;
        }
        let mut reading = Reading::default();
        let Some(Some(hello)) = self.patiently(reading.hello(&stream, &self.key)).await else { return };
        drop(permit);
        if !self.seats().have(hello.to) {
            // it looks for a member that had this number before, and learns who has it now
            let _ = self.patiently(greet(&stream, &self.key, self.member(), hello.from)).await;
            return;
        }
        let link = self.links().add();
        if let Some(Ok(())) = self.patiently(greet(&stream, &self.key, hello.to, hello.from)).await {
            self.serve(&link, stream, reading).await;
            self.put(Incoming::note(&link, DOWN));
        }
        self.end(&link, None);
    }

    /// Makes a link to a peer and serves it.
    async fn connect(self: Arc<Self>, link: Arc<Link>, peer: Member) {
        let mut has_gone = None;
        match self.patiently(self.call(peer)).await {
            Some(Ok((stream, reading))) => {
                self.links().gone.remove(&peer.number);
                self.put(Incoming::note(&link, UP));
                self.serve(&link, stream, reading).await;
            }
            Some(Err(Absent::Gone)) => has_gone = Some(peer),
            _ => {}
        }
        self.end(&link, has_gone);
        self.put(Incoming::note(&link, DOWN));
    }

    async fn call(&self, peer: Member) -> Result<(Stream, Reading), Absent> {
        let path = self.directory.socket(peer.number);
        let stream = loop {
            match Stream::connect(&path).await {
                Ok(stream) => break stream,
                // its queue of connections is full
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(Duration::from_millis(5)).await,
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
                    // its lock is there before its listener
                    return Err(if self.directory.has(peer) { Absent::Unknown } else { Absent::Gone });
                }
                Err(_) => return Err(Absent::Unknown),
            }
        };
        if !stream.is_same_user() {
            return Err(Absent::Unknown);
        }
        let own = self.member();
        greet(&stream, &self.key, own, peer).await.map_err(|_| Absent::Unknown)?;
        let mut reading = Reading::default();
        // one that was said to another member may be repeated by a stranger
        let hello = reading.hello(&stream, &self.key).await.filter(|hello| hello.to == own).ok_or(Absent::Unknown)?;
        if hello.from == peer { Ok((stream, reading)) } else { Err(Absent::Gone) }
    }

    /// Reads and writes a link until it ends or this member leaves.
    async fn serve(&self, link: &Arc<Link>, stream: Stream, reading: Reading) {
        let owner_reads = self.queue.owner_reads();
        let stream = &Arc::new(if owner_reads { stream.unwatched() } else { stream });
        let mut writing = Writing::default();
        let mut reads = pin!(self.read(link, stream, reading, owner_reads));
        let leaves = tokio::select! {
            () = &mut reads => false,
            _ = writing.write_all(link, stream, true) => {
                // what has come before is still read
                stream.end();
                tokio::select! {
                    () = reads => {}
                    () = self.left() => {}
                }
                false
            }
            () = self.left() => true,
        };
        drop(link.left().take());
        if leaves {
            let _ = timeout(FAREWELL, writing.write_all(link, stream, false)).await;
        }
        // the owner may still watch it
        stream.end();
    }

    /// Has a link read until it ends: by the owner, unless that declines.
    async fn read(&self, link: &Arc<Link>, stream: &Arc<Stream>, mut reading: Reading, owner_reads: bool) {
        if owner_reads {
            *link.left() = Some(reading);
            self.all_left().push((link.clone(), stream.clone()));
            self.queue.push(Kind::Peers, self.handle, 0);
            link.returned.notified().await;
            let Some(declined) = link.left().take() else { return };
            reading = declined;
        }
        loop {
            while let Some(message) = match reading.next(link) {
                Ok(message) => message,
                Err(Malformed) => return,
            } {
                self.put(message);
                self.has_room().await;
            }
            if !reading.more(stream).await {
                return;
            }
        }
    }

    /// The links that the owner has not been asked to read yet, with their streams.
    pub(super) fn take_left(&self) -> Vec<(Arc<Link>, Arc<Stream>)> {
        std::mem::take(&mut *self.all_left())
    }

    fn all_left(&self) -> MutexGuard<'_, Vec<(Arc<Link>, Arc<Stream>)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, link: &Link, gone: Option<Member>) {
        let mut links = self.links();
        links.all.remove(&link.number);
        links.made.retain(|_, number| *number != link.number);
        if let Some(gone) = gone {
            links.gone.insert(gone.number, gone.boot);
        }
        drop(links);
        link.clear();
    }
}

/// Why a peer does not answer.
enum Absent {
    Gone,
    Unknown,
}

impl Seats {
    fn all(&self) -> impl Iterator<Item = &Seat> {
        [&self.now].into_iter().chain(&self.former)
    }

    fn have(&self, member: Member) -> bool {
        self.all().any(|seat| seat.member == member)
    }

    fn free(&mut self) {
        for seat in [&mut self.now].into_iter().chain(&mut self.former) {
            seat.free();
        }
    }
}

impl Links {
    fn add(&mut self) -> Arc<Link> {
        // four thousand million links are not made
        let number = LAST_LINK.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let link = Arc::new(Link::new(number));
        self.all.insert(number, link.clone());
        link
    }
}
