//! Members of a cluster on one machine.

use std::path::Path;
use std::sync::Arc;

use napi::bindgen_prelude::{Either, Unknown};
use napi::{Env, Error, Result, Status};
use napi_derive::napi;

use super::convert::{Raw, ascii_or_bytes, raw_value, text_value, uint32s, undefined};
use super::engine::Engine;
use super::tables::exhausted;
#[cfg(all(unix, feature = "owner-reads"))]
use super::uv_poll::Source;
use crate::cluster::bus::message::Run;
#[cfg(unix)]
use crate::cluster::descriptors::duplicate;
use crate::cluster::directory::{Census, Choice};
use crate::cluster::id::{Key, Member};
#[cfg(all(unix, feature = "owner-reads"))]
use crate::cluster::owner_links::OwnerLink;
use crate::cluster::peers::{Owner, Peers};
use crate::runtime::contract::{IdOwner, MEMBER_SHIFT, PeerSent};

/// See [`Census`]. Members are named as in `memberOf`.
#[napi(object, object_from_js = false)]
pub struct PeerCensus {
    pub nodes: Vec<u32>,
    pub others: Vec<u32>,
    pub has_lost_nodes: bool,
    pub strangers: u32,
}

#[napi]
impl Engine {
    /// Joins the members of a directory, by the number that is given. Otherwise the numbers are spread if there may be
    /// members on other machines. `is_node` says whether the member is a node of a bus. Returns its handle.
    #[napi]
    pub fn join_cluster(
        &self,
        directory: String,
        key: Option<&[u8]>,
        shows_owner: bool,
        is_spread: bool,
        is_node: bool,
        number: Option<u16>,
    ) -> Result<u32> {
        let key = key.map(key_of).transpose()?;
        let choice = match number {
            Some(number) => Choice::Given(number),
            None if is_spread => Choice::Spread,
            None => Choice::Lowest,
        };
        let commands = self.io.next_commands()?;
        let mut members = self.tables.members.borrow_mut();
        let handle = members.handles().take().ok_or_else(|| exhausted("members"))?;
        let terms = (shows_owner, choice, is_node);
        match Peers::join(Path::new(&directory), key, terms, (handle, self.queue.clone(), commands)) {
            Ok(peers) => {
                members.put(handle, peers);
                Ok(handle)
            }
            Err(error) => {
                members.handles().give_back(handle);
                Err(Error::new(Status::GenericFailure, error.to_string()))
            }
        }
    }

    /// Leaves the cluster. What was sent before still goes out. JavaScript forgets the handle.
    #[napi]
    pub fn leave_cluster(&self, member: u32) {
        if let Some(peers) = self.tables.members.borrow_mut().release(member) {
            peers.leave();
        }
    }

    /// Makes the id of a session of this member.
    #[napi]
    pub fn issue_id(&self, member: u32) -> Result<String> {
        let id = self
            .peers(member)?
            .issue()
            .map_err(|error| Error::new(Status::GenericFailure, format!("the system gave no random bytes: {error}")))?;
        Ok(String::from_utf8_lossy(&id).into_owned())
    }

    /// The number of this member, shifted by `MEMBER_SHIFT`, and its boot.
    #[napi]
    pub fn member_of(&self, member: u32) -> Result<u32> {
        Ok(number_of(self.peers(member)?.member()))
    }

    /// Takes another number for new sessions. Returns whether there may be some with the former number.
    #[napi]
    pub fn change_number(&self, member: u32) -> Result<bool> {
        self.peers(member)?.change_number().map_err(|error| Error::new(Status::GenericFailure, error.to_string()))
    }

    /// Notes in the directory which node of a bus this member is.
    #[napi]
    pub fn note_node(&self, member: u32, address: String) -> Result<()> {
        let run = run_of(&address)
            .ok_or_else(|| Error::new(Status::InvalidArg, format!("expected the address of a node, got {address}")))?;
        self.peers(member)?.note_run(run).map_err(|error| Error::new(Status::GenericFailure, error.to_string()))
    }

    /// The address of the node that the owner of a session was, if it was a member here and has gone, and if it was a
    /// node.
    #[napi]
    pub fn former_node(&self, member: u32, id: String) -> Result<Option<String>> {
        Ok(self.peers(member)?.former_run(id.as_bytes()).map(address_of))
    }

    /// The member that has made an id, as in `memberOf`, or an `IdOwner`.
    #[napi]
    pub fn owner_of(&self, member: u32, id: String) -> Result<u32> {
        Ok(match self.peers(member)?.owner_of(id.as_bytes()) {
            Owner::Unknown => IdOwner::Unknown as u32,
            Owner::Mine => IdOwner::Mine as u32,
            Owner::Gone => IdOwner::Gone as u32,
            Owner::Peer(peer) => number_of(peer),
        })
    }

    /// The peers that seem to be there, each as in `memberOf`.
    #[napi]
    pub fn peers_of(&self, member: u32) -> Result<Vec<u32>> {
        Ok(self.peers(member)?.others().into_iter().map(number_of).collect())
    }

    /// The other members, and which of them are nodes of a bus.
    #[napi]
    pub fn count_peers(&self, member: u32) -> Result<PeerCensus> {
        let Census { nodes, others, has_lost_nodes, strangers } = self.peers(member)?.count();
        let numbers = |members: Vec<Member>| members.into_iter().map(number_of).collect();
        Ok(PeerCensus { nodes: numbers(nodes), others: numbers(others), has_lost_nodes, strangers })
    }

    /// The link to a peer, which is made if there is none. A message `Up` or `Down` follows then.
    #[napi]
    pub fn link_to(&self, member: u32, peer: u32) -> Result<u32> {
        Ok(self.peers(member)?.link(member_of(peer)))
    }

    /// Sends a message on a link that is up, with the next `flushPeers`. A copy of the descriptor goes with it, unless it
    /// is -1, as it always is on Windows. Returns a `PeerSent`: nothing is sent if the process has no descriptor left, or
    /// see [`Peers::send`].
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn send_to_peer(
        &self,
        member: u32,
        link: u32,
        kind: u32,
        number: u32,
        head: String,
        body: Option<Either<String, &[u8]>>,
        descriptor: i32,
    ) -> Result<u32> {
        let peers = self.peers(member)?;
        let body = match &body {
            None => &[],
            Some(Either::A(text)) => text.as_bytes(),
            Some(Either::B(bytes)) => *bytes,
        };
        let descriptor = match descriptor {
            #[cfg(unix)]
            0.. => match duplicate(descriptor) {
                Ok(descriptor) => Some(descriptor),
                Err(_) => return Ok(PeerSent::No as u32),
            },
            #[cfg(not(unix))]
            0.. => return Ok(PeerSent::No as u32),
            _ => None,
        };
        Ok(peers.send(link, kind as u8, number, (head.as_bytes(), body), descriptor) as u32)
    }

    /// Has everything written that was sent before.
    #[napi]
    pub fn flush_peers(&self, member: u32) -> Result<()> {
        self.peers(member)?.flush();
        Ok(())
    }

    /// Takes messages of peers, as many as `meta` has room for. Returns head and body of each: the body is a string if it
    /// is ASCII, otherwise a Buffer, and undefined if it is empty. `meta` gets the link on which each came, kind, number,
    /// and one more than a descriptor that JavaScript owns from now on, or 0.
    #[napi(ts_args_type = "member: number, meta: Uint32Array")]
    pub fn take_from_peers(&self, env: Env, member: u32, meta: Unknown<'_>) -> Result<Vec<Raw>> {
        let env = env.raw();
        let (meta, length) = uint32s(env, raw_value(&meta))?;
        let peers = self.peers(member)?;
        #[cfg(all(unix, feature = "owner-reads"))]
        for link in OwnerLink::all_new(&peers) {
            self.watching.watch(env, Source::Link(Arc::new(link)));
        }
        let taken = peers.take(length / 4);
        let mut contents = Vec::with_capacity(2 * taken.len());
        for (index, message) in taken.into_iter().enumerate() {
            contents.push(text_value(env, &message.head)?);
            contents.push(if message.body.is_empty() {
                Raw(undefined(env)?)
            } else {
                ascii_or_bytes(env, &message.body)?
            });
            #[cfg(unix)]
            let descriptor = message.descriptor.map_or(-1, std::os::fd::IntoRawFd::into_raw_fd);
            #[cfg(not(unix))]
            let descriptor = -1_i32;
            let fields = [message.link, message.kind.into(), message.number, (descriptor + 1) as u32];
            // SAFETY: the array has room for `length` numbers, of which these are four below the last one, and it is
            // JavaScript's, which does not run meanwhile.
            unsafe { meta.add(4 * index).cast::<[u32; 4]>().write_unaligned(fields) };
        }
        Ok(contents)
    }

    fn peers(&self, member: u32) -> Result<Arc<Peers>> {
        let peers = self.tables.members.borrow().get(member).cloned();
        peers.ok_or_else(|| Error::new(Status::InvalidArg, "expected the handle of a member, got a stale one"))
    }
}

#[cfg(unix)]
#[napi]
impl Engine {
    /// A pair of connected UNIX sockets, which JavaScript owns.
    #[napi]
    pub fn socket_pair(&self) -> Result<Vec<i32>> {
        use std::os::fd::IntoRawFd;
        let (one, other) = std::os::unix::net::UnixStream::pair()
            .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
        Ok(vec![one.into_raw_fd(), other.into_raw_fd()])
    }

    /// Closes a descriptor that came from here and of which JavaScript has made no stream. In a worker thread, Node's
    /// `fs` would warn of one that it has not opened.
    #[napi]
    pub fn close_descriptor(&self, descriptor: i32) {
        // SAFETY: it touches no memory. The descriptor is JavaScript's, which forgets it.
        let result = unsafe { libc::close(descriptor) };
        debug_assert_eq!(result, 0, "a descriptor is closed once");
    }
}

fn number_of(member: Member) -> u32 {
    u32::from(member.number) << MEMBER_SHIFT | u32::from(member.boot)
}

/// The member that `number_of` names.
pub(super) fn member_of(number: u32) -> Member {
    let boot = number & ((1 << MEMBER_SHIFT) - 1);
    Member { number: (number >> MEMBER_SHIFT) as u16, boot: boot as u8 }
}

/// The address of a node on the bus.
pub(super) fn address_of(run: Run) -> String {
    format!("{run:016x}")
}

/// The node that `address_of` names.
pub(super) fn run_of(address: &str) -> Option<Run> {
    Run::from_str_radix(address, 16).ok()
}

/// The key that JavaScript gives.
pub(super) fn key_of(key: &[u8]) -> Result<&[u8; Key::LENGTH]> {
    key.try_into().map_err(|_| {
        let expected = Key::LENGTH;
        Error::new(Status::InvalidArg, format!("expected a key of {expected} bytes, got {}", key.len()))
    })
}
