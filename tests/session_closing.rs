//! How sessions end: once, in every state, with nothing left behind (D-2, D-4 of docs/BEHAVIOUR.md).

mod support;

use engine_io_native::protocol::PacketType::{Close, Message, Noop, Ping, Pong, Upgrade};
use engine_io_native::session::{Action, Delivery, Fault, Reason, Revision};
use support::session::*;

const FORCED: Action = Action::Closed(Reason::ForcedClose);

// ---- graceful --------------------------------------------------------------------------------

#[test]
fn a_session_on_a_channel_closes_at_once() {
    let mut bench = Bench::channel();
    assert_eq!(bench.close_transport(), [Action::CloseChannel { channel: FIRST }, FORCED]);
}

#[test]
fn a_pending_poll_carries_the_close() {
    let mut bench = Bench::polling();
    bench.poll(1);
    assert_eq!(bench.close_transport(), [answer(1, [bare(Close)]), FORCED]);
}

#[test]
fn without_a_poll_the_close_waits_for_the_next_one() {
    let mut bench = Bench::polling();
    assert_eq!(bench.close_transport(), []);
    assert!(!bench.session.is_closed());
    assert_eq!(bench.poll(1), [answer(1, [bare(Noop), bare(Close)]), FORCED]);
}

#[test]
fn packets_that_wait_go_out_before_the_close() {
    let mut bench = Bench::polling();
    bench.send("a");
    bench.close_transport();
    assert_eq!(bench.poll(1), [answer(1, [message("a"), bare(Close)]), FORCED]);
}

#[test]
fn packets_sent_while_the_close_waits_go_out_before_it() {
    let mut bench = Bench::polling();
    bench.close_transport();
    assert_eq!(bench.send("a"), []);
    assert_eq!(bench.poll(1), [answer(1, [message("a"), bare(Close)]), FORCED]);
}

#[test]
fn a_close_waits_30_seconds_for_the_poll() {
    let mut bench = Bench::polling_v3();
    bench.close_transport();
    assert_eq!(bench.wait(CLOSE_GRACE - 1), []);
    assert_eq!(bench.wait(1), [FORCED]);
}

#[test]
fn a_second_close_does_not_extend_the_wait() {
    let mut bench = Bench::polling_v3();
    bench.close_transport();
    bench.wait(20_000);
    assert_eq!(bench.close_transport(), []);
    assert_eq!(bench.wait(10_000), [FORCED]);
}

#[test]
fn a_ping_timeout_may_end_the_wait() {
    let mut bench = Bench::polling();
    bench.wait(PING_INTERVAL);
    bench.close_transport();
    assert_eq!(bench.wait(PING_TIMEOUT), [Action::Closed(Reason::PingTimeout)]);
}

#[test]
fn discarding_does_not_wait_for_a_poll() {
    let mut bench = Bench::polling();
    assert_eq!(bench.discard(), [FORCED]);
}

#[test]
fn discarding_ends_a_close_that_waits() {
    let mut bench = Bench::polling();
    bench.close_transport();
    assert_eq!(bench.discard(), [FORCED]);
}

#[test]
fn a_close_destroys_the_post_in_progress() {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.begin_post();
    assert_eq!(bench.close_transport(), [Action::AbortPost, answer(1, [bare(Close)]), FORCED]);
}

#[test]
fn a_close_without_a_poll_destroys_the_post_in_progress_and_ends_with_it() {
    let mut bench = Bench::polling();
    bench.begin_post();
    assert_eq!(bench.close_transport(), [Action::AbortPost]);
    let aborted = bench.step(|session, _, out| session.post_aborted(out));
    assert_eq!(aborted, [Action::Closed(Reason::TransportError(Fault::DataAborted))]);
}

#[test]
fn a_close_waits_as_long_as_it_is_told_to() {
    let grace = CLOSE_GRACE + 10_000;
    let mut bench = Bench::polling();
    bench.step(|session, now, out| session.close_transport(now, Some(grace), out));
    assert_eq!(bench.wait(grace - 1), []);
    assert_eq!(bench.wait(1), [FORCED]);
}

#[test]
fn the_client_may_leave_while_the_close_waits() {
    let mut bench = Bench::polling();
    bench.close_transport();
    bench.begin_post();
    assert_eq!(bench.abort_post(), [failed(Fault::DataAborted)]);
}

#[test]
fn a_close_packet_ends_a_close_that_waits() {
    let mut bench = Bench::polling();
    bench.close_transport();
    assert_eq!(bench.post(Close), (Delivery::Drop, vec![Action::Closed(Reason::TransportClose)]));
}

#[test]
fn a_close_packet_ends_a_session_whose_packets_wait() {
    let mut bench = Bench::polling();
    bench.session.begin_close();
    bench.poll(1);
    assert_eq!(
        bench.post(Close),
        (Delivery::Drop, vec![answer(1, [bare(Noop)]), Action::Closed(Reason::TransportClose)])
    );
}

// ---- while closing ---------------------------------------------------------------------------

#[test]
fn nothing_comes_in_while_the_session_closes() {
    for mut bench in [Bench::channel(), Bench::channel_v3()] {
        bench.session.begin_close();
        for kind in [Message, Ping, Pong, Close, Upgrade, Noop] {
            assert_eq!(bench.receive(Some(FIRST), kind), (Delivery::Drop, vec![]));
        }
        assert_eq!(bench.garbage(Some(FIRST)), []);
        assert!(!bench.session.listens_to(Some(FIRST)));
    }
}

#[test]
fn posted_messages_are_dropped_while_the_session_closes() {
    let mut bench = Bench::polling();
    bench.session.begin_close();
    for kind in [Message, Ping, Pong, Upgrade, Noop] {
        assert_eq!(bench.post(kind), (Delivery::Drop, vec![]));
    }
    assert_eq!(bench.garbage(None), []);
}

#[test]
fn packets_still_go_out_while_the_session_closes() {
    let mut bench = Bench::polling();
    bench.session.begin_close();
    bench.poll(1);
    assert_eq!(bench.send("a"), [answer(1, [message("a")])]);
    assert_eq!(bench.close_transport(), []);
    assert_eq!(bench.poll(2), [answer(2, [bare(Noop), bare(Close)]), FORCED]);
}

#[test]
fn the_channel_may_go_while_the_session_closes() {
    let mut bench = Bench::channel();
    bench.session.begin_close();
    assert_eq!(
        bench.channel_closed(FIRST),
        [Action::CloseChannel { channel: FIRST }, Action::Closed(Reason::TransportClose)]
    );
}

#[test]
fn a_client_that_leaves_its_poll_ends_a_closing_session() {
    let mut bench = Bench::polling();
    bench.session.begin_close();
    bench.poll(1);
    assert_eq!(bench.abort_poll(1), [failed(Fault::PollAborted)]);
}

// ---- the peer --------------------------------------------------------------------------------

#[test]
fn a_channel_that_closes_ends_the_session() {
    let mut bench = Bench::channel();
    assert_eq!(
        bench.channel_closed(FIRST),
        [Action::CloseChannel { channel: FIRST }, Action::Closed(Reason::TransportClose)]
    );
}

#[test]
fn a_channel_that_fails_ends_the_session_with_its_fault() {
    let mut bench = Bench::channel();
    let fault = Fault::Frame("RangeError: Invalid WebSocket frame: MASK must be set".into());
    assert_eq!(bench.channel_failed(FIRST, fault.clone()), [Action::CloseChannel { channel: FIRST }, failed(fault)]);
}

#[test]
fn garbage_on_the_channel_ends_the_session() {
    let mut bench = Bench::channel();
    assert_eq!(
        bench.garbage(Some(FIRST)),
        [Action::CloseChannel { channel: FIRST }, Action::Closed(Reason::ParseError)]
    );
}

#[test]
fn a_packet_without_a_known_type_is_only_shown() {
    let mut bench = Bench::channel_v3();
    assert_eq!(bench.receive_any(Some(FIRST), None, false), (Delivery::Packet, vec![]));
}

#[test]
fn another_channel_that_closes_is_nothing() {
    let mut bench = Bench::channel();
    assert_eq!(bench.channel_closed(SECOND), []);
    assert_eq!(Bench::polling().channel_closed(FIRST), []);
}

// ---- once ------------------------------------------------------------------------------------

/// A session in every state and with everything that can be pending.
fn everyone() -> Vec<(&'static str, Bench)> {
    let mut all = vec![
        ("polling", Bench::polling()),
        ("polling, v3", Bench::polling_v3()),
        ("on a channel", Bench::channel()),
        ("on a channel, v3", Bench::channel_v3()),
        ("upgrading", Bench::upgrading()),
        ("probed", Bench::probed()),
        ("upgraded", Bench::upgraded(Revision::V4)),
        ("upgraded, v3", Bench::upgraded(Revision::V3)),
    ];
    let mut add = |name, change: fn(&mut Bench)| {
        let mut bench = Bench::polling();
        change(&mut bench);
        all.push((name, bench));
    };
    add("a poll pending", |bench| drop(bench.poll(1)));
    add("a POST pending", |bench| drop(bench.begin_post()));
    add("packets waiting", |bench| drop(bench.send("a")));
    add("closing", |bench| bench.session.begin_close());
    add("closing, waiting for a poll", |bench| drop(bench.close_transport()));
    add("a ping out", |bench| drop(bench.wait(PING_INTERVAL)));
    all
}

/// Everything that can happen to a session.
fn happen(bench: &mut Bench) -> Vec<Action> {
    let mut all = Vec::new();
    let channels = [None, Some(FIRST), Some(SECOND)];
    for kind in [Message, Ping, Pong, Close, Upgrade, Noop] {
        for channel in channels {
            all.extend(bench.receive(channel, kind).1);
        }
    }
    for channel in channels {
        all.extend(bench.garbage(channel));
    }
    all.extend(bench.channel_closed(FIRST));
    all.extend(bench.channel_failed(SECOND, Fault::Write("gone".into())));
    all.extend(bench.probe(SECOND));
    all.extend(bench.send("late"));
    all.extend(bench.abort_poll(1));
    all.extend(bench.abort_post());
    bench.session.post_finished();
    bench.session.begin_close();
    all.extend(bench.close_transport());
    all.extend(bench.discard());
    for reason in [Reason::ForcedClose, Reason::ParseError, Reason::PingTimeout] {
        all.extend(bench.step(|session, _, out| session.close(reason, out)));
    }
    for later in [0, 1, 100, CLOSE_GRACE, PING_INTERVAL + PING_TIMEOUT] {
        bench.now += later;
        all.extend(bench.step(|session, now, out| session.tick(now, out)));
    }
    all
}

#[test]
fn every_session_ends_exactly_once() {
    for (name, mut bench) in everyone() {
        let closes = happen(&mut bench).into_iter().filter(|action| matches!(action, Action::Closed(_)));
        assert_eq!(closes.count(), 1, "{name}");
        assert!(bench.session.is_closed(), "{name}");
    }
}

#[test]
fn the_end_is_the_last_of_all_actions() {
    for (name, mut bench) in everyone() {
        let actions = happen(&mut bench);
        assert!(matches!(actions.last(), Some(Action::Closed(_))), "{name}: {actions:?}");
    }
}

#[test]
fn nothing_happens_to_a_session_that_has_ended() {
    for (name, mut bench) in everyone() {
        bench.discard();
        assert_eq!(happen(&mut bench), [], "{name}");
    }
}

#[test]
fn a_session_that_has_ended_wants_no_timer() {
    for (name, mut bench) in everyone() {
        assert!(bench.timer().is_some(), "{name}");
        bench.discard();
        assert_eq!(bench.timer(), None, "{name}");
    }
}

#[test]
fn a_session_that_has_ended_listens_to_nobody() {
    for (name, mut bench) in everyone() {
        bench.discard();
        for channel in [None, Some(FIRST), Some(SECOND)] {
            assert!(!bench.session.listens_to(channel), "{name}");
        }
    }
}

#[test]
fn the_first_reason_counts() {
    let mut bench = Bench::channel();
    assert_eq!(bench.garbage(Some(FIRST)).last(), Some(&Action::Closed(Reason::ParseError)));
    assert_eq!(bench.channel_closed(FIRST), []);
    assert_eq!(bench.discard(), []);
}

#[test]
fn each_reason_has_the_words_of_the_original() {
    let words = [
        (Reason::TransportError(Fault::PollOverlap), "transport error"),
        (Reason::TransportClose, "transport close"),
        (Reason::ParseError, "parse error"),
        (Reason::PingTimeout, "ping timeout"),
        (Reason::ForcedClose, "forced close"),
    ];
    for (reason, text) in words {
        assert_eq!(reason.text(), text);
    }
}

#[test]
fn each_fault_has_the_words_of_the_original() {
    let words = [
        (Fault::PollOverlap, "overlap from client"),
        (Fault::DataOverlap, "data request overlap from client"),
        (Fault::PollAborted, "poll connection closed prematurely"),
        (Fault::DataAborted, "data request connection closed prematurely"),
        (Fault::InvalidContent, "invalid content"),
        (Fault::HeartbeatDirection, "invalid heartbeat direction"),
        (Fault::Frame("RangeError: x".into()), "RangeError: x"),
        (Fault::Write("EPIPE".into()), "write error"),
    ];
    for (fault, text) in words {
        assert_eq!(fault.message(), text);
    }
}
