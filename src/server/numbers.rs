//! The numbers by which the owner and the I/O threads speak of sessions and connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Hands out numbers, small ones first. Any thread takes one for what it makes; the owner alone knows when it has
/// heard the last of it and gives it back.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<Mutex<Free>>);

#[derive(Debug, Default)]
struct Free {
    returned: Vec<u32>,
    next: u32,
}

impl Numbers {
    /// A number that nothing has.
    pub fn take(&self) -> u32 {
        let mut free = self.lock();
        free.returned.pop().unwrap_or_else(|| {
            free.next += 1;
            free.next - 1
        })
    }

    /// The number may be used again.
    pub fn give_back(&self, number: u32) {
        self.lock().returned.push(number);
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the owner knows by number.
#[derive(Debug)]
pub struct Table<T> {
    slots: Vec<Option<T>>,
    numbers: Numbers,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), numbers: Numbers::default() }
    }
}

impl<T> Table<T> {
    /// Where the numbers of the table come from.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Notes what a number stands for.
    pub fn put(&mut self, number: u32, value: T) {
        let index = number as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(value);
    }

    pub fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize)?.as_ref()
    }

    /// Forgets a number, which may be used again.
    pub fn release(&mut self, number: u32) {
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot = None;
        }
        self.numbers.give_back(number);
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        std::mem::take(&mut self.slots).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_only_after_its_release() {
        let mut table = Table::default();
        let (first, second) = (table.numbers().take(), table.numbers().take());
        table.put(second, "b");
        table.put(first, "a");
        assert_eq!((table.get(first), table.get(second)), (Some(&"a"), Some(&"b")));
        table.release(first);
        assert_eq!(table.get(first), None);
        assert_eq!(table.numbers().take(), first);
        assert_ne!(table.numbers().take(), second);
    }
}
