//! Sends and receives bytes of a UNIX socket together with descriptors.

use std::collections::VecDeque;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Descriptors that one call of [`receive`] takes. Linux gives one at a time, other systems may give several.
const MAX_AT_ONCE: usize = 16;

/// Flags for sending and receiving. Systems without them have other means: Node.js ignores SIGPIPE, and [`receive`] sets
/// `FD_CLOEXEC`.
#[cfg(target_os = "linux")]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(target_os = "linux")]
const CLOSE_ON_EXEC: libc::c_int = libc::MSG_CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: libc::c_int = 0;
#[cfg(not(target_os = "linux"))]
const CLOSE_ON_EXEC: libc::c_int = 0;

/// A buffer for control messages, aligned as their header has to be.
#[repr(C)]
union Control {
    bytes: [u8; 256],
    _align: libc::cmsghdr,
}

/// Sends bytes, the first of them with a descriptor. Returns how many were taken; the descriptor went with the first.
///
/// # Errors
/// Those of `sendmsg`. Nothing was sent then.
pub(super) fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control { bytes: [0; 256] };
    // SAFETY: all zeroes are a valid msghdr: no name, no pieces, no control messages.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &mut piece;
    message.msg_iovlen = 1;
    if let Some(descriptor) = descriptor {
        let size = size_of::<RawFd>() as u32;
        // SAFETY: the buffer is large enough for a header and one descriptor, and aligned for the header, so that
        // CMSG_FIRSTHDR gives a place in it that can be written.
        unsafe {
            message.msg_control = (&raw mut control.bytes).cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            ptr::write_unaligned(libc::CMSG_DATA(header).cast::<RawFd>(), descriptor.as_raw_fd());
        }
    }
    // SAFETY: the message points to buffers that outlive the call.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, NO_SIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives bytes; 0 at the end of the stream. The descriptors that came with them are appended to `descriptors`, with
/// `None` for those that the process could not take.
///
/// # Errors
/// Those of `recvmsg`.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut VecDeque<Option<OwnedFd>>,
) -> io::Result<usize> {
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control { bytes: [0; 256] };
    // SAFETY: see `send`.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &mut piece;
    message.msg_iovlen = 1;
    // SAFETY: taking the address of a field and computing a size do not read the union.
    unsafe {
        message.msg_control = (&raw mut control.bytes).cast();
        message.msg_controllen = libc::CMSG_SPACE((MAX_AT_ONCE * size_of::<RawFd>()) as u32) as _;
    }
    // SAFETY: the message points to buffers that outlive the call and that nothing else uses.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, CLOSE_ON_EXEC) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let before = descriptors.len();
    // SAFETY: the kernel has filled the buffer; CMSG_FIRSTHDR and CMSG_NXTHDR stay within what it has filled. The
    // descriptors in it are new, and nothing else owns them.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                for at in 0..bytes / size_of::<RawFd>() {
                    let descriptor = OwnedFd::from_raw_fd(ptr::read_unaligned(data.add(at)));
                    #[cfg(not(target_os = "linux"))]
                    libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
                    descriptors.push_back(Some(descriptor));
                }
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 && descriptors.len() == before {
        // the process has no descriptor left
        descriptors.push_back(None);
    }
    Ok(received)
}

/// Another descriptor of the same file.
///
/// # Errors
/// Those of `fcntl`: the number is not open, or the process has no descriptor left.
pub fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on any number is harmless; a descriptor that it returns is new and ours alone.
    unsafe {
        let descriptor = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3);
        if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(descriptor)) }
    }
}

/// The user as whom this process acts.
pub(super) fn user() -> u32 {
    // SAFETY: geteuid cannot fail.
    unsafe { libc::geteuid() }
}

/// Locks a file, unless another process or another opening of the file has a lock. Returns whether it is locked. The
/// lock ends with the last descriptor of this opening, also if the process is killed.
///
/// # Errors
/// Those of `flock`.
pub(super) fn try_lock(file: &std::fs::File, is_shared: bool) -> io::Result<bool> {
    let kind = if is_shared { libc::LOCK_SH } else { libc::LOCK_EX };
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(file.as_raw_fd(), kind | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_comes_with_the_bytes_it_was_sent_with() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut kept, passed) = UnixStream::pair().unwrap();
        assert_eq!(send(one.as_fd(), b"plain", None).unwrap(), 5);
        assert_eq!(send(one.as_fd(), b"move", Some(passed.as_fd())).unwrap(), 4);
        drop(passed);
        assert_eq!(send(one.as_fd(), b"after", None).unwrap(), 5);
        let (mut bytes, mut descriptors, mut buffer) = (Vec::new(), VecDeque::new(), [0; 64]);
        while bytes.len() < 14 {
            let length = receive(other.as_fd(), &mut buffer, &mut descriptors).unwrap();
            bytes.extend_from_slice(&buffer[..length]);
            // it comes no later than its bytes
            assert!(bytes.len() < 6 || descriptors.len() == 1);
        }
        assert_eq!(bytes, b"plainmoveafter");
        let mut moved = UnixStream::from(descriptors.pop_front().unwrap().unwrap());
        moved.write_all(b"here").unwrap();
        let mut text = [0; 4];
        kept.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"here");
        drop(one);
        assert_eq!(receive(other.as_fd(), &mut buffer, &mut descriptors).unwrap(), 0);
        assert!(descriptors.is_empty());
    }

    #[test]
    fn a_file_is_locked_once_until_it_is_closed() {
        let path = std::env::temp_dir().join(format!("engine.io-native-lock-{}", std::process::id()));
        let open = || std::fs::File::create(&path).unwrap();
        let (one, other) = (open(), open());
        assert!(try_lock(&one, false).unwrap());
        assert!(!try_lock(&other, false).unwrap());
        drop(one);
        assert!(try_lock(&other, false).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
