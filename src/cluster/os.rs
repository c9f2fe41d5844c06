//! What members on one machine need of the system: streams between processes, and files that are locked. Here these are
//! UNIX sockets, which may carry descriptors, and files that only this user can open. On Windows `os_windows.rs` takes
//! the place of this file, with the same functions.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use crate::cluster::descriptors::{self, try_lock, user};

/// A descriptor that goes with a message.
pub type Descriptor = OwnedFd;

/// One end of a link. Either the reactor of an I/O thread watches it, or the owner's event loop.
#[derive(Debug)]
pub struct Stream {
    socket: std::os::unix::net::UnixStream,
    /// The same socket as the reactor watches it, while an I/O thread reads.
    watched: OnceLock<UnixStream>,
    /// The socket has not taken what was sent last.
    is_full: AtomicBool,
    /// Too many descriptors are on their way to processes of this user.
    is_refused: AtomicBool,
}

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

/// Time until it is tried again to send, if the reactor cannot tell when that may be.
const RETRY: Duration = Duration::from_millis(5);

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
    Stream::new(listener.accept().await?.0)
}

impl Stream {
    /// Makes a link. The error is `WouldBlock` if it can be tried again soon, and `ConnectionRefused` or `NotFound` if
    /// there is no listener.
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        Self::new(UnixStream::connect(path).await?)
    }

    fn new(stream: UnixStream) -> io::Result<Self> {
        let [is_full, is_refused] = Default::default();
        Ok(Self { socket: stream.into_std()?, watched: OnceLock::new(), is_full, is_refused })
    }

    /// Another descriptor of the socket, in the reactor: it watches each for one purpose.
    fn watch(&self) -> io::Result<UnixStream> {
        UnixStream::from_std(self.socket.try_clone()?)
    }

    /// The same stream, which no reactor watches. It would wake its thread each time the peer has sent or read something.
    pub(crate) fn unwatched(self) -> Self {
        Self { watched: OnceLock::new(), ..self }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Ends the stream for the thread that reads it.
    pub(crate) fn end(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Whether the process at the other end is of this user, or of the superuser, who may do everything.
    pub(crate) fn is_same_user(&self) -> bool {
        let Ok(watched) = self.watched() else { return false };
        watched.peer_cred().is_ok_and(|peer| peer.uid() == user() || peer.uid() == 0)
    }

    fn watched(&self) -> io::Result<&UnixStream> {
        if let Some(watched) = self.watched.get() {
            return Ok(watched);
        }
        let watched = self.watch()?;
        Ok(self.watched.get_or_init(|| watched))
    }

    /// Waits until there may be something to receive.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.watched()?.readable().await
    }

    /// Waits until something may be sent.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        if self.is_refused.swap(false, Relaxed) {
            sleep(RETRY).await;
        }
        if self.is_full.swap(false, Relaxed) {
            match self.watch() {
                Ok(watched) => watched.writable().await?,
                // the process has no descriptor left
                Err(_) => sleep(RETRY).await,
            }
        }
        Ok(())
    }

    /// Sends bytes, the first of them with a descriptor, as far as this can be done at once. Returns how many were taken.
    /// It may be called on any thread.
    pub(crate) fn send(&self, bytes: &[u8], descriptor: Option<&Descriptor>) -> io::Result<usize> {
        descriptors::send(self.socket.as_fd(), bytes, descriptor.map(AsFd::as_fd)).map_err(|error| {
            if error.raw_os_error() == Some(libc::ETOOMANYREFS) {
                self.is_refused.store(true, Relaxed);
                return io::ErrorKind::WouldBlock.into();
            }
            self.is_full.store(error.kind() == io::ErrorKind::WouldBlock, Relaxed);
            error
        })
    }

    /// The same after [`Stream::writable`].
    pub(crate) fn try_send(&self, bytes: &[u8], descriptor: Option<&Descriptor>) -> io::Result<usize> {
        self.send(bytes, descriptor)
    }

    /// Receives bytes after [`Stream::readable`], or on the owner's thread, see [`descriptors::receive`].
    pub(crate) fn try_receive(
        &self,
        buffer: &mut [u8],
        descriptors: &mut VecDeque<Option<Descriptor>>,
    ) -> io::Result<usize> {
        let mut receive = || descriptors::receive(self.socket.as_fd(), buffer, descriptors);
        match self.watched.get() {
            Some(watched) => watched.try_io(Interest::READABLE, receive),
            None => receive(),
        }
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

/// Checks that only this user may open a file, and may do so; otherwise returns what is wrong.
pub(crate) fn check(found: &Metadata, mode: u32) -> Result<(), String> {
    if found.uid() != user() {
        return Err(format!("expected it to belong to user {}, got {}", user(), found.uid()));
    }
    // a key is only read, so that it may have the mode 400
    let needed = if found.is_dir() { DIRECTORY } else { 0o400 };
    if found.mode() & (0o077 | needed) != needed {
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
