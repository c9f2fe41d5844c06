//! What a driver tells the machine that could not hear the peer: a blocked event loop is no peer's fault.

mod support;

use engine_io_native::protocol::PacketType::{Message, Ping, Pong};
use engine_io_native::session::{Action, Reason};
use support::session::*;

fn pinged() -> Bench {
    let mut bench = Bench::channel();
    bench.wait(PING_INTERVAL);
    bench
}

/// The driver was kept from its work for so many ms, then looks at the clock.
fn look_after(bench: &mut Bench, ms: u64) -> Vec<Action> {
    bench.now += ms;
    bench.step(|session, now, out| {
        session.excuse_if_late(now);
        session.tick(now, out);
    })
}

#[test]
fn a_driver_that_is_in_time_excuses_nobody() {
    let mut bench = pinged();
    let over = look_after(&mut bench, PING_TIMEOUT);
    assert_eq!(over, [Action::CloseChannel { channel: FIRST }, Action::Closed(Reason::PingTimeout)]);
}

#[test]
fn a_driver_that_is_late_by_up_to_a_quarter_of_the_timeout_excuses_nobody() {
    let mut bench = pinged();
    let over = look_after(&mut bench, PING_TIMEOUT + PING_TIMEOUT / 4);
    assert_eq!(over.last(), Some(&Action::Closed(Reason::PingTimeout)));
}

#[test]
fn a_driver_that_is_late_asks_the_peer_once_more() {
    let mut bench = pinged();
    assert_eq!(look_after(&mut bench, 3 * PING_TIMEOUT), [send(FIRST, [bare(Ping)]), Action::Pinged]);
    assert_eq!(bench.timer(), Some(PING_TIMEOUT));
}

#[test]
fn a_peer_that_is_silent_after_its_excuse_is_gone() {
    let mut bench = pinged();
    look_after(&mut bench, 3 * PING_TIMEOUT);
    assert_eq!(bench.wait(PING_TIMEOUT - 1), []);
    assert_eq!(bench.wait(1).last(), Some(&Action::Closed(Reason::PingTimeout)));
}

#[test]
fn the_next_ping_after_an_excuse_comes_when_the_peer_expects_it() {
    let late = PING_TIMEOUT + PING_TIMEOUT / 4 + 1;
    let excused = || {
        let mut bench = pinged();
        bench.timing.set(4 * PING_INTERVAL, PING_TIMEOUT, UPGRADE_TIMEOUT);
        assert_eq!(look_after(&mut bench, late), []);
        assert_eq!(bench.timer(), Some(4 * PING_INTERVAL - late));
        bench
    };
    let mut bench = excused();
    assert_eq!(bench.wait(4 * PING_INTERVAL - late), [send(FIRST, [bare(Ping)]), Action::Pinged]);

    // a pong that is read only now does not put it off, a second one does
    let mut bench = excused();
    bench.packet_on(FIRST, Pong);
    assert_eq!(bench.timer(), Some(4 * PING_INTERVAL - late));
    bench.packet_on(FIRST, Pong);
    assert_eq!(bench.timer(), Some(4 * PING_INTERVAL));
}

#[test]
fn a_driver_that_comes_late_to_a_ping_sends_it_and_waits_for_the_full_time() {
    let mut bench = Bench::polling();
    bench.poll(1);
    let sent = look_after(&mut bench, PING_INTERVAL + 3 * PING_TIMEOUT);
    assert_eq!(sent, [compressible(1, [bare(Ping)]), Action::Pinged]);
    assert_eq!(bench.timer(), Some(PING_TIMEOUT));
}

#[test]
fn a_v3_client_is_excused_too() {
    let mut bench = Bench::channel_v3();
    assert_eq!(look_after(&mut bench, PING_INTERVAL + 3 * PING_TIMEOUT), []);
    assert_eq!(bench.timer(), Some(PING_TIMEOUT));
    bench.packet_on(FIRST, Ping);
    assert_eq!(bench.timer(), Some(PING_INTERVAL + PING_TIMEOUT));
}

// ---- polls at the deadline and later ---------------------------------------------------------

/// A session that polls, with an answer to its ping outstanding.
fn pinged_by_poll() -> Bench {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.wait(PING_INTERVAL);
    bench
}

fn is_too_late(bench: &Bench) -> bool {
    bench.session.is_past_deadline(bench.now)
}

#[test]
fn a_poll_is_too_late_from_the_deadline_on() {
    let mut bench = pinged_by_poll();
    bench.now += PING_TIMEOUT - 1;
    assert!(!is_too_late(&bench));
    bench.now += 1;
    assert!(is_too_late(&bench));
    let over = bench.step(|session, now, out| session.end_past_deadline(now, out));
    assert_eq!(over, [Action::Closed(Reason::PingTimeout)]);
    assert!(!is_too_late(&bench), "it is over");
}

#[test]
fn an_excuse_is_not_for_polls() {
    let mut bench = pinged_by_poll();
    look_after(&mut bench, 3 * PING_TIMEOUT);
    assert!(is_too_late(&bench), "pinged once more, it has still not answered");
    bench.post(Pong);
    assert!(!is_too_late(&bench));
}

#[test]
fn a_packet_that_is_read_late_lets_polls_come() {
    let mut bench = pinged_by_poll();
    bench.timing.set(PING_INTERVAL, PING_TIMEOUT, UPGRADE_TIMEOUT);
    bench.now += PING_TIMEOUT;
    assert!(is_too_late(&bench));
    bench.post(Message);
    assert!(!is_too_late(&bench));
}

#[test]
fn a_poll_before_the_ping_is_in_time_however_late_the_ping_is() {
    let mut bench = Bench::polling();
    bench.now += PING_INTERVAL + 3 * PING_TIMEOUT;
    assert!(!is_too_late(&bench));
}

#[test]
fn a_v3_client_that_polls_past_its_deadline_is_too_late() {
    let mut bench = Bench::polling_v3();
    bench.now += PING_INTERVAL + PING_TIMEOUT;
    assert!(is_too_late(&bench));
    bench.post(Ping);
    assert!(!is_too_late(&bench));
    look_after(&mut bench, PING_INTERVAL + 3 * PING_TIMEOUT);
    assert!(is_too_late(&bench));
}

#[test]
fn a_pong_that_is_read_before_the_clock_is_looked_at_does_not_put_the_next_ping_off() {
    let mut bench = pinged();
    bench.timing.set(2 * PING_INTERVAL, PING_TIMEOUT, UPGRADE_TIMEOUT);
    bench.now += PING_TIMEOUT + 1;
    bench.packet_on(FIRST, Pong);
    assert_eq!(bench.timer(), Some(2 * PING_INTERVAL - PING_TIMEOUT - 1));
}
