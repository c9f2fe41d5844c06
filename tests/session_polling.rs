//! HTTP long-polling: polls, POSTs, and what happens when they overlap or break (B-7, B-8 of docs/BEHAVIOUR.md).

mod support;

use engine_io_native::protocol::PacketType::{Close, Message, Noop, Open, Ping, Pong, Upgrade};
use engine_io_native::session::{Action, Delivery, Fault, Reason};
use support::session::*;

const CLOSED_BY_CLIENT: Action = Action::Closed(Reason::TransportClose);

// ---- polls -----------------------------------------------------------------------------------

#[test]
fn a_poll_waits_until_there_is_something_to_send() {
    let mut bench = Bench::polling();
    assert_eq!(bench.poll(1), []);
    assert_eq!(bench.send("a"), [answer(1, [message("a")])]);
}

#[test]
fn a_batch_of_packets_is_one_answer() {
    let mut bench = Bench::polling();
    bench.poll(1);
    assert_eq!(
        bench.send_all(vec![message("a"), message("b"), bare(Noop)], false),
        [answer(1, [message("a"), message("b"), bare(Noop)])]
    );
}

#[test]
fn a_poll_is_answered_once() {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.send("a");
    assert_eq!(bench.send("b"), []);
}

#[test]
fn packets_handed_over_without_a_poll_go_out_with_the_next_one() {
    let mut bench = Bench::polling();
    assert_eq!(bench.send("a"), []);
    assert_eq!(bench.send("b"), []);
    assert_eq!(bench.poll(1), [answer(1, [message("a"), message("b")])]);
    assert_eq!(bench.poll(2), []);
}

#[test]
fn packets_whose_poll_was_used_up_by_a_ping_follow_with_the_next() {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.wait(PING_INTERVAL);
    // the owner has not heard of the ping yet
    assert_eq!(bench.send("a"), []);
    assert_eq!(bench.poll(2), [answer(2, [message("a")])]);
}

#[test]
fn what_waited_comes_before_a_heartbeat_and_both_before_new_packets() {
    let mut bench = Bench::polling();
    bench.send("a");
    bench.wait(PING_INTERVAL);
    assert_eq!(bench.poll_with_more(1), [answer(1, [message("a"), bare(Ping)])]);
}

#[test]
fn one_packet_that_may_be_compressed_makes_the_answer_compressible() {
    let mut bench = Bench::polling();
    bench.send_all(vec![message("a")], true);
    bench.send_all(vec![message("b")], false);
    assert_eq!(bench.poll(1), [compressible(1, [message("a"), message("b")])]);
    bench.send("c");
    assert_eq!(bench.poll(2), [answer(2, [message("c")])]);
}

#[test]
fn a_second_poll_ends_the_session() {
    let mut bench = Bench::polling();
    bench.poll(1);
    assert_eq!(bench.poll(2), [Action::RejectPoll { poll: 2 }, answer(1, [bare(Close)]), failed(Fault::PollOverlap)]);
}

#[test]
fn a_second_poll_in_a_closing_session_ends_it_too() {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.session.begin_close();
    assert_eq!(bench.poll(2), [Action::RejectPoll { poll: 2 }, answer(1, [bare(Close)]), failed(Fault::PollOverlap)]);
}

#[test]
fn a_late_second_poll_is_just_the_next_one() {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.send("a");
    assert_eq!(bench.poll(1), []);
    assert_eq!(bench.send("b"), [answer(1, [message("b")])]);
}

#[test]
fn a_poll_on_a_channel_session_is_refused_and_changes_nothing() {
    let mut bench = Bench::channel();
    assert_eq!(bench.poll(1), [Action::RejectPoll { poll: 1 }]);
    assert_eq!(bench.send("a"), [send(FIRST, [message("a")])]);
}

#[test]
fn a_poll_after_the_end_is_refused() {
    let mut bench = Bench::polling();
    bench.discard();
    assert_eq!(bench.poll(1), [Action::RejectPoll { poll: 1 }]);
    assert_eq!(bench.poll(2), [Action::RejectPoll { poll: 2 }]);
}

#[test]
fn a_client_that_leaves_its_poll_ends_the_session() {
    let mut bench = Bench::polling();
    bench.poll(1);
    assert_eq!(bench.abort_poll(1), [failed(Fault::PollAborted)]);
}

#[test]
fn the_abort_of_an_answered_poll_is_nothing() {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.send("a");
    assert_eq!(bench.abort_poll(1), []);
    bench.poll(2);
    assert_eq!(bench.abort_poll(1), []);
    assert_eq!(bench.send("b"), [answer(2, [message("b")])]);
}

#[test]
fn the_abort_of_a_poll_nobody_knows_is_nothing() {
    let mut bench = Bench::polling();
    assert_eq!(bench.abort_poll(7), []);
    assert_eq!(bench.poll(1), []);
}

#[test]
fn an_empty_send_on_a_channel_is_nothing() {
    assert_eq!(Bench::channel().send_all(vec![], true), []);
}

// ---- POSTs -----------------------------------------------------------------------------------

#[test]
fn a_posted_message_is_for_the_application() {
    let mut bench = Bench::polling();
    assert_eq!(bench.post(Message), (Delivery::Message, vec![]));
}

#[test]
fn posts_may_follow_each_other() {
    let mut bench = Bench::polling();
    for _ in 0..3 {
        assert_eq!(bench.post(Message), (Delivery::Message, vec![]));
    }
}

#[test]
fn polls_and_posts_do_not_disturb_each_other() {
    let mut bench = Bench::polling();
    bench.poll(1);
    assert_eq!(bench.begin_post(), (true, vec![]));
    assert_eq!(bench.send("a"), [answer(1, [message("a")])]);
    bench.session.post_finished();
    assert_eq!(bench.receive(None, Message).0, Delivery::Message);
}

#[test]
fn a_second_post_ends_the_session_and_destroys_the_first() {
    let mut bench = Bench::polling();
    bench.begin_post();
    assert_eq!(bench.begin_post(), (false, vec![Action::AbortPost, failed(Fault::DataOverlap)]));
}

#[test]
fn a_second_post_answers_the_pending_poll_with_a_close() {
    let mut bench = Bench::polling();
    bench.poll(1);
    bench.begin_post();
    assert_eq!(bench.begin_post().1, [Action::AbortPost, answer(1, [bare(Close)]), failed(Fault::DataOverlap)]);
}

#[test]
fn a_client_that_leaves_its_post_ends_the_session() {
    let mut bench = Bench::polling();
    bench.begin_post();
    assert_eq!(bench.abort_post(), [failed(Fault::DataAborted)]);
}

#[test]
fn a_post_on_a_channel_session_is_refused() {
    let mut bench = Bench::channel();
    assert_eq!(bench.begin_post(), (false, vec![]));
    assert_eq!(bench.abort_post(), []);
    assert!(!bench.session.is_closed());
}

#[test]
fn a_post_after_the_end_is_refused() {
    let mut bench = Bench::polling();
    bench.discard();
    assert_eq!(bench.begin_post(), (false, vec![]));
    assert_eq!(bench.begin_post(), (false, vec![]));
}

#[test]
fn a_post_that_was_refused_for_its_size_leaves_the_session_open() {
    let mut bench = Bench::polling();
    bench.begin_post();
    bench.session.post_finished();
    assert_eq!(bench.begin_post(), (true, vec![]));
}

#[test]
fn a_close_packet_by_post_ends_the_session_and_answers_the_poll_with_a_noop() {
    let mut bench = Bench::polling();
    bench.poll(1);
    assert_eq!(bench.post(Close), (Delivery::Drop, vec![answer(1, [bare(Noop)]), CLOSED_BY_CLIENT]));
}

#[test]
fn a_close_packet_by_post_needs_no_poll() {
    let mut bench = Bench::polling();
    assert_eq!(bench.post(Close), (Delivery::Drop, vec![CLOSED_BY_CLIENT]));
}

#[test]
fn packets_after_a_close_packet_in_the_same_post_are_dropped() {
    let mut bench = Bench::polling();
    bench.post(Close);
    assert_eq!(bench.receive(None, Message), (Delivery::Drop, vec![]));
    assert_eq!(bench.garbage(None), []);
}

#[test]
fn garbage_by_post_ends_the_session() {
    let mut bench = Bench::polling();
    bench.poll(1);
    assert_eq!(bench.garbage(None), [answer(1, [bare(Close)]), Action::Closed(Reason::ParseError)]);
}

#[test]
fn handshake_packets_on_an_open_session_are_only_shown() {
    let mut bench = Bench::polling();
    for kind in [Open, Upgrade, Noop] {
        assert_eq!(bench.receive(None, kind), (Delivery::Packet, vec![]));
    }
    assert_eq!(bench.receive_any(None, None, false), (Delivery::Packet, vec![]));
}

#[test]
fn a_close_packet_on_a_channel_is_only_shown() {
    let mut bench = Bench::channel();
    assert_eq!(bench.receive(Some(FIRST), Close), (Delivery::Packet, vec![]));
}

#[test]
fn packets_from_another_channel_are_dropped() {
    let mut bench = Bench::channel();
    for kind in [Message, Ping, Pong, Close, Upgrade] {
        assert_eq!(bench.receive(Some(SECOND), kind), (Delivery::Drop, vec![]));
        assert_eq!(bench.receive(None, kind), (Delivery::Drop, vec![]));
    }
    assert_eq!(bench.garbage(Some(SECOND)), []);
    assert_eq!(bench.garbage(None), []);
}

#[test]
fn packets_by_post_are_dropped_once_the_session_has_moved() {
    let mut bench = Bench::upgrading();
    bench.begin_post();
    assert_eq!(bench.packet_on(SECOND, Upgrade), [Action::AbortPost, Action::Upgraded { channel: SECOND }]);
    bench.session.post_finished();
    assert_eq!(bench.receive(None, Message), (Delivery::Drop, vec![]));
    assert_eq!(bench.abort_post(), []);
}
