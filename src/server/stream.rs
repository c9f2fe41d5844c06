//! The sockets below connections.

use std::io;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// A stream socket of either family.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The same for the stream of either family.
macro_rules! either {
    ($self:expr, $stream:ident => $result:expr) => {
        match $self {
            Stream::Tcp($stream) => $result,
            #[cfg(unix)]
            Stream::Unix($stream) => $result,
        }
    };
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

#[cfg(unix)]
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl Stream {
    /// A connected, non-blocking socket of the family `AF_UNIX` or of TCP's.
    #[cfg(unix)]
    pub(super) fn open(socket: std::os::fd::OwnedFd, unix: bool) -> io::Result<Self> {
        if unix {
            return UnixStream::from_std(socket.into()).map(Self::Unix);
        }
        TcpStream::from_std(socket.into()).map(Self::Tcp)
    }

    /// Reads what is there. A buffer that it does not fill has drained the socket: then the next call waits for the
    /// reactor, without asking the kernel again.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(either!(self, stream => stream.poll_read_ready(cx)))?;
            match either!(self, stream => stream.try_read(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(length) if length > 0 && length < buffer.len() => {
                    let drained = || Err(io::ErrorKind::WouldBlock.into());
                    let _: io::Result<()> = either!(self, stream => stream.try_io(Interest::READABLE, drained));
                    return Poll::Ready(Ok(length));
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes what the kernel takes; with `more`, the kernel may wait for what comes next before it sends.
    pub(super) fn try_write(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        if more {
            let send = || self.socket().send_with_flags(bytes, libc::MSG_MORE | libc::MSG_NOSIGNAL);
            return either!(self, stream => stream.try_io(Interest::WRITABLE, send));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = more;
        either!(self, stream => stream.try_write(bytes))
    }

    /// Reads what [`Stream::try_write`] will.
    pub(super) fn fetch(&self) {
        let _: io::Result<()> = either!(self, stream => stream.try_io(Interest::WRITABLE, || Ok(())));
    }

    /// Ready when the kernel takes more.
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        either!(self, stream => stream.poll_write_ready(cx)).map(drop)
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> SockRef<'_> {
        either!(self, stream => SockRef::from(stream))
    }
}
