//! From polling to a channel: nothing is lost, doubled or reordered (D-6, G-93 to G-104 of docs/BEHAVIOUR.md).

mod support;

use engine_io_native::protocol::PacketType::{Close, Message, Noop, Open, Ping, Pong, Upgrade};
use engine_io_native::session::{Action, Delivery, Fault, ProbeEnd, Reason, Revision};
use support::session::*;

const UPGRADING: Action = Action::Upgrading { channel: SECOND };
const UPGRADED: Action = Action::Upgraded { channel: SECOND };
const GIVEN_UP: [Action; 2] =
    [Action::CloseChannel { channel: SECOND }, Action::UpgradeFailed { channel: SECOND, end: ProbeEnd::GivenUp }];
const ENDED: [Action; 2] =
    [Action::CloseChannel { channel: SECOND }, Action::UpgradeFailed { channel: SECOND, end: ProbeEnd::SessionEnded }];

/// Whether a message by POST still reaches the application.
fn is_polling(bench: &mut Bench) -> bool {
    bench.receive(None, Message).0 == Delivery::Message
}

// ---- the probe -------------------------------------------------------------------------------

#[test]
fn a_probe_is_answered_on_the_channel() {
    let mut bench = Bench::upgrading();
    assert_eq!(bench.probe(SECOND), [send(SECOND, [probe_answer()]), UPGRADING]);
}

#[test]
fn a_probe_is_not_for_the_application() {
    let mut bench = Bench::upgrading();
    assert_eq!(bench.receive_any(Some(SECOND), Some(Ping), true).0, Delivery::Drop);
}

#[test]
fn a_repeated_probe_is_answered_again() {
    let mut bench = Bench::probed();
    assert_eq!(bench.probe(SECOND), [send(SECOND, [probe_answer()]), UPGRADING]);
}

#[test]
fn a_v3_session_is_probed_in_the_same_way() {
    let mut bench = Bench::polling_v3();
    assert!(bench.start_upgrade(SECOND));
    assert_eq!(bench.probe(SECOND), [send(SECOND, [probe_answer()]), UPGRADING]);
    assert_eq!(bench.packet_on(SECOND, Upgrade), [UPGRADED]);
}

#[test]
fn the_session_stays_on_polling_until_the_upgrade_packet() {
    let mut bench = Bench::probed();
    bench.poll(1);
    assert_eq!(bench.send("a"), [answer(1, [message("a")])]);
    assert!(is_polling(&mut bench));
}

// ---- noops -----------------------------------------------------------------------------------

#[test]
fn a_pending_poll_is_released_100_ms_after_the_probe() {
    let mut bench = Bench::probed();
    bench.poll(1);
    assert_eq!(bench.wait(99), []);
    assert_eq!(bench.wait(1), [answer(1, [bare(Noop)])]);
}

#[test]
fn each_further_poll_is_released_at_the_next_beat_of_100_ms() {
    let mut bench = Bench::probed();
    bench.poll(1);
    bench.wait(130);
    bench.poll(2);
    assert_eq!(bench.wait(69), []);
    assert_eq!(bench.wait(1), [answer(2, [bare(Noop)])]);
}

#[test]
fn without_a_poll_there_is_nothing_to_release() {
    let mut bench = Bench::probed();
    assert_eq!(bench.wait(1_000), []);
    assert_eq!(bench.poll(1), []);
}

#[test]
fn a_repeated_probe_restarts_the_100_ms() {
    let mut bench = Bench::probed();
    bench.poll(1);
    bench.wait(60);
    bench.probe(SECOND);
    assert_eq!(bench.wait(99), []);
    assert_eq!(bench.wait(1), [answer(1, [bare(Noop)])]);
}

#[test]
fn before_the_probe_polls_are_left_alone() {
    let mut bench = Bench::upgrading();
    bench.poll(1);
    assert_eq!(bench.wait(UPGRADE_TIMEOUT - 1), []);
}

#[test]
fn noops_end_with_the_upgrade() {
    let mut bench = Bench::probed();
    bench.packet_on(SECOND, Upgrade);
    assert_eq!(bench.wait(PING_INTERVAL - 1), []);
    assert_eq!(bench.timer(), Some(1));
}

#[test]
fn a_noop_takes_a_waiting_heartbeat_along() {
    let mut bench = Bench::polling();
    bench.wait(PING_INTERVAL);
    bench.start_upgrade(SECOND);
    bench.probe(SECOND);
    bench.poll_with_more(1);
    assert_eq!(bench.wait(100), [answer(1, [bare(Ping), bare(Noop)])]);
}

#[test]
fn packets_for_a_poll_that_a_noop_used_up_are_not_lost() {
    let mut bench = Bench::probed();
    bench.poll(1);
    bench.wait(100);
    // the owner has not heard of the noop yet
    assert_eq!(bench.send("a"), []);
    assert_eq!(bench.packet_on(SECOND, Upgrade), [send(SECOND, [message("a")]), UPGRADED]);
}

// ---- the upgrade packet ----------------------------------------------------------------------

#[test]
fn the_upgrade_packet_moves_the_session() {
    let mut bench = Bench::probed();
    assert_eq!(bench.packet_on(SECOND, Upgrade), [UPGRADED]);
    assert_eq!(bench.send("a"), [send(SECOND, [message("a")])]);
    assert_eq!(bench.receive(Some(SECOND), Message), (Delivery::Message, vec![]));
}

#[test]
fn no_probe_is_needed() {
    let mut bench = Bench::upgrading();
    assert_eq!(bench.packet_on(SECOND, Upgrade), [UPGRADED]);
}

#[test]
fn a_pending_poll_is_closed_by_the_upgrade() {
    let mut bench = Bench::probed();
    bench.poll(1);
    assert_eq!(bench.packet_on(SECOND, Upgrade), [answer(1, [bare(Close)]), UPGRADED]);
}

#[test]
fn a_post_in_progress_is_destroyed_by_the_upgrade() {
    let mut bench = Bench::probed();
    bench.begin_post();
    assert_eq!(bench.packet_on(SECOND, Upgrade), [Action::AbortPost, UPGRADED]);
}

#[test]
fn packets_and_a_heartbeat_that_wait_for_a_poll_move_along_in_order() {
    let mut bench = Bench::polling();
    bench.send("a");
    bench.send("b");
    bench.wait(PING_INTERVAL);
    bench.start_upgrade(SECOND);
    assert_eq!(bench.packet_on(SECOND, Upgrade), [send(SECOND, [message("a"), message("b"), bare(Ping)]), UPGRADED]);
    assert_eq!(bench.send("c"), [send(SECOND, [message("c")])]);
}

#[test]
fn an_announced_but_unsent_batch_goes_out_on_the_channel() {
    let mut bench = Bench::probed();
    bench.poll_with_more(1);
    bench.packet_on(SECOND, Upgrade);
    assert_eq!(bench.send("a"), [send(SECOND, [message("a")])]);
}

#[test]
fn the_abort_of_the_last_poll_does_not_end_a_session_that_has_moved() {
    let mut bench = Bench::probed();
    bench.poll(1);
    bench.packet_on(SECOND, Upgrade);
    assert_eq!(bench.abort_poll(1), []);
}

#[test]
fn a_poll_after_the_upgrade_is_refused() {
    let mut bench = Bench::upgraded(Revision::V4);
    assert_eq!(bench.poll(1), [Action::RejectPoll { poll: 1 }]);
    assert!(!bench.session.is_closed());
}

#[test]
fn a_second_upgrade_packet_is_only_shown() {
    let mut bench = Bench::upgraded(Revision::V4);
    assert_eq!(bench.receive(Some(SECOND), Upgrade), (Delivery::Packet, vec![]));
}

#[test]
fn a_probe_on_the_current_channel_is_a_ping_in_the_wrong_direction() {
    let mut bench = Bench::upgraded(Revision::V4);
    assert_eq!(bench.probe(SECOND), [Action::CloseChannel { channel: SECOND }, failed(Fault::HeartbeatDirection)]);
}

#[test]
fn a_session_on_a_channel_can_move_to_another() {
    let mut bench = Bench::channel();
    assert!(bench.start_upgrade(SECOND));
    bench.probe(SECOND);
    assert_eq!(bench.packet_on(SECOND, Upgrade), [Action::CloseChannel { channel: FIRST }, UPGRADED]);
    assert_eq!(bench.channel_closed(FIRST), []);
    assert_eq!(bench.receive(Some(FIRST), Message), (Delivery::Drop, vec![]));
    assert_eq!(bench.send("a"), [send(SECOND, [message("a")])]);
}

// ---- upgrades that fail ----------------------------------------------------------------------

#[test]
fn any_other_packet_on_the_channel_ends_the_upgrade_only() {
    for kind in [Open, Close, Pong, Message, Noop, Ping] {
        for probed in [false, true] {
            let mut bench = if probed { Bench::probed() } else { Bench::upgrading() };
            assert_eq!(bench.receive(Some(SECOND), kind), (Delivery::Drop, GIVEN_UP.into()), "{kind:?}");
            assert!(is_polling(&mut bench));
        }
    }
}

#[test]
fn a_packet_of_an_unknown_type_ends_the_upgrade_only() {
    let mut bench = Bench::probed();
    assert_eq!(bench.receive_any(Some(SECOND), None, false), (Delivery::Drop, GIVEN_UP.into()));
    assert!(is_polling(&mut bench));
}

#[test]
fn garbage_on_the_channel_ends_the_upgrade_only() {
    let mut bench = Bench::probed();
    assert_eq!(bench.garbage(Some(SECOND)), GIVEN_UP);
    assert!(is_polling(&mut bench));
}

#[test]
fn probe_data_in_another_packet_is_no_probe() {
    let mut bench = Bench::upgrading();
    assert_eq!(bench.receive_any(Some(SECOND), Some(Message), true).1, GIVEN_UP);
}

#[test]
fn a_channel_that_closes_by_itself_ends_the_upgrade_only() {
    let mut bench = Bench::probed();
    assert_eq!(bench.channel_closed(SECOND), [Action::UpgradeFailed { channel: SECOND, end: ProbeEnd::Closed }]);
    assert!(is_polling(&mut bench));
}

#[test]
fn a_channel_that_fails_ends_the_upgrade_only() {
    let mut bench = Bench::probed();
    let fault = Fault::Frame("RangeError: …".into());
    let end = ProbeEnd::Failed(fault.clone());
    assert_eq!(bench.channel_failed(SECOND, fault), [Action::UpgradeFailed { channel: SECOND, end }]);
    assert!(is_polling(&mut bench));
}

#[test]
fn an_upgrade_that_takes_too_long_is_given_up() {
    let mut bench = Bench::upgrading();
    assert_eq!(bench.wait(UPGRADE_TIMEOUT - 1), []);
    assert_eq!(bench.wait(1), GIVEN_UP);
    assert!(is_polling(&mut bench));
}

#[test]
fn a_probe_does_not_extend_the_time_for_the_upgrade() {
    let mut bench = Bench::upgrading();
    bench.wait(UPGRADE_TIMEOUT - 1);
    bench.probe(SECOND);
    assert_eq!(bench.wait(1), GIVEN_UP);
}

#[test]
fn no_noop_follows_an_upgrade_that_was_given_up() {
    let mut bench = Bench::probed();
    bench.poll(1);
    bench.packet_on(SECOND, Message);
    assert_eq!(bench.wait(PING_INTERVAL - 1), []);
}

#[test]
fn another_attempt_may_follow_a_failed_one() {
    let mut bench = Bench::upgrading();
    bench.packet_on(SECOND, Message);
    assert!(bench.start_upgrade(3));
    bench.probe(3);
    assert_eq!(bench.packet_on(3, Upgrade), [Action::Upgraded { channel: 3 }]);
}

#[test]
fn the_second_of_two_channels_is_refused() {
    let mut bench = Bench::upgrading();
    assert!(!bench.start_upgrade(3));
    assert_eq!(bench.packet_on(3, Upgrade), []);
    assert_eq!(bench.packet_on(SECOND, Upgrade), [UPGRADED]);
}

#[test]
fn what_a_channel_says_after_its_upgrade_failed_is_dropped() {
    let mut bench = Bench::upgrading();
    bench.packet_on(SECOND, Message);
    assert_eq!(bench.receive(Some(SECOND), Upgrade), (Delivery::Drop, vec![]));
    assert_eq!(bench.probe(SECOND), []);
    assert_eq!(bench.channel_closed(SECOND), []);
    assert!(is_polling(&mut bench));
}

#[test]
fn packets_that_wait_survive_a_failed_upgrade() {
    let mut bench = Bench::probed();
    bench.poll(1);
    bench.wait(100);
    bench.send("a");
    bench.packet_on(SECOND, Message);
    assert_eq!(bench.poll(2), [answer(2, [message("a")])]);
}

// ---- the end of the session during an upgrade ------------------------------------------------

#[test]
fn a_session_that_ends_takes_the_channel_under_probe_along() {
    let mut bench = Bench::probed();
    bench.poll(1);
    assert_eq!(
        bench.discard(),
        [
            answer(1, [bare(Close)]),
            Action::CloseChannel { channel: SECOND },
            Action::UpgradeFailed { channel: SECOND, end: ProbeEnd::SessionEnded },
            Action::Closed(Reason::ForcedClose),
        ]
    );
}

#[test]
fn a_ping_timeout_takes_the_channel_under_probe_along() {
    let mut bench = Bench::polling();
    bench.wait(PING_INTERVAL + PING_TIMEOUT - 1);
    bench.start_upgrade(SECOND);
    let mut expected = Vec::from(ENDED);
    expected.push(Action::Closed(Reason::PingTimeout));
    assert_eq!(bench.wait(1), expected);
}

#[test]
fn a_client_that_leaves_its_poll_during_the_upgrade_ends_both() {
    let mut bench = Bench::probed();
    bench.poll(1);
    let mut expected = Vec::from(ENDED);
    expected.push(failed(Fault::PollAborted));
    assert_eq!(bench.abort_poll(1), expected);
}

#[test]
fn a_channel_session_under_probe_ends_with_its_own_channel() {
    let mut bench = Bench::channel();
    bench.start_upgrade(SECOND);
    let mut expected = vec![Action::CloseChannel { channel: FIRST }];
    expected.extend(ENDED);
    expected.push(Action::Closed(Reason::TransportClose));
    assert_eq!(bench.channel_closed(FIRST), expected);
}

#[test]
fn a_session_that_ended_cannot_be_upgraded() {
    let mut bench = Bench::polling();
    bench.discard();
    assert!(!bench.start_upgrade(SECOND));
}

#[test]
fn a_close_that_waits_for_a_poll_lets_the_upgrade_finish() {
    let mut bench = Bench::probed();
    assert_eq!(bench.close_transport(), []);
    assert_eq!(bench.packet_on(SECOND, Upgrade), [UPGRADED]);
    // the owner hears of it and closes the new transport
    assert_eq!(
        bench.close_transport(),
        [Action::CloseChannel { channel: SECOND }, Action::Closed(Reason::ForcedClose)]
    );
}

#[test]
fn packets_sent_before_the_close_move_along_with_a_closing_session() {
    let mut bench = Bench::probed();
    bench.send("a");
    bench.session.begin_close();
    bench.close_transport();
    assert_eq!(bench.packet_on(SECOND, Upgrade), [send(SECOND, [message("a")]), UPGRADED]);
}

#[test]
fn a_closing_session_that_has_moved_hears_nothing_more() {
    let mut bench = Bench::probed();
    bench.session.begin_close();
    bench.packet_on(SECOND, Upgrade);
    assert_eq!(bench.receive(Some(SECOND), Message), (Delivery::Drop, vec![]));
}

#[test]
fn a_poll_that_ends_a_closing_session_takes_the_channel_under_probe_along() {
    let mut bench = Bench::probed();
    bench.close_transport();
    let mut expected = vec![answer(1, [bare(Noop), bare(Close)])];
    expected.extend(ENDED);
    expected.push(Action::Closed(Reason::ForcedClose));
    assert_eq!(bench.poll(1), expected);
}
