//! The directory by which the members on one machine find each other: a lock and a socket for each number, and the key.
//!
//! Only one user can open it, so that its members may be trusted with the sessions.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::bus::message::Run;
use super::id::{Key, Mark, Member};
use super::os::{self, Bound, Hold, SOCKET};

/// Bytes of the lock's file for a node of a bus, see [`Record`].
const RUN: usize = size_of::<Run>();

/// How many nodes of a bus the file tells that have had the number.
const RUNS: usize = 8;

/// Bytes of the file before the mark of the key.
const MARKED: usize = 1 + RUNS * RUN;

/// How often, and after which time, it is tried again to lock a number, because others lock it for a moment to see
/// whether it is free.
const TRIES: u32 = 20;
const RETRY: Duration = Duration::from_millis(5);

/// Which number a member takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The lowest one that is free.
    Lowest,
    /// One that was taken here before, or any, because there are members on other machines.
    Spread,
    /// This one.
    Given(u16),
}

/// The run in the file of a lock while its member is a node of a bus, but has not noted yet which one.
const ANY_RUN: Run = Run::MAX;

/// What the locks of a directory tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The members that are nodes of a bus.
    pub nodes: Vec<Member>,
    /// The members that are not.
    pub others: Vec<Member>,
    /// Whether the last member with one of the free numbers was a node.
    pub has_lost_nodes: bool,
    /// How many members have another key. They are not among the others.
    pub strangers: u32,
}

/// A directory of members.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Whether the members that take seats by this are nodes of a bus.
    is_for_nodes: bool,
    /// By which the members that take seats by this know who has another key. Zeroes stand for any key.
    mark: Mark,
    /// Locked, so that what clears away old files leaves the directory alone.
    _lock: Hold,
}

/// A number that this member has, until it is freed or dropped.
#[derive(Debug)]
pub struct Seat {
    /// The member that has it, or has had it.
    pub member: Member,
    held: Option<Held>,
}

/// What keeps a number.
#[derive(Debug)]
struct Held {
    socket: PathBuf,
    /// The lock ends with this, also if the process is killed.
    lock: File,
}

impl Seat {
    /// Notes which node of a bus the member is, for [`Directory::former_run`].
    ///
    /// # Errors
    /// When the file cannot be written, or when the number was freed.
    pub fn note_run(&self, run: Run) -> io::Result<()> {
        let Some(held) = &self.held else { return Err(io::Error::other("expected a number, but it was freed")) };
        os::write_at(&held.lock, &run.to_ne_bytes(), 1)
    }

    /// Lets others take the number.
    pub fn free(&mut self) {
        self.held = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // before the lock ends, because the next member's socket has the same path
        let _ = fs::remove_file(&self.socket);
    }
}

impl Directory {
    /// Makes the directory, unless it is there, and checks it.
    ///
    /// # Errors
    /// When it cannot be made, when others than this user may open it, or when its path is too long for those of sockets.
    pub fn open(path: &Path) -> io::Result<Self> {
        let length = path.as_os_str().len();
        if length > os::MAX_PATH {
            return Err(wrong(path, &format!("expected a path of {} bytes at most, got {length}", os::MAX_PATH)));
        }
        match os::make_directory(path) {
            // something else is there, which is looked at next
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(|error| {
                wrong(path, &format!("expected a directory that is there or can be made, got {error}"))
            })?,
        }
        let found = fs::symlink_metadata(path).map_err(at(path))?;
        if !found.is_dir() {
            let what = if found.is_symlink() { "a symbolic link" } else { "something else" };
            return Err(wrong(path, &format!("expected a directory, got {what}")));
        }
        os::check(&found, os::DIRECTORY).map_err(|what| wrong(path, &what))?;
        let lock = os::hold(path).map_err(at(path))?;
        Ok(Self { path: path.to_owned(), is_for_nodes: false, mark: Mark::default(), _lock: lock })
    }

    /// The same directory, by which members take seats that are nodes of a bus, or are not.
    pub fn for_nodes(self, is_for_nodes: bool) -> Self {
        Self { is_for_nodes, ..self }
    }

    /// The same directory, by which members with this key take seats.
    pub fn for_key(self, key: &Key) -> Self {
        Self { mark: key.mark(), ..self }
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
        let mut file = os::open(&path).map_err(at(&path))?;
        let found = file.metadata().map_err(at(&path))?;
        os::check(&found, os::FILE).map_err(|what| wrong(&path, &what))?;
        let mut bytes = Vec::new();
        (&mut file).take(Key::LENGTH as u64 + 1).read_to_end(&mut bytes).map_err(at(&path))?;
        bytes.try_into().map_err(|bytes: Vec<u8>| {
            let more = if bytes.len() > Key::LENGTH { " or more" } else { "" };
            wrong(&path, &format!("expected a key of {} bytes, got {}{more}", Key::LENGTH, bytes.len()))
        })
    }

    /// Makes the key under a name of its own, and gives it the right name unless another member has just done so. So
    /// no member finds half a key.
    fn make_key(&self, path: &Path) -> io::Result<()> {
        let mut bytes = [0; Key::LENGTH + 8];
        fill(&mut bytes)?;
        let (key, name) = bytes.split_at(Key::LENGTH);
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let own = self.path.join(format!("key.{name}"));
        let mut file = os::create(&own).map_err(at(&own))?;
        let made = file.write_all(key).and_then(|()| match fs::hard_link(&own, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        });
        fs::remove_file(&own).map_err(at(&own))?;
        made.map_err(at(path))
    }

    /// Takes a number, and listens on its socket.
    ///
    /// # Errors
    /// Those of the files; when another member has the number that is given, or when all numbers are taken.
    pub fn take_seat(&self, choice: Choice) -> io::Result<(Seat, Bound)> {
        self.clear_away();
        let (mut known, mut first) = (Vec::new(), [0; 2]);
        match choice {
            Choice::Lowest => {}
            Choice::Spread => {
                known = self.numbers(".lock");
                known.sort_unstable();
                fill(&mut first)?;
            }
            Choice::Given(number) => {
                for _ in 0..TRIES {
                    if let Some(lock) = self.lock(number)? {
                        return self.sit(number, lock);
                    }
                    sleep(RETRY);
                }
                let what = format!("expected the number {number} to be free, but another process or server has it");
                return Err(wrong(&self.path, &what));
            }
        }
        let all = (0..=u16::MAX).map(|number| number.wrapping_add(u16::from_ne_bytes(first)));
        for number in known.into_iter().chain(all) {
            if let Some(lock) = self.lock(number)? {
                return self.sit(number, lock);
            }
        }
        Err(wrong(&self.path, "expected fewer than 65,536 members"))
    }

    fn sit(&self, number: u16, lock: File) -> io::Result<(Seat, Bound)> {
        // the others see that it is a node as soon as they see that it is there
        let run = if self.is_for_nodes { ANY_RUN } else { 0 };
        let boot = Record::count_boot(&lock, run, self.mark).map_err(at(&self.lock_file(number)))?;
        let socket = self.socket(number);
        remove(&socket).map_err(at(&socket))?;
        let bound = os::bind(&socket).map_err(at(&socket))?;
        Ok((Seat { member: Member { number, boot }, held: Some(Held { socket, lock }) }, bound))
    }

    /// The node of a bus that a member was which has gone, if it was here. It may be that of a member of another machine
    /// with the same number and boot, so it is to be compared with what the bus tells.
    pub fn former_run(&self, member: Member) -> Option<Run> {
        let (is_free, record) = self.look_at(member.number)?;
        let ago = record.0.first()?.wrapping_sub(member.boot);
        if ago == 0 && !is_free { None } else { record.run(ago.into()).filter(|run| *run != ANY_RUN) }
    }

    /// Looks who is there, and who of them is a node of a bus, in the order of their numbers.
    pub fn count(&self) -> Census {
        let mut census = Census::default();
        let mut numbers = self.numbers(".lock");
        numbers.sort_unstable();
        for number in numbers {
            let Some((is_free, record)) = self.look_at(number) else { continue };
            let Some(&boot) = record.0.first() else { continue };
            let is_node = record.run(0).is_some();
            if record.has_other_mark(self.mark) {
                census.strangers += u32::from(!is_free);
            } else if is_free {
                census.has_lost_nodes |= is_node;
            } else if is_node {
                census.nodes.push(Member { number, boot });
            } else {
                census.others.push(Member { number, boot });
            }
        }
        census
    }

    /// Whether the lock of a number is free, and what its file tells.
    fn look_at(&self, number: u16) -> Option<(bool, Record)> {
        let (is_free, file) = os::look_at(&self.lock_file(number)).ok()?;
        Some((is_free, Record::read(&file).ok()?))
    }

    /// Whether a member has its number now, also if it does not listen yet.
    pub fn has(&self, member: Member) -> bool {
        let found = self.look_at(member.number);
        found.is_some_and(|(is_free, record)| !is_free && record.0.first() == Some(&member.boot))
    }

    /// The path of the socket of a member with this number.
    pub fn socket(&self, number: u16) -> PathBuf {
        self.path.join(format!("{number}{SOCKET}"))
    }

    /// The numbers that have a file with this ending.
    fn numbers(&self, ending: &str) -> Vec<u16> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(ending)?.parse().ok()).collect()
    }

    /// The members that have a socket. They may have gone.
    pub fn members(&self) -> Vec<Member> {
        let boot = |number| fs::read(self.lock_file(number)).ok()?.first().copied();
        self.numbers(SOCKET).into_iter().filter_map(|number| Some(Member { number, boot: boot(number)? })).collect()
    }

    /// Removes the sockets of members that were killed.
    fn clear_away(&self) {
        for number in self.numbers(SOCKET) {
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
        let path = self.lock_file(number);
        for _ in 0..TRIES {
            let lock = os::lock(&path).map_err(at(&path))?;
            // those that only look lock it together
            if lock.is_some() || !os::look_at(&path).is_ok_and(|(is_free, _)| is_free) {
                return Ok(lock);
            }
            sleep(RETRY);
        }
        Ok(None)
    }
}

/// What the file of a lock tells: how often the number was taken (one byte), the nodes of a bus that have had it, the last
/// one first, and the mark of the last member's key. Zeroes stand for a member without a bus, and for any key.
struct Record(Vec<u8>);

impl Record {
    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = Vec::new();
        file.take((MARKED + size_of::<Mark>()) as u64).read_to_end(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Counts how often the number was taken. One that is taken for the first time starts anywhere, so that the members
    /// of a directory that was removed are not taken for those of a new one.
    fn count_boot(file: &File, run: Run, mark: Mark) -> io::Result<u8> {
        let Self(mut bytes) = Self::read(file)?;
        let boot = match bytes.first() {
            Some(last) => last.wrapping_add(1),
            None => {
                let mut any = [0];
                fill(&mut any)?;
                any[0]
            }
        };
        bytes.splice(..bytes.len().min(1), [boot].into_iter().chain(run.to_ne_bytes()));
        bytes.resize(MARKED, 0);
        bytes.extend_from_slice(&mark);
        os::write_at(file, &bytes, 0)?;
        Ok(boot)
    }

    /// The node that had the number when it was taken this many times ago.
    fn run(&self, ago: usize) -> Option<Run> {
        let run = self.0.get(1..self.0.len().min(MARKED))?.chunks_exact(RUN).nth(ago)?;
        Some(Run::from_ne_bytes(run.try_into().ok()?)).filter(|run| *run != 0)
    }

    /// Whether the member that has taken the number last has another key.
    fn has_other_mark(&self, mark: Mark) -> bool {
        let found = self.0.get(MARKED..).and_then(|found| Mark::try_from(found).ok()).unwrap_or_default();
        found != mark && found != Mark::default() && mark != Mark::default()
    }
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

/// Adds the path of a file to an error of the system.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| wrong(path, &error.to_string())
}

fn wrong(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{}: {what}", path.display()))
}
