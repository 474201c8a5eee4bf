//! The generator as a whole against a stub of a server that does wrong to order: each wrong must be found, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

mod stub;

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use stub::Fault;

/// Each pair's sender and receiver, as users whose token is their id.
const USERS: usize = 8;

struct Ran {
    code: i32,
    report: Value,
}

impl Ran {
    fn verdict(&self, name: &str) -> u64 {
        self.report["verdict"][name].as_u64().unwrap()
    }

    /// All faults that were found, by name.
    fn faults(&self) -> Vec<(&'static str, u64)> {
        [
            "lost",
            "holes",
            "doubled",
            "disordered",
            "mismatched",
            "stored_twice",
            "seqs_given_twice",
            "answers_changed",
            "answers_unknown",
            "refused",
            "unanswered",
        ]
        .into_iter()
        .map(|name| (name, self.verdict(name)))
        .filter(|&(_, count)| count > 0)
        .collect()
    }
}

fn run(url: &str, arguments: &str) -> Ran {
    let place = Place::new();
    let tokens: Vec<String> = (0..USERS).map(|user| format!("user-{user} user-{user}")).collect();
    std::fs::write(place.0.join("tokens"), tokens.join("\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_herald-loadtest"))
        .args(arguments.split_ascii_whitespace())
        .args(["--url", url])
        .arg("--tokens-file")
        .arg(place.0.join("tokens"))
        .arg("--json")
        .arg(place.0.join("report.json"))
        .output()
        .unwrap();
    let report = std::fs::read(place.0.join("report.json")).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    Ran { code: output.status.code().unwrap(), report: serde_json::from_slice(&report).unwrap() }
}

/// A directory that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("herald-loadtest-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const SHORT: &str = "direct --pairs 4 --rate 200 --warmup-s 0 --duration-s 1 --drain-s 1";

fn with_fault(fault: Fault, more: &str) -> Ran {
    run(&stub::start(fault, 50), &format!("{SHORT} {more}"))
}

#[test]
fn a_server_that_does_right_is_right_in_the_open_and_the_closed_model() {
    for more in ["", "--threads 2", "--arrivals poisson", "--auth frame", "--body 9000", "--reconnect"] {
        let ran = with_fault(Fault::Nothing, more);
        assert_eq!((ran.code, ran.faults()), (0, vec![]), "{more}");
        let sent = ran.verdict("sent");
        assert!((120..=280).contains(&sent), "{more}: {sent}");
        assert_eq!((ran.verdict("acked"), ran.verdict("expected")), (sent, sent), "{more}");
        assert_eq!(ran.report["ack"]["count"].as_u64(), Some(sent), "{more}");
        assert_eq!(ran.report["delivery"]["count"].as_u64(), Some(sent), "{more}");
    }
    let ran = run(
        &stub::start(Fault::Nothing, 0),
        "direct --pairs 4 --rate max --window 3 --warmup-s 0 --duration-s 1 --drain-s 1",
    );
    assert_eq!((ran.code, ran.faults()), (0, vec![]));
    assert!(ran.verdict("sent") > 100);
}

#[test]
fn each_wrong_is_found_and_nothing_else() {
    for (fault, name) in [
        (Fault::Lose, "lost"),
        (Fault::Double, "doubled"),
        (Fault::Delay, "disordered"),
        (Fault::Swap, "mismatched"),
        (Fault::AnswerTwice, "answers_changed"),
        (Fault::NeverAnswer, "unanswered"),
        (Fault::Refuse, "refused"),
    ] {
        let ran = with_fault(fault, "");
        assert_eq!((ran.code, ran.faults()), (1, vec![(name, 1)]), "{fault:?}");
    }
}

#[test]
fn a_lost_connection_is_wrong_without_reconnect() {
    let ran = with_fault(Fault::CloseBoth, "");
    assert_eq!(ran.code, 1);
    assert_eq!(ran.report["lost_connections"].as_u64(), Some(2));
}

#[test]
fn with_reconnect_both_come_back_send_again_and_sync_and_all_is_right() {
    let ran = with_fault(Fault::CloseBoth, "--reconnect");
    assert_eq!((ran.code, ran.faults()), (0, vec![]), "{}", ran.report);
    assert_eq!(ran.report["lost_connections"].as_u64(), Some(2));
    assert!(ran.report["notes"]["sync pages"].as_u64().unwrap() >= 1);
}

#[test]
fn with_reconnect_a_retryable_refusal_is_sent_again() {
    let ran = with_fault(Fault::RefuseOnce, "--reconnect");
    assert_eq!((ran.code, ran.faults()), (0, vec![]));
    assert_eq!(ran.report["notes"]["errors: overloaded"].as_u64(), Some(1));
}

#[test]
fn a_resync_is_followed_by_a_sync_that_brings_what_was_lost() {
    let ran = with_fault(Fault::Resync, "");
    assert_eq!((ran.code, ran.faults()), (0, vec![]), "{}", ran.report);
    assert_eq!(ran.report["notes"]["resync: bus_lost"].as_u64(), Some(1));
}

#[test]
fn in_a_group_every_member_must_get_every_message_whatever_the_threads() {
    let group = "group --groups 2 --members 4 --senders 2 --rate 200 --warmup-s 0 --duration-s 1 --drain-s 1";
    for threads in [1, 2] {
        let ran = run(&stub::start(Fault::Nothing, 0), &format!("{group} --threads {threads}"));
        assert_eq!((ran.code, ran.faults()), (0, vec![]), "{threads}");
        assert_eq!(ran.verdict("expected"), 3 * ran.verdict("sent"));
        let ran = run(&stub::start(Fault::LoseForOne, 50), &format!("{group} --threads {threads}"));
        assert_eq!((ran.code, ran.faults()), (1, vec![("lost", 1)]), "{threads}");
    }
}

#[test]
fn users_are_registered_once_and_their_tokens_made_here() {
    let place = Place::new();
    let url = stub::start(Fault::Nothing, 0);
    let users = place.0.join("users");
    let run = |arguments: &str| {
        Command::new(env!("CARGO_BIN_EXE_herald-loadtest"))
            .args(arguments.split_ascii_whitespace())
            .args(["--url", &url, "--jwt-secret", "secret"])
            .arg("--users-file")
            .arg(&users)
            .output()
            .unwrap()
    };
    assert!(run("users --count 6").status.success());
    let first = std::fs::read_to_string(&users).unwrap();
    assert_eq!(first.lines().count(), 6);
    assert!(first.lines().all(|line| line.starts_with("id-of-lt_")), "{first}");
    let output = run("direct --pairs 4 --rate 100 --warmup-s 0 --duration-s 1 --drain-s 1");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let second = std::fs::read_to_string(&users).unwrap();
    assert_eq!(second.lines().count(), 8);
    assert!(second.starts_with(&first));
}

#[test]
fn connections_are_opened_held_and_closed() {
    let url = stub::start(Fault::Nothing, 0);
    let ran = run(&url, "idle --connections 8 --hold-s 1");
    assert_eq!((ran.code, ran.report["connections"].as_u64()), (0, Some(8)));
    let ran = run(&url, "connect --connects 300 --parallel 4 --users 8 --source-addresses 3");
    assert_eq!((ran.code, ran.report["connects"].as_u64()), (0, Some(300)), "{}", ran.report);
}
