use std::sync::Arc;

use super::*;

fn session() -> SessionHandle {
    SessionHandle::for_test(UserId::random())
}

fn log(conversation: ConversationId) -> Log {
    Log { conversation, epoch: 0 }
}

fn frame(text: &str) -> Frame {
    Frame::text(text.as_bytes())
}

#[test]
fn answers_and_entries_come_in_the_order_of_the_calls() {
    let (session, a) = (session(), ConversationId::random());
    session.send(&frame("1"));
    session.send_entry(&frame("2"), log(a), Seq(1));
    session.send(&frame("3"));
    assert_eq!(session.drain_for_test(), [frame("1"), frame("2"), frame("3")]);
}

#[test]
fn held_entries_follow_what_was_given_and_repeat_none_of_it() {
    let (session, a, b) = (session(), ConversationId::random(), ConversationId::random());
    session.hold();
    session.hold();
    for seq in 1..=3 {
        session.send_entry(&frame(&format!("a{seq}")), log(a), Seq(seq));
    }
    session.send_entry(&frame("b1"), log(b), Seq(1));
    session.send(&frame("answer"));
    session.release(&HashMap::from([(a, Seq(2))]));
    assert_eq!(session.drain_for_test(), [frame("answer")]);
    session.release(&HashMap::new());
    assert_eq!(session.drain_for_test(), [frame("a3"), frame("b1")]);
    session.send_entry(&frame("b2"), log(b), Seq(2));
    assert_eq!(session.drain_for_test(), [frame("b2")]);
}

#[test]
fn the_answer_to_a_change_comes_also_where_a_sync_has_given_it() {
    let (session, a) = (session(), ConversationId::random());
    session.hold();
    session.send_entry(&frame("a1"), log(a), Seq(1));
    session.send_own_entry(&frame("a2, asked for"), log(a), Seq(2));
    session.given(log(a), Seq(2));
    session.release(&HashMap::from([(a, Seq(2))]));
    assert_eq!(session.drain_for_test(), [frame("a2, asked for")]);
    session.given(log(a), Seq(3));
    session.send_entry(&frame("a3"), log(a), Seq(3));
    session.send_own_entry(&frame("a3, asked for"), log(a), Seq(3));
    assert_eq!(session.drain_for_test(), [frame("a3, asked for")]);
}

#[test]
fn what_the_session_writes_on_hold_hides_nothing_that_others_wrote_before() {
    let (session, a) = (session(), ConversationId::random());
    session.hold();
    session.set_whole();
    session.send_entry(&frame("a1"), log(a), Seq(1));
    session.given_own(log(a), Seq(2));
    assert!(session.has_written(a, Seq(2), "t2") && !session.has_written(a, Seq(1), "t1"));
    session.send_entry(&frame("a3"), log(a), Seq(3));
    session.release(&HashMap::new());
    assert_eq!(session.drain_for_test(), [frame("a1"), frame("a3")]);
    let number = session.state.lock().received.ping();
    session.ponged(number);
    assert_eq!(session.take_received(), [(a, Seq(3))]);
}

#[test]
fn too_much_on_hold_becomes_resync() {
    let (session, a) = (session(), ConversationId::random());
    session.hold();
    let big = frame(&"x".repeat(60_000));
    for seq in 1..=20 {
        session.send_entry(&big, log(a), Seq(seq));
    }
    session.release(&HashMap::new());
    assert_eq!(session.drain_for_test(), [server::resync(ResyncReason::BusLost, None)]);
    assert!(!session.is_closed());
}

#[test]
fn what_one_asked_for_oneself_is_held_within_the_limit_and_not_dropped() {
    let (session, a) = (session(), ConversationId::random());
    session.hold();
    let big = frame(&"x".repeat(60_000));
    session.send_entry(&big, log(a), Seq(1));
    for seq in 2..=8 {
        session.send_own_entry(&big, log(a), Seq(seq));
    }
    assert!(!session.is_closed());
    for seq in 9..=20 {
        session.send_own_entry(&big, log(a), Seq(seq));
    }
    assert_eq!(session.close_of(), Some(Close::With(CloseCode::SlowConsumer)));
}

#[test]
fn what_was_dropped_on_hold_does_not_count_as_received() {
    let (session, a) = (session(), ConversationId::random());
    session.hold();
    session.set_whole();
    let big = frame(&"x".repeat(60_000));
    for seq in 1..=20 {
        session.send_entry(&big, log(a), Seq(seq));
    }
    session.release(&HashMap::new());
    session.send_entry(&frame("a21"), log(a), Seq(21));
    let number = session.state.lock().received.ping();
    session.ponged(number);
    assert_eq!(session.take_received(), []);
}

#[test]
fn a_queue_over_its_bytes_closes_as_slow_consumer() {
    let session = session();
    let big = frame(&"x".repeat(60_000));
    for _ in 0..17 {
        session.send(&big);
    }
    assert!(!session.is_closed());
    session.send(&big);
    assert_eq!(session.close_of(), Some(Close::With(CloseCode::SlowConsumer)));
    session.close(CloseCode::Normal);
    assert_eq!(session.close_of(), Some(Close::With(CloseCode::SlowConsumer)), "the first counts");
    assert!(session.drain_for_test().is_empty());
}

#[test]
fn a_hundred_refusals_in_ten_seconds_are_flooding() {
    let session = session();
    for second in 0..30 {
        for _ in 0..9 {
            session.count_refusal(Timestamp::from_millis(second * 1_000));
        }
    }
    assert!(!session.is_closed());
    for _ in 0..100 {
        session.count_refusal(Timestamp::from_millis(40_000));
    }
    assert_eq!(session.close_of(), Some(Close::With(CloseCode::Flooding)));
}

#[tokio::test]
async fn paced_frames_wait_for_the_socket_and_end_with_the_session() {
    let session = Arc::new(session());
    let big = frame(&"x".repeat(65_000));
    session.send_paced(big.clone()).await.unwrap();
    session.send_paced(big.clone()).await.unwrap();
    let waiting = session.send_paced(big.clone());
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
    assert_eq!(session.drain_for_test().len(), 2);
    waiting.await.unwrap();
    session.send_paced(big.clone()).await.unwrap();
    session.close(CloseCode::GoingAway);
    assert_eq!(session.send_paced(big).await, Err(Closed));
}
