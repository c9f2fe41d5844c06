//! What members on one machine need of the system: streams between processes, and files that are locked. Here these are
//! UNIX sockets, which may carry descriptors, and files that only this user can open. On Windows `os_windows.rs` takes
//! the place of this file, with the same functions.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

use crate::cluster::descriptors::{self, try_lock, user};

/// A descriptor that goes with a message.
pub type Descriptor = OwnedFd;

/// One end of a link.
#[derive(Debug)]
pub struct Stream(UnixStream);

/// Takes links from peers.
pub type Listener = UnixListener;

/// What keeps a directory while members are there.
pub type Hold = File;

/// The ending of the file by which a member is reached.
pub(crate) const SOCKET: &str = ".sock";

/// Bytes of the directory's path at most, so that the path of each member's socket is not too long for the system.
pub(crate) const MAX_PATH: usize =
    size_of::<libc::sockaddr_un>() - offset_of!(libc::sockaddr_un, sun_path) - "/65535.sock".len() - 1;

/// The modes of the directory and of files in it.
pub(crate) const DIRECTORY: u32 = 0o700;
pub(crate) const FILE: u32 = 0o600;

// ---- links -------------------------------------------------------------------------------------

/// A socket on which a member listens, as soon as it has a runtime.
#[derive(Debug)]
pub struct Bound(std::os::unix::net::UnixListener);

/// Listens on a path, which must be free.
pub(crate) fn bind(path: &Path) -> io::Result<Bound> {
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    fs::set_permissions(path, PermissionsExt::from_mode(FILE))?;
    listener.set_nonblocking(true)?;
    Ok(Bound(listener))
}

/// Calls the function with a listener, by `run` on a thread that has a runtime. Connections wait in the meantime.
pub(crate) fn listen(
    Bound(listener): Bound,
    run: impl FnOnce(Box<dyn FnOnce() + Send>),
    accept: impl FnOnce(Listener) + Send + 'static,
) -> io::Result<()> {
    run(Box::new(move || {
        if let Ok(listener) = UnixListener::from_std(listener) {
            accept(listener);
        }
    }));
    Ok(())
}

/// Takes the next link.
pub(crate) async fn accept(listener: &mut Listener) -> io::Result<Stream> {
    listener.accept().await.map(|(stream, _)| Stream(stream))
}

impl Stream {
    /// Makes a link. The error is `WouldBlock` if it can be tried again soon, and `ConnectionRefused` or `NotFound` if
    /// there is no listener.
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).await.map(Self)
    }

    /// Whether the process at the other end is of this user, or of the superuser, who may do everything.
    pub(crate) fn is_same_user(&self) -> bool {
        self.0.peer_cred().is_ok_and(|peer| peer.uid() == user() || peer.uid() == 0)
    }

    /// Waits until there may be something to receive.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Waits until something may be sent.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }

    /// Sends bytes, the first of them with a descriptor, as far as this can be done at once. Returns how many were taken.
    /// It may be called on any thread.
    pub(crate) fn send(&self, bytes: &[u8], descriptor: Option<&Descriptor>) -> io::Result<usize> {
        descriptors::send(self.0.as_fd(), bytes, descriptor.map(AsFd::as_fd))
    }

    /// The same after [`Stream::writable`].
    pub(crate) fn try_send(&self, bytes: &[u8], descriptor: Option<&Descriptor>) -> io::Result<usize> {
        self.0.try_io(Interest::WRITABLE, || self.send(bytes, descriptor))
    }

    /// Receives bytes after [`Stream::readable`], see [`descriptors::receive`].
    pub(crate) fn try_receive(
        &self,
        buffer: &mut [u8],
        descriptors: &mut VecDeque<Option<Descriptor>>,
    ) -> io::Result<usize> {
        self.0.try_io(Interest::READABLE, || descriptors::receive(self.0.as_fd(), buffer, descriptors))
    }
}

// ---- files -------------------------------------------------------------------------------------

/// Makes a directory, and those above it.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY).create(path)
}

/// Locks a directory, so that what clears away old files leaves it alone.
pub(crate) fn hold(path: &Path) -> io::Result<Hold> {
    let lock = File::open(path)?;
    try_lock(&lock, true)?;
    Ok(lock)
}

/// Checks that only this user may open a file; otherwise returns what is wrong.
pub(crate) fn check(found: &Metadata, mode: u32) -> Result<(), String> {
    if found.uid() != user() {
        return Err(format!("expected it to belong to user {}, got {}", user(), found.uid()));
    }
    if found.mode() & 0o077 != 0 {
        return Err(format!("expected mode {mode:o}, got {:o}", found.mode() & 0o7777));
    }
    Ok(())
}

/// Opens a file to read it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Makes a file that is not there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE).open(path)
}

/// Opens a file, which is made if it is missing, and locks it until it is closed; `None` if another one has locked it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path)?;
    Ok(try_lock(&file, false)?.then_some(file))
}

/// Opens a file to read it, and tells whether it is not locked. It cannot be locked while it is open and free.
pub(crate) fn look_at(path: &Path) -> io::Result<(bool, File)> {
    // something else than a file must not keep the thread waiting
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    Ok((try_lock(&file, true)?, file))
}

/// Writes at a place of a file.
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}
