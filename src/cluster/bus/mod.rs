//! Nodes on several machines that serve each other's sessions over a bus.
//!
//! A **node** is a process that is a member of the bus. A client's request may reach any node, and its session has one
//! **owner**. The node where a request comes in asks the owner, and hands the answer on. The bus is the user's Redis or
//! NATS: it takes a message for one node or for all, and may be slow or down, and may lose, repeat, delay and reorder
//! messages. Everything here is pure: bytes and times go in, [`action::Action`]s come out.
//!
//! # Who is there
//!
//! Each life of a node has a random **run** of 64 bits, which is its address on the bus. Every second it says *hello* to
//! all: its clock, and the members (number and boot, as ids name them) that it stands for: itself, and processes of its
//! machine that are not on the bus.
//!
//! A new node picks a **number** at random, or has one from its operator, says hello as *joining*, and listens for 1.5 s.
//! If another node has the number, or joins with it and has the larger run, it picks another one. A bus without memory
//! cannot exclude that two nodes which do not hear each other take the same number. When they meet, the one with the
//! smaller run picks a new number for new sessions and goes on answering for the old one. If its process has given it the
//! number, the process hears of that ([`action::Action::NumberTaken`]), and takes another one ([`node::Node::renumber`]) or
//! keeps it. Until then, and after it, requests are right: they go to a run, and if the first node does not know the
//! session, the other one is asked.
//!
//! # Which messages count
//!
//! A message ends with a tag over all its bytes, version, sender and receiver among them, made with the cluster's key. A
//! message that is too short, too long (64 KiB and the header), of another version or with a wrong tag is dropped and
//! counted. Nodes of different versions do not hear each other. Everything else that is sent to one node says what the
//! receiver's clock showed at least when it was sent, which the sender knows from the hellos ([`reckoning`]): so the
//! receiver drops what may be older than 10 s, without a common clock. A hello counts if it is newer than the newest
//! one. Within 10 s a repeated message is known by the numbers of associations and frames. This is the **replay
//! window**; it holds for what another process recorded, too, and after a restart the run is another one.
//!
//! The key is shared, so a holder of the key can pretend to be any node. Such a liar can break associations and end
//! sessions. It cannot cause a panic or exceed the bounds below; what does not follow the protocol resets the
//! association.
//!
//! # Associations
//!
//! Two nodes have one **association** ([`association`]), which the one with the smaller run opens (*open*, *opened*,
//! *reset*; each has a larger number than the one before). An association carries items in frames with numbers,
//! acknowledgements and repetition, each exactly once and in order, until it breaks: 4 s without an acknowledgement of a
//! frame, or without a message from the peer. With an association everything ends that it carried, and each end reports
//! that for itself. 32 frames may be on the way, and 4 MiB may wait. Then requests are refused, and
//! [`node::Node::room`] is 0.
//!
//! # Requests
//!
//! *Request* (poll, POST or upgrade; head, first bytes of the body, and a deadline on the owner's clock), *taken*, *answer*
//! or *cut*, *data* for longer bodies, and *done* when the answer was handed to the client's connection. A client that
//! goes is a *cut*. A request is taken within 5 s of being asked or never, as its deadline says. The asker waits that
//! long, and a clock's drift more, before it says that the request failed: so a POST that the client repeats then is not
//! delivered twice.
//! A node that has just started keeps a request of which it does not know where to ask, until it does, or is 5 s old.
//!
//! The client of a request that fails is answered
//!
//! * 503 with `Retry-After`, if the owner is not known yet, has no association, does not take the request in time, or
//!   was lost after it had;
//! * 400, if the id was made without the key, its owner says that it does not exist, its number belongs to another boot,
//!   or its owner was not heard of for 30 s while the bus works (the node hears its own hellos) and the node is not new;
//! * by the end of its connection, if the answer has begun.
//!
//! **What is lost is reported to both sides.** If the owner has not heard *done*, because the client or the association
//! has gone, the answer may not have arrived: the owner hears [`action::Action::Gone`] or [`action::Action::Lost`] and
//! ends the session as on a cut connection. The client has its 503, 400 or cut connection. After *done* the owner hears
//! [`action::Action::Done`].
//!
//! **Order.** Requests of one session come in at several nodes. While an answer is not settled by *done*, the next
//! request of its kind waits at the owner ([`node::Node::admit`] for those that came in there): if the answer was lost,
//! the session ends before it is served. The client has its answer already when it sends the next request, so this costs
//! it at most one passage of the bus. When the session ends, nothing waits any more ([`node::Node::over`]).
//!
//! # Relays
//!
//! An upgrade whose answer is 101 is relayed: both sides send *data* and the end of it. 64 KiB may be on the way in each
//! direction; *credit* allows more when the receiver has used some, so a slow client slows its session down. A relay that
//! is cut ends the session, as a cut WebSocket does.
//!
//! # Claims
//!
//! A session of which the application has not heard moves to the node where its upgrade comes in, and is not relayed. Its
//! opener decides by one compare-and-set ([`claim::Ownership::claim`]; in `lib/cluster/unheard.js` the session's record is
//! taken away or not) and says *claimed* ([`node::Node::give`]); from then on it sends requests for the session to the new
//! owner (a *cut* that names it), among them polls that wait, and POSTs that were not presented to the session (if a part
//! of the body was sent already, the process asks once more, [`action::Failure::Again`]). A claimant has the session when
//! it hears *claimed*, and gives up for good if it does not in time: at most one owner exists, and if the answer is lost
//! there is none, and the client, which alone has heard of it, gets 400. While a node claims, requests for the session
//! wait there. The new owner says *released* when the session ends; the opener remembers 65,536 moves.
//!
//! `connection` is held back ([`claim::HoldBack`]) only while foreign ids have been seen within 10 s, and at most until
//! the upgrade, the end of the session, or 300 ms. A short POST waits meanwhile: clients of Socket.IO send one at once.
//!
//! # Bounds
//!
//! 256 nodes (those without an association that are silent for 3 s make room for new ones); of each 8,192 requests served, 4 MiB queued, 32
//! frames early and 32 on the way; 65,536 requests asked; 1,024 requests that wait for an earlier one, of which 8 of one
//! session, and 1,024 of all sessions at the start; 64 KiB on the way per stream.

pub mod action;
pub mod association;
pub mod claim;
pub mod message;
pub mod node;
pub mod reckoning;
