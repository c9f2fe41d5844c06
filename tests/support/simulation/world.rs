//! Many lives, one clock, and the choice of what happens next.

use std::sync::Arc;

use engine_io_native::session::{Millis, Timing};

use super::Count;
use super::life::{Life, Manners, Thread};
use super::rng::Rng;
use super::subject::State;

/// Steps of a world before it is brought to its end.
const STEPS: u64 = 4_000;
/// How much of a life is shown when it fails.
const SHOWN: usize = 60;

pub struct World {
    rng: Rng,
    now: Millis,
    timing: Arc<Timing>,
    manners: Manners,
    lives: Vec<Life>,
    traced: bool,
    /// The life that takes the current step.
    current: usize,
}

impl World {
    pub fn new(mut rng: Rng, lives: usize, manners: Manners, traced: bool) -> Self {
        let timing = Timing::new(rng.within(500, 5_000), rng.within(400, 4_000), rng.within(400, 5_000));
        let mut world = Self { rng, now: 0, timing: Arc::new(timing), manners, lives: Vec::new(), traced, current: 0 };
        for _ in 0..lives {
            let life = world.birth();
            world.lives.push(life);
        }
        world
    }

    pub fn run(&mut self, count: &mut Count) {
        let mut steps = 0;
        while steps < STEPS && !self.rng.has_ended() {
            self.current = self.rng.index(self.lives.len());
            if self.step() {
                steps += 1;
            }
            let life = &mut self.lives[self.current];
            if life.is_over() {
                // what is still on its way to it is of no consequence, and must not be
                steps += late_comers(life);
                life.bury(count);
                count.most_batches = count.most_batches.max(life.owner.most_batches);
                self.lives[self.current] = self.birth();
            }
        }
        for at in 0..self.lives.len() {
            self.current = at;
            let life = &mut self.lives[at];
            life.now = self.now;
            steps += life.settle(&self.timing);
            life.bury(count);
        }
        count.steps += steps;
        count.worlds += 1;
    }

    /// The last lines about the life that failed.
    pub fn trace(&self) -> &[String] {
        let all = self.lives.get(self.current).and_then(|life| life.trace.as_deref()).unwrap_or_default();
        &all[all.len().saturating_sub(SHOWN)..]
    }

    fn birth(&mut self) -> Life {
        Life::new(&mut self.rng, self.now, &self.timing, self.manners, self.traced)
    }

    /// Something happens. False if the dice chose what is not possible now.
    fn step(&mut self) -> bool {
        if self.rng.one_in(250) {
            self.timing.set(self.rng.within(500, 5_000), self.rng.within(400, 4_000), self.rng.within(400, 5_000));
            return true;
        }
        if self.rng.one_in(24) {
            return self.time_passes();
        }
        let (rng, life) = (&mut self.rng, &mut self.lives[self.current]);
        life.now = self.now;
        match rng.below(100) {
            // the client as it should be
            0..10 => life.client_polls(),
            10..13 => life.client_sends(),
            13..19 => life.client_posts(),
            19..24 => life.client_writes(),
            24..26 => life.client_opens_channel(),
            26..34 => life.client_upgrades(),
            94..97 => life.client_beats(),
            // the network
            34..48 => {
                if life.requests.is_empty() {
                    return false;
                }
                let at = rng.index(life.requests.len());
                let request = life.requests.remove(at);
                life.request_arrives(request);
                true
            }
            48..58 => {
                if life.responses.is_empty() {
                    return false;
                }
                let at = rng.index(life.responses.len());
                let (conn, answer) = life.responses.remove(at);
                life.client_answered(conn, answer);
                true
            }
            58..63 => {
                !life.posts.is_empty() && {
                    life.post_completes(self.manners == Manners::Rude && rng.one_in(20));
                    true
                }
            }
            63..65 => life.post_settles(),
            65..72 => {
                !life.channels.is_empty() && {
                    let at = rng.index(life.channels.len());
                    life.frame_arrives(at)
                }
            }
            72..79 => {
                !life.channels.is_empty() && {
                    let at = rng.index(life.channels.len());
                    life.frame_returns(at)
                }
            }
            79..81 => match life.cut.last() {
                Some(conn) => {
                    let conn = *conn;
                    life.notice_cut(conn);
                    true
                }
                None => false,
            },
            // the owner
            81..88 => {
                let mut any = false;
                for _ in 0..rng.within(1, 4) {
                    let Some(event) = life.owner.events.pop_front() else { break };
                    life.owner_hears(event);
                    any = true;
                }
                any
            }
            88..91 => {
                life.owner_may_write();
                true
            }
            91..94 => {
                for _ in 0..rng.within(1, 3) {
                    let quiet = rng.one_in(2);
                    life.app_sends(quiet);
                }
                life.owner.state == State::Open
            }
            97 if rng.one_in(6) => {
                let discard = rng.one_in(3);
                life.note(|_| format!("the application closes, discarding: {discard}"));
                life.app_closes(discard);
                true
            }
            98 if rng.one_in(2) => match rng.below(14) {
                0 => life.client_closes(),
                1 => life.client_goes(),
                2 => life.client_falls_silent(),
                3..7 => life.channel_breaks(rng),
                7 => life.foreign_packet(rng),
                8..10 => life.late_abort(rng),
                _ => false,
            },
            99 if self.manners == Manners::Rude => life.client_misbehaves(rng),
            _ => false,
        }
    }

    /// The clock moves, and timers fire: on time, or late because a thread was busy.
    fn time_passes(&mut self) -> bool {
        let ms = match self.rng.below(100) {
            0..75 => self.rng.within(0, 4),
            75..96 => self.rng.within(5, 40),
            96..99 => self.rng.within(60, 400),
            _ => self.lives[self.current].subject.next_deadline().map_or(0, |at| at.saturating_sub(self.now)),
        };
        let end = self.now + ms;
        let late = self.rng.one_in(5);
        let current = self.current;
        for at in 0..self.lives.len() {
            self.current = at;
            let life = &mut self.lives[at];
            if late && self.rng.one_in(2) {
                // its thread is busy: what comes in now comes before the timer
                continue;
            }
            while let Some(deadline) = life.subject.next_deadline().filter(|deadline| *deadline <= end) {
                life.timer_fires(if late { end } else { deadline.max(self.now) });
            }
            if self.rng.one_in(50) {
                // a timer that had been set for what is no longer due
                life.tick(end);
            }
        }
        self.current = current;
        self.now = end;
        true
    }
}

/// Whatever is still on its way to a session that is over.
fn late_comers(life: &mut Life) -> u64 {
    let mut steps = 1;
    for request in std::mem::take(&mut life.requests) {
        life.request_arrives(request);
        steps += 1;
    }
    while life.post_settles() || !life.posts.is_empty() {
        life.post_completes(false);
        steps += 1;
    }
    for at in 0..life.channels.len() {
        while life.frame_arrives(at) {
            steps += 1;
        }
        let id = life.channels[at].id;
        life.channel_ends(id, true);
    }
    life.tick(life.now + 1);
    let actions = life.subject.send(&[1, 2], true);
    life.carry_out(actions, Thread::Io);
    life.app_closes(true);
    assert!(life.owner.events.iter().all(|event| !matches!(event, super::owner::Event::Closed(_))));
    steps
}
