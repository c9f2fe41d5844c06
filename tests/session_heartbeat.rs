//! Who pings whom, and when silence ends a session (D-3 of docs/BEHAVIOUR.md).

mod support;

use engine_io_native::protocol::PacketType::{self, Message, Noop, Ping, Pong, Upgrade};
use engine_io_native::session::{Action, Delivery, Fault, OutPacket, Reason, Relayed, Revision, Taken};
use support::session::*;

const PINGED: [Action; 1] = [Action::Pinged];

/// A v4 session on a channel that has just been pinged, at 25 s.
fn pinged() -> Bench {
    let mut bench = Bench::channel();
    assert_eq!(bench.wait(PING_INTERVAL), [send(FIRST, [bare(Ping)]), Action::Pinged]);
    bench
}

fn ping_timeout_on(channel: u32) -> [Action; 2] {
    [Action::CloseChannel { channel }, Action::Closed(Reason::PingTimeout)]
}

// ---- protocol 4: the server pings ------------------------------------------------------------

#[test]
fn the_first_ping_of_v4_goes_out_after_the_interval() {
    let mut bench = Bench::channel();
    assert_eq!(bench.wait(PING_INTERVAL - 1), []);
    assert_eq!(bench.wait(1), [send(FIRST, [bare(Ping)]), Action::Pinged]);
}

#[test]
fn the_next_ping_goes_out_an_interval_after_the_pong() {
    let mut bench = pinged();
    bench.wait(7);
    assert_eq!(bench.packet_on(FIRST, Pong), []);
    assert_eq!(bench.wait(PING_INTERVAL - 1), []);
    assert_eq!(bench.wait(1), [send(FIRST, [bare(Ping)]), Action::Pinged]);
}

#[test]
fn a_pong_is_shown_to_those_who_listen() {
    let mut bench = pinged();
    assert_eq!(bench.receive(Some(FIRST), Pong), (Delivery::Packet, vec![]));
}

#[test]
fn a_v4_client_that_does_not_answer_is_gone_after_the_timeout() {
    let mut bench = pinged();
    assert_eq!(bench.wait(PING_TIMEOUT - 1), []);
    assert_eq!(bench.wait(1), ping_timeout_on(FIRST));
}

#[test]
fn a_pong_at_the_last_moment_counts() {
    let mut bench = pinged();
    bench.wait(PING_TIMEOUT - 1);
    bench.packet_on(FIRST, Pong);
    assert_eq!(bench.wait(PING_INTERVAL - 1), []);
}

#[test]
fn a_packet_while_the_pong_is_awaited_restarts_the_timeout() {
    let mut bench = pinged();
    bench.wait(5_000);
    bench.packet_on(FIRST, Message);
    assert_eq!(bench.wait(PING_TIMEOUT - 1), []);
    assert_eq!(bench.wait(1), ping_timeout_on(FIRST));
}

#[test]
fn the_timeout_is_restarted_once_per_ping() {
    let mut bench = pinged();
    bench.wait(5_000);
    bench.packet_on(FIRST, Message);
    bench.wait(5_000);
    bench.packet_on(FIRST, Message);
    assert_eq!(bench.wait(PING_TIMEOUT - 5_000), ping_timeout_on(FIRST));
}

#[test]
fn the_next_ping_may_be_extended_again() {
    let mut bench = pinged();
    bench.packet_on(FIRST, Message);
    bench.packet_on(FIRST, Pong);
    bench.wait(PING_INTERVAL);
    bench.wait(5_000);
    bench.packet_on(FIRST, Message);
    assert_eq!(bench.wait(PING_TIMEOUT - 1), []);
}

#[test]
fn a_noop_counts_as_a_sign_of_life() {
    let mut bench = pinged();
    bench.wait(1_000);
    bench.packet_on(FIRST, Noop);
    assert_eq!(bench.wait(PING_TIMEOUT - 1), []);
}

#[test]
fn packets_before_the_ping_do_not_move_it() {
    let mut bench = Bench::channel();
    bench.wait(10_000);
    bench.packet_on(FIRST, Message);
    assert_eq!(bench.timer(), Some(PING_INTERVAL - 10_000));
}

#[test]
fn a_pong_nobody_asked_for_restarts_the_interval() {
    let mut bench = Bench::channel();
    bench.wait(PING_INTERVAL - 1);
    bench.packet_on(FIRST, Pong);
    assert_eq!(bench.wait(PING_INTERVAL - 1), []);
    assert_eq!(bench.wait(1), [send(FIRST, [bare(Ping)]), Action::Pinged]);
}

#[test]
fn a_pong_that_came_by_post_counts() {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.wait(PING_INTERVAL);
    assert_eq!(bench.post(Pong), (Delivery::Packet, vec![]));
    assert_eq!(bench.timer(), Some(PING_INTERVAL));
}

#[test]
fn a_ping_from_a_v4_client_ends_the_session() {
    let mut bench = Bench::channel();
    assert_eq!(
        bench.packet_on(FIRST, Ping),
        [Action::CloseChannel { channel: FIRST }, failed(Fault::HeartbeatDirection)]
    );
}

#[test]
fn the_fault_of_a_wrong_heartbeat_is_no_transport_error() {
    assert!(!Fault::HeartbeatDirection.is_transport_error());
    assert_eq!(Fault::HeartbeatDirection.message(), "invalid heartbeat direction");
}

// ---- protocol 4 over polls -------------------------------------------------------------------

#[test]
fn a_ping_answers_the_pending_poll() {
    let mut bench = Bench::polling();
    bench.poll(1);
    assert_eq!(bench.wait(PING_INTERVAL), [compressible(1, [bare(Ping)]), Action::Pinged]);
}

#[test]
fn a_ping_without_a_poll_waits_for_the_next_one() {
    let mut bench = Bench::polling();
    assert_eq!(bench.wait(PING_INTERVAL), PINGED);
    assert_eq!(bench.poll(1), [answer(1, [bare(Ping)])]);
}

#[test]
fn the_timeout_runs_while_the_ping_waits_for_a_poll() {
    let mut bench = Bench::polling();
    assert_eq!(bench.wait(PING_INTERVAL), PINGED);
    assert_eq!(bench.wait(PING_TIMEOUT), [Action::Closed(Reason::PingTimeout)]);
}

#[test]
fn a_waiting_ping_joins_the_packets_that_the_owner_announces() {
    let mut bench = Bench::polling();
    bench.wait(PING_INTERVAL);
    assert_eq!(bench.poll_with_more(1), []);
    assert_eq!(bench.send("a"), [answer(1, [bare(Ping), message("a")])]);
}

#[test]
fn a_waiting_ping_goes_out_alone_if_the_announced_packets_do_not_come() {
    let mut bench = Bench::polling();
    bench.wait(PING_INTERVAL);
    bench.poll_with_more(1);
    assert_eq!(bench.send_all(vec![], false), [answer(1, [bare(Ping)])]);
}

#[test]
fn a_poll_stays_pending_if_nothing_waits_and_nothing_comes() {
    let mut bench = Bench::polling();
    bench.poll_with_more(1);
    assert_eq!(bench.send_all(vec![], false), []);
    assert_eq!(bench.send("a"), [answer(1, [message("a")])]);
}

#[test]
fn only_the_last_heartbeat_waits_for_a_poll() {
    let mut bench = Bench::polling();
    for _ in 0..100 {
        bench.wait(PING_INTERVAL);
        bench.post(Pong);
    }
    assert_eq!(bench.poll(1), [answer(1, [bare(Ping)])]);
    assert_eq!(bench.poll(2), []);
}

#[test]
fn a_pending_poll_hears_of_the_ping_timeout() {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.wait(PING_INTERVAL);
    bench.poll(2);
    assert_eq!(bench.wait(PING_TIMEOUT), [answer(2, [bare(PacketType::Close)]), Action::Closed(Reason::PingTimeout)]);
}

// ---- protocol 3: the client pings ------------------------------------------------------------

#[test]
fn a_v3_session_is_never_pinged() {
    let mut bench = Bench::channel_v3();
    assert_eq!(bench.wait(PING_INTERVAL + PING_TIMEOUT - 1), []);
}

#[test]
fn a_v3_client_that_does_not_ping_is_gone_after_interval_and_timeout() {
    let mut bench = Bench::channel_v3();
    assert_eq!(bench.wait(PING_INTERVAL + PING_TIMEOUT), ping_timeout_on(FIRST));
}

#[test]
fn a_v3_ping_is_answered_at_once() {
    let mut bench = Bench::channel_v3();
    assert_eq!(bench.receive(Some(FIRST), Ping), (Delivery::Packet, vec![send(FIRST, [bare(Pong)])]));
}

#[test]
fn the_data_of_a_v3_ping_are_not_echoed() {
    let mut bench = Bench::channel_v3();
    assert_eq!(bench.receive_any(Some(FIRST), Some(Ping), true).1, [send(FIRST, [bare(Pong)])]);
}

#[test]
fn each_v3_ping_gives_the_client_its_full_time() {
    let mut bench = Bench::channel_v3();
    bench.wait(PING_INTERVAL);
    bench.packet_on(FIRST, Ping);
    assert_eq!(bench.wait(PING_INTERVAL + PING_TIMEOUT - 1), []);
    assert_eq!(bench.wait(1), ping_timeout_on(FIRST));
}

#[test]
fn other_packets_of_a_v3_client_do_not_count() {
    let mut bench = Bench::channel_v3();
    bench.wait(PING_INTERVAL);
    bench.packet_on(FIRST, Message);
    bench.packet_on(FIRST, Noop);
    assert_eq!(bench.wait(PING_TIMEOUT), ping_timeout_on(FIRST));
}

#[test]
fn a_pong_from_a_v3_client_ends_the_session() {
    let mut bench = Bench::channel_v3();
    assert_eq!(
        bench.packet_on(FIRST, Pong),
        [Action::CloseChannel { channel: FIRST }, failed(Fault::HeartbeatDirection)]
    );
}

#[test]
fn the_pong_to_a_posted_ping_goes_out_with_the_pending_poll() {
    let mut bench = Bench::polling_v3();
    bench.poll(1);
    assert_eq!(bench.post(Ping), (Delivery::Packet, vec![compressible(1, [bare(Pong)])]));
}

#[test]
fn the_pong_to_a_posted_ping_waits_for_the_next_poll() {
    let mut bench = Bench::polling_v3();
    assert_eq!(bench.post(Ping), (Delivery::Packet, vec![]));
    assert_eq!(bench.poll(1), [answer(1, [bare(Pong)])]);
}

#[test]
fn a_flood_of_v3_pings_without_polls_is_answered_by_one_pong() {
    let mut bench = Bench::polling_v3();
    for _ in 0..10_000 {
        assert_eq!(bench.post(Ping).1, []);
    }
    assert_eq!(bench.poll(1), [answer(1, [bare(Pong)])]);
}

// ---- closing, upgrades, changed options ------------------------------------------------------

#[test]
fn a_closing_session_is_not_pinged() {
    let mut bench = Bench::channel();
    bench.session.begin_close();
    assert_eq!(bench.wait(PING_INTERVAL), []);
}

#[test]
fn a_closing_v4_session_can_still_be_pinged_out() {
    let mut bench = Bench::channel();
    bench.session.begin_close();
    assert_eq!(bench.wait(PING_INTERVAL + PING_TIMEOUT), ping_timeout_on(FIRST));
}

#[test]
fn a_closing_v3_session_can_still_be_pinged_out() {
    let mut bench = Bench::channel_v3();
    bench.wait(1_000);
    bench.session.begin_close();
    bench.packet_on(FIRST, Ping);
    assert_eq!(bench.wait(PING_INTERVAL + PING_TIMEOUT - 1_000), ping_timeout_on(FIRST));
}

#[test]
fn an_outstanding_ping_stays_supervised_across_an_upgrade() {
    let mut bench = Bench::upgrading();
    bench.poll(1);
    bench.timing.set(2_000, 3_000, UPGRADE_TIMEOUT);
    // the change acts from the next deadline on
    bench.wait(UPGRADE_TIMEOUT - 1);
    bench.channel_closed(SECOND);
    bench.wait(PING_INTERVAL - bench.now);
    assert!(bench.start_upgrade(SECOND));
    bench.wait(1_000);
    bench.packet_on(SECOND, Upgrade);
    assert_eq!(bench.wait(2_999), []);
    assert_eq!(bench.wait(1), ping_timeout_on(SECOND));
}

#[test]
fn a_v3_client_is_supervised_after_an_upgrade() {
    let mut bench = Bench::upgraded(Revision::V3);
    assert_eq!(bench.wait(PING_INTERVAL + PING_TIMEOUT - 1), []);
    assert_eq!(bench.wait(1), ping_timeout_on(SECOND));
}

#[test]
fn an_upgrade_does_not_put_the_next_ping_off() {
    let mut bench = Bench::polling();
    bench.wait(20_000);
    assert!(bench.start_upgrade(SECOND));
    bench.packet_on(SECOND, Upgrade);
    assert_eq!(bench.wait(PING_INTERVAL - 20_000), [send(SECOND, [bare(Ping)]), Action::Pinged]);
}

#[test]
fn a_pong_on_a_channel_under_probe_is_no_heartbeat() {
    let mut bench = Bench::polling();
    bench.wait(PING_INTERVAL);
    assert!(bench.start_upgrade(SECOND));
    bench.packet_on(SECOND, Pong);
    assert_eq!(bench.wait(PING_TIMEOUT), [Action::Closed(Reason::PingTimeout)]);
}

#[test]
fn a_changed_interval_acts_from_the_next_ping_on() {
    let mut bench = Bench::channel();
    bench.timing.set(1_000, PING_TIMEOUT, UPGRADE_TIMEOUT);
    assert_eq!(bench.wait(PING_INTERVAL - 1), []);
    bench.wait(1);
    bench.packet_on(FIRST, Pong);
    assert_eq!(bench.timer(), Some(1_000));
}

#[test]
fn a_timer_that_fires_early_does_nothing() {
    let mut bench = Bench::channel();
    bench.wait(1);
    assert_eq!(bench.step(|session, now, out| session.tick(now, out)), []);
    assert_eq!(bench.timer(), Some(PING_INTERVAL - 1));
}

#[test]
fn a_timer_that_fires_late_gives_the_client_its_full_time() {
    let mut bench = Bench::channel();
    bench.now = 10 * PING_INTERVAL;
    assert_eq!(bench.step(|session, now, out| session.tick(now, out)), [send(FIRST, [bare(Ping)]), Action::Pinged]);
    assert_eq!(bench.timer(), Some(PING_TIMEOUT));
}

// ---- peers that could not be heard -----------------------------------------------------------

#[test]
fn a_pong_that_is_read_after_its_deadline_but_before_the_tick_counts() {
    let mut bench = pinged();
    bench.now += PING_TIMEOUT + 5;
    assert!(bench.session.is_overdue(bench.now));
    assert_eq!(bench.packet_on(FIRST, Pong), []);
    assert_eq!(bench.step(|session, now, out| session.tick(now, out)), []);
}

#[test]
fn a_late_pong_does_not_put_the_next_ping_off() {
    let mut bench = pinged();
    bench.now += PING_TIMEOUT + 1_000;
    bench.packet_on(FIRST, Pong);
    // an interval after the last ping, from which the client counts
    assert_eq!(bench.timer(), Some(PING_INTERVAL - PING_TIMEOUT - 1_000));
}

#[test]
fn a_pong_that_is_read_later_than_the_next_ping_was_due_brings_it_at_once() {
    let mut bench = pinged();
    bench.now += PING_INTERVAL + 1_000;
    bench.packet_on(FIRST, Pong);
    assert_eq!(bench.wait(0), [send(FIRST, [bare(Ping)]), Action::Pinged]);
}

#[test]
fn only_a_heartbeat_that_is_awaited_can_be_overdue() {
    let mut bench = Bench::channel();
    assert!(!bench.session.is_overdue(10 * PING_INTERVAL));
    bench.wait(PING_INTERVAL);
    assert!(!bench.session.is_overdue(bench.now + PING_TIMEOUT - 1));
    assert!(bench.session.is_overdue(bench.now + PING_TIMEOUT));
    bench.discard();
    assert!(!bench.session.is_overdue(bench.now + PING_TIMEOUT));
}

#[test]
fn an_excused_v4_peer_is_pinged_again() {
    let mut bench = pinged();
    bench.now += PING_TIMEOUT;
    let now = bench.now;
    bench.session.excuse(now);
    assert_eq!(bench.wait(PING_INTERVAL - PING_TIMEOUT), [send(FIRST, [bare(Ping)]), Action::Pinged]);
    assert_eq!(bench.wait(PING_TIMEOUT), ping_timeout_on(FIRST));
}

#[test]
fn the_pong_of_an_excused_peer_does_not_put_the_next_ping_off() {
    let mut bench = pinged();
    bench.now += PING_TIMEOUT;
    let now = bench.now;
    bench.session.excuse(now);
    bench.wait(1_000);
    bench.packet_on(FIRST, Pong);
    assert_eq!(bench.timer(), Some(PING_INTERVAL - PING_TIMEOUT - 1_000));
}

#[test]
fn an_excused_v3_peer_has_the_timeout_once_more() {
    let mut bench = Bench::channel_v3();
    bench.now = PING_INTERVAL + PING_TIMEOUT + 7;
    let now = bench.now;
    bench.session.excuse(now);
    assert_eq!(bench.timer(), Some(PING_TIMEOUT));
    assert_eq!(bench.wait(PING_TIMEOUT), ping_timeout_on(FIRST));
}

#[test]
fn an_excuse_never_shortens_a_v3_peers_time() {
    let mut bench = Bench::channel_v3();
    bench.wait(1_000);
    let now = bench.now;
    bench.session.excuse(now);
    assert_eq!(bench.timer(), Some(PING_INTERVAL + PING_TIMEOUT - 1_000));
}

#[test]
fn an_excuse_before_the_ping_changes_nothing() {
    let mut bench = Bench::channel();
    bench.wait(1_000);
    let now = bench.now;
    bench.session.excuse(now);
    assert_eq!(bench.timer(), Some(PING_INTERVAL - 1_000));
}

#[test]
fn a_driver_that_comes_a_little_late_excuses_nobody() {
    let mut bench = pinged();
    bench.now += PING_TIMEOUT + PING_TIMEOUT / 4;
    let now = bench.now;
    bench.session.excuse_if_late(now);
    assert_eq!(bench.step(|session, now, out| session.tick(now, out)), ping_timeout_on(FIRST));
}

#[test]
fn a_driver_that_comes_very_late_gives_the_peer_another_ping() {
    let mut bench = pinged();
    bench.now += PING_TIMEOUT + PING_TIMEOUT / 4 + 1;
    let now = bench.now;
    bench.session.excuse_if_late(now);
    assert_eq!(bench.step(|session, now, out| session.tick(now, out)), [send(FIRST, [bare(Ping)]), Action::Pinged]);
}

#[test]
fn a_session_that_has_ended_is_not_brought_back_by_an_excuse() {
    let mut bench = pinged();
    bench.discard();
    bench.now += 10 * PING_INTERVAL;
    let now = bench.now;
    bench.session.excuse(now);
    bench.session.excuse_if_late(now);
    assert_eq!(bench.timer(), None);
}

// ---- heartbeats that the owner sends ---------------------------------------------------------

#[test]
fn heartbeats_are_told_and_not_sent_where_the_owner_sends_them() {
    let mut channel = Bench::channel();
    channel.step(|session, _, _| session.set_relayed(Relayed::Everything));
    assert_eq!(channel.wait(PING_INTERVAL), [Action::Relay { kind: Ping }]);
    for (mut bench, kind) in [(Bench::polling(), Ping), (Bench::polling_v3(), Pong)] {
        bench.step(|session, _, _| session.set_relayed(Relayed::Everything));
        let told = if kind == Ping { bench.wait(PING_INTERVAL) } else { bench.post(Ping).1 };
        assert_eq!(told.first(), Some(&Action::Relay { kind }));
        assert_eq!(bench.poll(1), [], "nothing waits for a poll");
    }
}

#[test]
fn a_busy_owner_that_sends_the_heartbeats_to_polling_clients_is_not_waited_for() {
    let mut bench = Bench::polling();
    bench.step(|session, _, _| session.set_relayed(Relayed::Polls));
    assert!(bench.session.may_tick_alone());
    assert_eq!(bench.session.patience(), PING_TIMEOUT / 4);
    bench.poll(1);
    bench.now += PING_INTERVAL;
    let sent = bench.step(|session, now, out| session.tick_alone(now, out));
    assert!(sent.iter().any(|action| matches!(action, Action::AnswerPoll { poll: 1, .. })), "{sent:?}");
    // silence ends nothing while the owner may have unread packets
    bench.now += PING_TIMEOUT + 1;
    let late = bench.step(|session, now, out| session.tick_alone(now, out));
    assert!(!late.iter().any(|action| matches!(action, Action::Closed { .. })), "{late:?}");
    bench.step(|session, _, _| session.set_relayed(Relayed::Everything));
    assert!(!bench.session.may_tick_alone(), "a replaced method sees every heartbeat");
}

#[test]
fn from_the_upgrade_on_heartbeats_are_sent_where_the_owner_sends_only_those_to_polling_clients() {
    let mut bench = Bench::probed();
    bench.step(|session, _, _| session.set_relayed(Relayed::Polls));
    bench.packet_on(SECOND, Upgrade);
    assert_eq!(bench.wait(PING_INTERVAL), [send(SECOND, [OutPacket::bare(Ping)]), Action::Pinged]);
    let mut bench = Bench::probed();
    bench.step(|session, _, _| session.set_relayed(Relayed::Everything));
    bench.packet_on(SECOND, Upgrade);
    assert_eq!(bench.wait(PING_INTERVAL), [Action::Relay { kind: Ping }]);
}

#[test]
fn what_ends_a_poll_during_an_upgrade_is_told_where_the_owner_sends_it() {
    let mut bench = Bench::probed();
    bench.step(|session, _, _| session.set_relayed(Relayed::Everything));
    assert_eq!(bench.wait(100), [Action::Relay { kind: Noop }]);
}

// ---- a heartbeat that its owner takes over ------------------------------------------------------

#[test]
fn an_owner_that_takes_a_heartbeat_over_learns_how_far_it_is() {
    let mut bench = Bench::channel();
    bench.wait(5_000);
    let rest = Taken { left: PING_INTERVAL - 5_000, is_waiting: false, is_extended: false };
    assert_eq!(bench.session.take_heartbeat(bench.now), Some(rest));
    assert_eq!(bench.session.take_heartbeat(bench.now), None);

    let mut bench = pinged();
    bench.wait(1_000);
    let waiting = Taken { left: PING_TIMEOUT - 1_000, is_waiting: true, is_extended: false };
    assert_eq!(bench.session.take_heartbeat(bench.now), Some(waiting));

    let mut bench = pinged();
    bench.packet_on(FIRST, Message);
    let extended = Taken { left: PING_TIMEOUT, is_waiting: true, is_extended: true };
    assert_eq!(bench.session.take_heartbeat(bench.now), Some(extended));

    let mut bench = Bench::channel_v3();
    let listening = Taken { left: PING_INTERVAL + PING_TIMEOUT, is_waiting: true, is_extended: false };
    assert_eq!(bench.session.take_heartbeat(bench.now), Some(listening));
}

#[test]
fn nothing_is_due_once_the_owner_has_taken_the_heartbeat_over() {
    for mut bench in [pinged(), Bench::channel_v3()] {
        bench.session.take_heartbeat(bench.now);
        assert_eq!(bench.timer(), None);
        assert_eq!(bench.wait(10 * (PING_INTERVAL + PING_TIMEOUT)), []);
        assert!(!bench.session.is_overdue(bench.now));
        bench.session.excuse(bench.now);
        bench.session.excuse_if_late(bench.now);
        bench.packet_on(FIRST, Message);
        assert_eq!(bench.timer(), None);
    }
}

#[test]
fn heartbeats_in_the_wrong_direction_end_a_session_whoever_sees_to_its_own() {
    let mut bench = Bench::channel();
    bench.session.take_heartbeat(bench.now);
    assert_eq!(bench.packet_on(FIRST, Pong), []);
    let ended = [Action::CloseChannel { channel: FIRST }, failed(Fault::HeartbeatDirection)];
    assert_eq!(bench.packet_on(FIRST, Ping), ended);
    let mut bench = Bench::channel_v3();
    bench.session.take_heartbeat(bench.now);
    assert_eq!(bench.packet_on(FIRST, Ping), [send(FIRST, [bare(Pong)])]);
    assert_eq!(bench.timer(), None);
}

#[test]
fn an_upgrade_of_a_session_with_such_a_heartbeat_has_its_timer() {
    let mut bench = Bench::upgrading();
    bench.session.take_heartbeat(bench.now);
    assert_eq!(bench.timer(), Some(UPGRADE_TIMEOUT));
    bench.packet_on(SECOND, Upgrade);
    assert_eq!(bench.timer(), None);
}
