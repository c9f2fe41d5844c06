//! The directory by which the members on one machine find each other: a lock and a socket for each number, and the key.
//!
//! Only one user can open it, so that its members may be trusted with the sessions.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::descriptors::{try_lock, user};
use super::id::{Key, Member};

/// A directory of members.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Locked, so that what clears away old files leaves the directory alone.
    _lock: File,
}

/// A number that this member has, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    /// The member that has it.
    pub member: Member,
    socket: PathBuf,
    /// The lock ends with the seat, also if the process is killed.
    _lock: File,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

impl Directory {
    /// Makes the directory, unless it is there, and checks it.
    ///
    /// # Errors
    /// When it cannot be made, or when others than this user may open it.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))?;
        let found = fs::symlink_metadata(path).map_err(at(path))?;
        if !found.is_dir() {
            return Err(wrong(path, "expected a directory"));
        }
        check(path, &found, 0o700)?;
        let lock = File::open(path).map_err(at(path))?;
        try_lock(&lock, true).map_err(at(path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The bytes of the key that lies in the directory. The first member makes it.
    ///
    /// # Errors
    /// When the file cannot be read or made, when others than this user may read it, or when it does not have the length of a key.
    pub fn key(&self) -> io::Result<[u8; Key::LENGTH]> {
        let path = self.path.join("key");
        if !path.exists() {
            self.make_key(&path)?;
        }
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path).map_err(at(&path))?;
        check(&path, &file.metadata().map_err(at(&path))?, 0o600)?;
        let mut bytes = Vec::new();
        (&mut file).take(Key::LENGTH as u64 + 1).read_to_end(&mut bytes).map_err(at(&path))?;
        bytes.try_into().map_err(|_| wrong(&path, "expected a key of 32 bytes"))
    }

    /// Makes the key under a name of its own, and gives it the right name unless another member has just done so. So
    /// no member finds half a key.
    fn make_key(&self, path: &Path) -> io::Result<()> {
        let mut bytes = [0; Key::LENGTH + 8];
        fill(&mut bytes)?;
        let (key, name) = bytes.split_at(Key::LENGTH);
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let own = self.path.join(format!("key.{name}"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own).map_err(at(&own))?;
        let made = file.write_all(key).and_then(|()| match fs::hard_link(&own, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        });
        fs::remove_file(&own).map_err(at(&own))?;
        made.map_err(at(path))
    }

    /// Takes the lowest free number, and listens on its socket. If numbers are to be spread, because there are members
    /// on other machines, it is one that was taken here before, or any.
    ///
    /// # Errors
    /// Those of the files; when all numbers are taken; when the path of the socket is too long for the system.
    pub fn take_seat(&self, is_spread: bool) -> io::Result<(Seat, UnixListener)> {
        self.clear_away();
        let (mut known, mut first) = (Vec::new(), [0; 2]);
        if is_spread {
            known = self.numbers(".lock");
            known.sort_unstable();
            fill(&mut first)?;
        }
        let all = (0..=u16::MAX).map(|number| number.wrapping_add(u16::from_ne_bytes(first)));
        for number in known.into_iter().chain(all) {
            let Some(lock) = self.lock(number)? else { continue };
            let boot = count_boot(&lock).map_err(at(&self.lock_file(number)))?;
            let socket = self.socket(number);
            remove(&socket).map_err(at(&socket))?;
            let listener = UnixListener::bind(&socket).map_err(at(&socket))?;
            let seat = Seat { member: Member { number, boot }, socket, _lock: lock };
            fs::set_permissions(&seat.socket, PermissionsExt::from_mode(0o600)).map_err(at(&seat.socket))?;
            listener.set_nonblocking(true).map_err(at(&seat.socket))?;
            return Ok((seat, listener));
        }
        Err(wrong(&self.path, "expected fewer than 65,536 members"))
    }

    /// The path of the socket of a member with this number.
    pub fn socket(&self, number: u16) -> PathBuf {
        self.path.join(format!("{number}.sock"))
    }

    /// The numbers that have a file with this ending.
    fn numbers(&self, ending: &str) -> Vec<u16> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(ending)?.parse().ok()).collect()
    }

    /// The members that have a socket. They may have gone.
    pub fn members(&self) -> Vec<Member> {
        let boot = |number| fs::read(self.lock_file(number)).ok()?.first().copied();
        self.numbers(".sock").into_iter().filter_map(|number| Some(Member { number, boot: boot(number)? })).collect()
    }

    /// Removes the sockets of members that were killed.
    fn clear_away(&self) {
        for number in self.numbers(".sock") {
            if let Ok(Some(_lock)) = self.lock(number) {
                let _ = fs::remove_file(self.socket(number));
            }
        }
    }

    fn lock_file(&self, number: u16) -> PathBuf {
        self.path.join(format!("{number}.lock"))
    }

    /// Takes the lock of a number; `None` if a member has it.
    fn lock(&self, number: u16) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let path = self.lock_file(number);
        let file = options.open(&path).map_err(at(&path))?;
        Ok(try_lock(&file, false).map_err(at(&path))?.then_some(file))
    }
}

/// Counts how often a number was taken, in the file of its lock. A number that is taken for the first time starts
/// anywhere, so that the members of a directory that was removed are not taken for those of a new one.
fn count_boot(mut file: &File) -> io::Result<u8> {
    let mut last = [0];
    let boot = if file.read(&mut last)? == 1 {
        last[0].wrapping_add(1)
    } else {
        fill(&mut last)?;
        last[0]
    };
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&[boot])?;
    Ok(boot)
}

fn fill(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(format!("the system gave no random bytes: {error}")))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Checks that only this user may open a file.
fn check(path: &Path, found: &fs::Metadata, mode: u32) -> io::Result<()> {
    if found.uid() != user() {
        return Err(wrong(path, &format!("expected it to belong to user {}, got {}", user(), found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(wrong(path, &format!("expected mode {mode:o}, got {:o}", found.mode() & 0o7777)));
    }
    Ok(())
}

/// Adds the path of a file to an error of the system.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| wrong(path, &error.to_string())
}

fn wrong(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{}: {what}", path.display()))
}
