//! What has happened to each session, and what must never happen.

use std::collections::BTreeMap;

pub type Id = Vec<u8>;

#[derive(Debug, Default)]
pub struct Story {
    /// The process that owns the session; `None` before a claim has arrived, and at the end.
    pub owner: Option<usize>,
    pub announced: bool,
    /// `close` was emitted, or the process that had emitted `connection` has crashed.
    pub ended: bool,
    /// Messages that the application has sent, and those that the client got.
    pub sent: u32,
    pub got: u32,
    /// Messages that the client has sent, and those that the application got.
    pub client_sent: u32,
    pub client_got: u32,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub stories: BTreeMap<Id, Story>,
}

impl Ledger {
    fn story(&mut self, id: &[u8]) -> &mut Story {
        self.stories.get_mut(id).expect("a session was opened")
    }

    pub fn opened(&mut self, id: &[u8], process: usize) {
        let before = self.stories.insert(id.to_vec(), Story { owner: Some(process), ..Story::default() });
        assert!(before.is_none(), "an id was given out twice");
    }

    pub fn given(&mut self, id: &[u8], process: usize) {
        let story = self.story(id);
        assert_eq!(story.owner, Some(process), "a process gives away what it does not own");
        assert!(!story.announced, "a session of which the application has heard changes its owner");
        story.owner = None;
    }

    pub fn claimed(&mut self, id: &[u8], process: usize) {
        let story = self.story(id);
        assert_eq!(story.owner, None, "a session has two owners");
        assert!(!story.ended, "a session that has ended is claimed");
        story.owner = Some(process);
    }

    pub fn announced(&mut self, id: &[u8], process: usize) {
        let story = self.story(id);
        assert_eq!(story.owner, Some(process), "`connection` comes in a process that does not own the session");
        assert!(!std::mem::replace(&mut story.announced, true), "`connection` comes twice");
    }

    /// The session has ended at its owner, or its owner has crashed.
    pub fn ended(&mut self, id: &[u8], process: usize) {
        let story = self.story(id);
        assert_eq!(story.owner.take(), Some(process), "a process ends a session that it does not own");
        assert!(!std::mem::replace(&mut story.ended, true), "`close` comes twice");
    }

    /// Returns the numbers of the messages.
    pub fn application_sends(&mut self, id: &[u8], count: u32) -> std::ops::Range<u32> {
        let story = self.story(id);
        assert!(story.announced && !story.ended);
        story.sent += count;
        story.sent - count..story.sent
    }

    pub fn client_gets(&mut self, id: &[u8], numbers: &[u32]) {
        let story = self.story(id);
        for number in numbers {
            assert!(*number < story.sent, "a message comes that was not sent");
            assert!(*number >= story.got, "a message reaches the client twice: {number} after {}", story.got);
            assert_eq!(*number, story.got, "a message reaches the client out of order");
            story.got += 1;
        }
    }

    pub fn client_sends(&mut self, id: &[u8], end: u32) {
        let story = self.story(id);
        story.client_sent = story.client_sent.max(end);
    }

    pub fn application_gets(&mut self, id: &[u8], numbers: &[u32], process: usize) {
        let story = self.story(id);
        assert_eq!(story.owner, Some(process), "a message reaches a process that does not own the session");
        assert!(story.announced, "a message comes before `connection`");
        for number in numbers {
            assert!(*number < story.client_sent, "a message comes that was not sent");
            assert!(*number >= story.client_got, "a message reaches the application twice: {number}");
            assert_eq!(*number, story.client_got, "a message reaches the application out of order");
            story.client_got += 1;
        }
    }
}
