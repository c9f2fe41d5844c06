//! Handles: the numbers by which the owner and the I/O threads speak of sessions, connections and other things that both
//! sides know.
//!
//! A handle is the index of a slot and the slot's generation in one integer below 2^31, which JavaScript holds without
//! an allocation. Each use of a slot has another generation, so a handle that is kept too long names nothing, rather
//! than what has got the slot since. A slot waits among at least [`QUARANTINE`] others before it is used again, and
//! has 1,023 generations: a handle comes again after four million others at the earliest.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::contract::{INDEX_MASK, NO_HANDLE};

/// Generations start at 1: no handle is [`NO_HANDLE`].
const SLOTS: u32 = INDEX_MASK + 1;
const FIRST_GENERATION: u32 = SLOTS;
const GENERATIONS: u32 = 1 << 10;

/// Free slots that are kept while there are unused ones.
const QUARANTINE: usize = 4096;

/// Hands out handles. Any thread takes one for what it makes; the owner alone knows when nothing speaks of it any more
/// and gives it back.
#[derive(Clone, Debug, Default)]
pub struct Handles(Arc<Mutex<Free>>);

#[derive(Debug, Default)]
struct Free {
    /// The next handles of the free slots; the slot that has been free for longest comes first.
    next: VecDeque<u32>,
    /// Number of slots that have ever been used.
    used: u32,
}

impl Handles {
    /// Takes an unused handle; `None` if two million are in use.
    pub fn take(&self) -> Option<u32> {
        let mut free = self.lock();
        if free.next.len() > QUARANTINE || free.used == SLOTS {
            return free.next.pop_front();
        }
        free.used += 1;
        Some(FIRST_GENERATION | (free.used - 1))
    }

    /// Gives a handle back. Its slot may be used again.
    pub fn give_back(&self, handle: u32) {
        self.lock().next.push_back(successor(handle));
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot's handle in its next generation.
fn successor(handle: u32) -> u32 {
    let next = (handle + SLOTS) & (SLOTS * GENERATIONS - 1);
    if next < FIRST_GENERATION { next + FIRST_GENERATION } else { next }
}

fn index_of(handle: u32) -> usize {
    (handle % SLOTS) as usize
}

/// The objects that the owner names by handles.
#[derive(Debug)]
pub struct Table<T> {
    slots: Vec<Slot<T>>,
    handles: Handles,
    stale: Cell<u64>,
    panics: bool,
}

#[derive(Debug)]
struct Slot<T> {
    /// The handle that has the slot; [`NO_HANDLE`] if it is free.
    handle: u32,
    /// `None` if the handle stands for nothing but itself.
    value: Option<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), handles: Handles::default(), stale: Cell::new(0), panics: false }
    }
}

impl<T> Table<T> {
    /// The handles of the table.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// Enters the object of a handle that was taken before.
    pub fn put(&mut self, handle: u32, value: T) {
        self.occupy(handle, Some(value));
    }

    /// Enters a handle that stands for an object of the owner alone.
    pub fn put_bare(&mut self, handle: u32) {
        self.occupy(handle, None);
    }

    fn occupy(&mut self, handle: u32, value: Option<T>) {
        let index = index_of(handle);
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || Slot { handle: NO_HANDLE, value: None });
        }
        self.slots[index] = Slot { handle, value };
    }

    /// The object of a handle that was passed in. A stale handle is counted, because its caller has missed an end.
    pub fn get(&self, handle: u32) -> Option<&T> {
        self.slot(handle)?.value.as_ref()
    }

    /// Whether a handle that was passed in is in use. A stale handle is counted.
    pub fn has(&self, handle: u32) -> bool {
        self.slot(handle).is_some()
    }

    fn slot(&self, handle: u32) -> Option<&Slot<T>> {
        let slot = self.slots.get(index_of(handle)).filter(|slot| slot.handle == handle && handle != NO_HANDLE);
        if slot.is_none() && handle != NO_HANDLE {
            self.note_stale(handle);
        }
        slot
    }

    /// The object of a handle that may be stale, as that of an event on its way.
    pub fn find(&self, handle: u32) -> Option<&T> {
        self.slots.get(index_of(handle)).filter(|slot| slot.handle == handle)?.value.as_ref()
    }

    /// Forgets a handle, whose slot may be used again. A stale handle is counted.
    pub fn release(&mut self, handle: u32) -> Option<T> {
        self.slot(handle)?;
        let slot = std::mem::replace(&mut self.slots[index_of(handle)], Slot { handle: NO_HANDLE, value: None });
        self.handles.give_back(handle);
        slot.value
    }

    /// Number of calls with a stale handle. They had no effect.
    pub fn stale(&self) -> u64 {
        self.stale.get()
    }

    /// Has debug builds panic from now on if a stale handle is passed in.
    pub fn panic_on_stale(&mut self) {
        self.panics = cfg!(debug_assertions);
    }

    fn note_stale(&self, handle: u32) {
        self.stale.set(self.stale.get() + 1);
        assert!(!self.panics, "stale handle {handle:#x}: slot {}", index_of(handle));
    }

    /// The objects of all handles.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        std::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn open(table: &mut Table<&'static str>, value: &'static str) -> u32 {
        let handle = table.handles().take().unwrap();
        table.put(handle, value);
        handle
    }

    /// Opens and releases until the slot of a handle is used again.
    fn reuse(table: &mut Table<&'static str>, handle: u32) -> u32 {
        loop {
            let next = open(table, "victim");
            if index_of(next) == index_of(handle) {
                return next;
            }
            table.release(next);
        }
    }

    #[test]
    fn a_handle_stands_for_what_was_put_there_until_its_release() {
        let mut table = Table::default();
        let (first, second) = (open(&mut table, "a"), open(&mut table, "b"));
        assert_eq!((table.get(first), table.get(second)), (Some(&"a"), Some(&"b")));
        assert_eq!(table.release(first), Some("a"));
        assert_eq!((table.get(first), table.get(second)), (None, Some(&"b")));
        assert_eq!(table.stale(), 1);
    }

    #[test]
    fn a_stale_handle_does_not_reach_the_next_owner_of_its_slot() {
        let mut table = Table::default();
        let stale = open(&mut table, "gone");
        table.release(stale);
        let victim = reuse(&mut table, stale);
        assert_ne!(stale, victim);
        assert_eq!((table.get(stale), table.has(stale), table.find(stale)), (None, false, None));
        assert_eq!(table.release(stale), None);
        assert_eq!(table.get(victim), Some(&"victim"));
        // `find` is for handles that may be stale
        assert_eq!(table.stale(), 3);
    }

    #[test]
    fn the_second_release_of_a_handle_frees_nothing() {
        let mut table = Table::default();
        let handle = open(&mut table, "once");
        table.release(handle);
        table.release(handle);
        assert_eq!(table.handles().lock().next.len(), 1);
    }

    #[test]
    fn a_slot_is_used_again_only_after_thousands_of_others() {
        let mut table = Table::default();
        let handle = open(&mut table, "first");
        table.release(handle);
        let mut opens = 0;
        loop {
            let next = open(&mut table, "other");
            if index_of(next) == index_of(handle) {
                break;
            }
            opens += 1;
            table.release(next);
        }
        assert_eq!(opens, QUARANTINE);
    }

    #[test]
    fn no_slot_is_used_by_two_at_a_time() {
        let mut table = Table::default();
        let mut living = HashSet::new();
        let mut order = VecDeque::new();
        for round in 0..100_000_u32 {
            let handle = open(&mut table, "x");
            assert!(handle < 1 << 31 && handle != NO_HANDLE);
            assert!(living.insert(index_of(handle)), "slot {} is taken", index_of(handle));
            order.push_back(handle);
            while order.len() as u32 > round % 5000 {
                let Some(gone) = order.pop_front() else { break };
                living.remove(&index_of(gone));
                assert_eq!(table.release(gone), Some("x"));
            }
        }
        assert_eq!(table.stale(), 0);
    }

    #[test]
    fn a_slot_has_1023_names_and_none_of_them_is_that_of_nothing() {
        let mut names = HashSet::new();
        let mut handle = FIRST_GENERATION | 7;
        while names.insert(handle) {
            assert!(index_of(handle) == 7 && (FIRST_GENERATION..1 << 31).contains(&handle));
            handle = successor(handle);
        }
        assert_eq!(names.len(), 1023);
    }

    #[test]
    fn there_are_two_million_handles_and_then_none() {
        let handles = Handles::default();
        let mut last = NO_HANDLE;
        for _ in 0..SLOTS {
            last = handles.take().unwrap();
        }
        assert_eq!(handles.take(), None);
        handles.give_back(last);
        assert_eq!(handles.take(), Some(successor(last)));
    }

    #[test]
    fn nothing_is_no_handle() {
        let mut table = Table::default();
        open(&mut table, "a");
        assert_eq!((table.get(NO_HANDLE), table.find(NO_HANDLE)), (None, None));
        assert_eq!(table.release(NO_HANDLE), None);
        assert!(!table.has(NO_HANDLE));
        assert_eq!(table.stale(), 0);
    }

    #[test]
    fn a_bare_handle_is_in_use_and_stands_for_nothing() {
        let mut table: Table<&str> = Table::default();
        let handle = table.handles().take().unwrap();
        table.put_bare(handle);
        assert_eq!((table.has(handle), table.get(handle)), (true, None));
        table.release(handle);
        assert!(!table.has(handle));
    }

    #[test]
    #[should_panic(expected = "stale handle")]
    #[cfg(debug_assertions)]
    fn a_stale_handle_can_be_made_to_panic() {
        let mut table = Table::default();
        table.panic_on_stale();
        let handle = open(&mut table, "a");
        table.release(handle);
        table.get(handle);
    }
}
