//! Processes of one machine that serve each other's sessions.
//!
//! An id names the member that has opened its session ([`id`]), so that any member knows where a request belongs. Members
//! meet in a directory ([`directory`]): each has a number there, by a lock, and a UNIX socket, or a named pipe on Windows
//! ([`os`]). A link between two of them is one stream of framed messages ([`wire`]), read by the owner's thread
//! ([`owner_links`]) or an I/O thread, and written by either ([`link`], [`peers`]); what a message means, JavaScript decides
//! (`lib/cluster/`). A poll or POST is one message, read to its end by the member that it has reached (the front), and its
//! answer is another. The owner gives it to the session's ordinary transport, with a request made from its head and a
//! response that writes to the link. A WebSocket upgrade is a message with the connection's descriptor
//! ([`descriptors`]), behind which the owner goes on as if it had accepted the connection. A stream without a descriptor
//! (TLS) is carried by one end of a pair of UNIX sockets, the other end of which moves: its bytes do not pass the link.
//! So the link needs no flow control of its own but that of its socket.

pub mod bus;
#[cfg(unix)]
#[deny(unsafe_code)]
#[allow(unsafe_code, reason = "descriptors are passed by sendmsg and recvmsg, which no dependency wraps")]
pub mod descriptors;
pub mod directory;
pub mod id;
pub mod link;
#[cfg_attr(windows, path = "os_windows.rs")]
pub mod os;
pub mod owner_links;
pub mod peers;
pub mod wire;
