//! What members on one machine need of Windows, see `os.rs`: named pipes, which carry no descriptors, and files that are
//! locked by how they are opened.
//!
//! Who may open a file is decided by the directory in which it lies: by default that is in the user's profile. Each
//! member listens on a pipe with a random name, which lies in a file of the directory, so that no program can take the
//! name before it. When it has gone, one can. A hello, which only holders of the key can make, is therefore expected of
//! both sides, and it says to whom. By the system's default others than the user, administrators and the system may at
//! most read from a pipe: they can connect, but say nothing.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::channel;

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};

/// There are no descriptors that go with messages.
#[derive(Debug)]
pub enum Descriptor {}

/// Bytes that are given to a pipe at once.
const MOST: usize = 64 * 1024;

/// One end of a link.
#[derive(Debug)]
pub enum Stream {
    /// The end of the member that was asked.
    Accepted(NamedPipeServer),
    /// The end of the member that asks.
    Made(NamedPipeClient),
}

/// Takes links from peers.
#[derive(Debug)]
pub struct Listener {
    name: String,
    /// The instance of the pipe to which the next peer connects.
    next: NamedPipeServer,
}

/// What keeps a directory while members are there: files that are open cannot be removed.
#[derive(Debug)]
pub struct Hold;

/// The ending of the file by which a member is reached: it has the random part of the pipe's name.
pub(crate) const SOCKET: &str = ".pipe";

/// Paths are as long as the system takes them.
pub(crate) const MAX_PATH: usize = usize::MAX;

/// Nothing, see [`check`].
pub(crate) const DIRECTORY: u32 = 0;
pub(crate) const FILE: u32 = 0;

/// Random bytes of a pipe's name.
const NAME: usize = 16;

/// `FILE_SHARE_READ`: others may open the file to read it, as long as it is open here.
const SHARE_READ: u32 = 1;

/// `ERROR_SHARING_VIOLATION`: the file is open in a way that does not go together with this one.
const IS_SHARED_LESS: i32 = 32;

/// `ERROR_PIPE_BUSY`: no instance of the pipe is free just now.
const IS_BUSY: i32 = 231;

// ---- links -------------------------------------------------------------------------------------

/// The pipe on which a member listens, as soon as it has a runtime.
#[derive(Debug)]
pub struct Bound(String);

/// Chooses a name, and writes it to a file.
pub(crate) fn bind(path: &Path) -> io::Result<Bound> {
    let mut random = [0; NAME];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(path, &name)?;
    Ok(Bound(pipe_of(&name)))
}

fn pipe_of(name: &str) -> String {
    format!(r"\\.\pipe\engine.io-native-{name}")
}

/// Calls the function with a listener, by `run` on a thread that has a runtime, and waits until the pipe is there.
pub(crate) fn listen(
    Bound(name): Bound,
    run: impl FnOnce(Box<dyn FnOnce() + Send>),
    accept: impl FnOnce(Listener) + Send + 'static,
) -> io::Result<()> {
    let (opened, result) = channel();
    run(Box::new(move || {
        let listener = instance(&name, true).map(|next| Listener { name, next });
        let _ = opened.send(listener.map(accept));
    }));
    result.recv().unwrap_or_else(|_| Err(io::Error::other("expected a thread for links, but it has ended")))
}

fn instance(name: &str, is_first: bool) -> io::Result<NamedPipeServer> {
    ServerOptions::new().first_pipe_instance(is_first).reject_remote_clients(true).create(name)
}

/// Takes the next link.
pub(crate) async fn accept(listener: &mut Listener) -> io::Result<Stream> {
    let connected = listener.next.connect().await;
    // a peer always finds an instance, even if it has to try again
    let next = instance(&listener.name, false)?;
    let stream = std::mem::replace(&mut listener.next, next);
    connected.map(|()| Stream::Accepted(stream))
}

impl Stream {
    /// Makes a link. The error is `WouldBlock` if it can be tried again soon, and `NotFound` if there is no listener.
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        let name = fs::read_to_string(path)?;
        if name.len() != 2 * NAME || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            // it is just being written
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // by tokio's default the other end may see who this is, but not act as this user
        match ClientOptions::new().open(pipe_of(&name)) {
            Err(error) if error.raw_os_error() == Some(IS_BUSY) => Err(io::ErrorKind::WouldBlock.into()),
            opened => opened.map(Self::Made),
        }
    }

    /// The same stream: the owner's event loop watches no pipes of others.
    pub(crate) fn unwatched(self) -> Self {
        self
    }

    /// It ends with its last use.
    #[allow(clippy::unused_self)]
    pub(crate) fn end(&self) {}

    /// The system keeps others from writing to a pipe, and from listening on it beside its member. The hello tells the rest.
    pub(crate) fn is_same_user(&self) -> bool {
        true
    }

    /// Waits until there may be something to receive.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Accepted(pipe) => pipe.readable().await,
            Self::Made(pipe) => pipe.readable().await,
        }
    }

    /// Waits until something may be sent.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Accepted(pipe) => pipe.writable().await,
            Self::Made(pipe) => pipe.writable().await,
        }
    }

    /// Sends bytes, as far as this can be done at once. Returns how many were taken. It may be called on any thread.
    pub(crate) fn send(&self, bytes: &[u8], _descriptor: Option<&Descriptor>) -> io::Result<usize> {
        // a copy of all of them would be taken at once
        let bytes = &bytes[..bytes.len().min(MOST)];
        match self {
            Self::Accepted(pipe) => pipe.try_write(bytes),
            Self::Made(pipe) => pipe.try_write(bytes),
        }
    }

    /// The same after [`Stream::writable`].
    pub(crate) fn try_send(&self, bytes: &[u8], descriptor: Option<&Descriptor>) -> io::Result<usize> {
        self.send(bytes, descriptor)
    }

    /// Receives bytes after [`Stream::readable`].
    pub(crate) fn try_receive(
        &self,
        buffer: &mut [u8],
        _descriptors: &mut VecDeque<Option<Descriptor>>,
    ) -> io::Result<usize> {
        match self {
            Self::Accepted(pipe) => pipe.try_read(buffer),
            Self::Made(pipe) => pipe.try_read(buffer),
        }
    }
}

// ---- files -------------------------------------------------------------------------------------

/// Makes a directory, and those above it.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Nothing has to be locked, see [`Hold`].
pub(crate) fn hold(_path: &Path) -> io::Result<Hold> {
    Ok(Hold)
}

/// Who may open a file, the directory above it decides, which is the application's choice.
pub(crate) fn check(_found: &Metadata, _mode: u32) -> Result<(), String> {
    Ok(())
}

/// Opens a file to read it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Makes a file that is not there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Opens a file, which is made if it is missing, and locks it until it is closed; `None` if another one has locked it.
/// The lock is that it is open for writing, and that others may only read it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    unless_open(options.read(true).write(true).create(true).truncate(false).share_mode(SHARE_READ).open(path))
}

/// Opens a file to read it, and tells whether it is not locked. It cannot be locked while it is open and free.
pub(crate) fn look_at(path: &Path) -> io::Result<(bool, File)> {
    match unless_open(OpenOptions::new().read(true).share_mode(SHARE_READ).open(path))? {
        Some(file) => Ok((true, file)),
        None => Ok((false, File::open(path)?)),
    }
}

fn unless_open(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Err(error) if error.raw_os_error() == Some(IS_SHARED_LESS) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Writes at a place of a file.
pub(crate) fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, at)?;
        bytes = &bytes[written..];
        at += written as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    /// A path that is free.
    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("engine.io-native-{}-{name}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_file_is_locked_once_until_it_is_closed_and_can_be_read_meanwhile() {
        let path = scratch("lock");
        let file = lock(&path).unwrap().unwrap();
        assert!(lock(&path).unwrap().is_none());
        write_at(&file, b"abc", 0).unwrap();
        write_at(&file, b"d", 1).unwrap();
        assert!(!look_at(&path).unwrap().0);
        assert_eq!(fs::read(&path).unwrap(), b"adc");
        drop(file);
        let (is_free, looking) = look_at(&path).unwrap();
        assert!(is_free && look_at(&path).unwrap().0);
        assert!(lock(&path).unwrap().is_none(), "it is not locked while it is looked at");
        drop(looking);
        assert!(lock(&path).unwrap().is_some());
        fs::remove_file(&path).unwrap();
    }

    #[tokio::test]
    async fn bytes_pass_a_link_in_both_directions_until_one_end_is_closed() {
        let path = scratch("link.pipe");
        assert_eq!(Stream::connect(&path).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "half a name").unwrap();
        assert_eq!(Stream::connect(&path).await.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let (sender, listeners) = channel();
        let bound = bind(&path).unwrap();
        listen(bound, |call| call(), move |listener| sender.send(listener).unwrap()).unwrap();
        let mut listener = listeners.recv().unwrap();
        // one peer after the other
        for _ in 0..3 {
            let made = Stream::connect(&path).await.unwrap();
            let accepted = accept(&mut listener).await.unwrap();
            for (from, to) in [(&made, &accepted), (&accepted, &made)] {
                from.writable().await.unwrap();
                assert_eq!(from.try_send(b"hello", None).unwrap(), 5);
                assert_eq!(receive(to).await, b"hello");
            }
            drop(made);
            assert_eq!(receive(&accepted).await, b"");
        }
        drop(listener);
        // it is gone as soon as the system has told the runtime that nothing is going on with it
        let gone = loop {
            match Stream::connect(&path).await.unwrap_err().kind() {
                io::ErrorKind::WouldBlock => tokio::time::sleep(Duration::from_millis(5)).await,
                kind => break kind,
            }
        };
        assert_eq!(gone, io::ErrorKind::NotFound);
        fs::remove_file(&path).unwrap();
    }

    /// What comes next; nothing at the end.
    async fn receive(stream: &Stream) -> Vec<u8> {
        let (mut buffer, mut descriptors) = ([0; 64], VecDeque::new());
        loop {
            stream.readable().await.unwrap();
            match stream.try_receive(&mut buffer, &mut descriptors) {
                Ok(length) => return buffer[..length].to_vec(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Vec::new(),
            }
        }
    }
}
