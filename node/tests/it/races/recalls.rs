//! Recall against delivery: while a message is on its way, or read, it is taken back. Nobody is shown its text after the recall, and
//! whatever is begun after the answer shows it nowhere.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    ROUNDS_EACH, Race, Tally, cluster, entries_until, group, id_of, is_entry, other_node, run_parts, say, seq_of, text,
};
use crate::support::{Cluster, DEADLINE, Device, User};

/// How the message is read while it is recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    History,
    Search,
    Export,
    SyncByCursor,
    SyncByConversation,
    /// A device that connects: what its user has not received.
    Offline,
}

impl Reading {
    const ALL: [Self; 6] =
        [Self::History, Self::Search, Self::Export, Self::SyncByCursor, Self::SyncByConversation, Self::Offline];
}

struct Readers<'a> {
    cluster: &'a Cluster,
    team: String,
    /// Has a device with a cursor beside the one that is always there.
    bob: User,
    tablet: Device,
    cursor: Value,
    /// Connects only to be told what he has missed.
    carol: User,
}

impl Readers<'_> {
    /// All that one reading shows, and the device that connected for it.
    async fn read(&mut self, reading: Reading, node: usize, word: &str, after_seq: i64) -> (String, Option<Device>) {
        let (cluster, team) = (self.cluster, self.team.clone());
        let get = async |path: String| self.bob.get(cluster, node, &path).await.expect(200).to_string();
        let read = match reading {
            Reading::History => get(format!("/conversations/{team}/messages?limit=5")).await,
            Reading::Search => {
                let found = self.bob.get(cluster, node, &format!("/messages/search?q={word}")).await.expect(200);
                found["items"].to_string()
            }
            Reading::Export => get(format!("/groups/{team}/export?format=jsonl")).await,
            Reading::SyncByCursor => {
                let (pages, cursor) = self.tablet.sync(json!({"cursor": self.cursor})).await;
                self.cursor = cursor;
                json!(pages).to_string()
            }
            Reading::SyncByConversation => {
                let wanted = json!({"conversations": [{"conversation_id": team, "after_seq": after_seq}]});
                json!(self.tablet.sync(wanted).await.0).to_string()
            }
            Reading::Offline => {
                let mut device = self.carol.connect(cluster, node).await;
                let complete = device.find(DEADLINE, |frame| frame["type"] == "sync").await;
                assert_eq!(complete.expect("offline delivery ends")["action"], "complete");
                // What came before its end; what comes live stays with the device.
                let frames = device.take_waiting();
                let of_it: Vec<Value> = frames.into_iter().filter(|frame| is_entry(frame, &team)).collect();
                return (json!(of_it).to_string(), Some(device));
            }
        };
        (read, None)
    }
}

/// Never the text after the recall, on one device.
#[track_caller]
fn check_frames(frames: &[Value], message: i64, word: &str) {
    let recalled = frames
        .iter()
        .position(|frame| frame["action"] == "message_recalled" && frame["data"]["message_seq"] == message);
    let shown = frames.iter().rposition(|frame| frame["data"].to_string().contains(word));
    if let (Some(recalled), Some(shown)) = (recalled, shown) {
        assert!(shown < recalled, "the text came after the recall: {frames:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recall_against_delivery() {
    let cluster = cluster().await;
    let tallies = run_parts(&cluster, recall_part).await;
    Tally::check(&tallies, "read before the recall, after it");
}

async fn recall_part(cluster: Arc<Cluster>, part: usize) -> Tally {
    let cluster = &*cluster;
    let (alice, bob, carol) = (
        cluster.user(&format!("alice{part}")).await,
        cluster.user(&format!("bob{part}")).await,
        cluster.user(&format!("carol{part}")).await,
    );
    let team = group(cluster, &alice, &[&bob, &carol]).await;
    let mut bobs = bob.connect(cluster, part % 3).await;
    let mut tablet = bob.connect(cluster, (part + 1) % 3).await;
    let cursor = tablet.sync(json!({})).await.1;
    let mut readers = Readers { cluster, team: team.clone(), bob, tablet, cursor, carol };
    let (mut race, mut tally) = (Race::new(part), Tally::default());
    for round in 0..ROUNDS_EACH {
        let reading = Reading::ALL[(part + round) % Reading::ALL.len()];
        let node = (part + round / 6) % 3;
        let (recaller, reader) = (other_node(node, round), other_node(node, round + 2));
        let word = format!("secret{part}x{round}x");
        let path = format!("/groups/{team}/messages");
        let said = alice.post(cluster, node, &path, text(&format!("the {word}"))).await.expect(201);
        let (id, seq) = (id_of(&said), said["seq"].as_i64().unwrap());
        if round % 3 == 0 {
            let edit = json!({"content": format!("the {word} edited")});
            alice.patch(cluster, node, &format!("/messages/{id}"), edit).await.expect(200);
        }
        let recall = async {
            let recalled =
                alice.post(cluster, recaller, &format!("/messages/{id}/recall"), json!({})).await.expect(200);
            assert!(recalled["recalled"] == true && !recalled.to_string().contains(&word), "{recalled}");
            let at = Instant::now();
            (at, alice.get(cluster, reader, &format!("/groups/{team}/messages?limit=5")).await.expect(200))
        };
        let read = async {
            let begun = Instant::now();
            (begun, readers.read(reading, reader, &word, seq - 1).await)
        };
        let ((acknowledged, after), (begun, (shown, device))) = race.run(recall, read).await;
        assert!(!after.to_string().contains(&word), "round {round}: {after}");
        let is_shown = shown.contains(&word);
        assert!(!is_shown || begun < acknowledged, "round {round}: {reading:?} begun after the answer: {shown}");
        // Where the recall is shown, the text is not: the two are read at one moment.
        if let Reading::SyncByCursor | Reading::SyncByConversation = reading {
            let pages: Vec<Value> = serde_json::from_str(&shown).unwrap();
            let is_recall =
                |frame: &Value| frame["action"] == "message_recalled" && frame["data"]["message_seq"] == seq;
            let has_recall = pages.iter().any(|page| page["frames"].as_array().unwrap().iter().any(is_recall));
            assert!(!(is_shown && has_recall), "round {round}: {reading:?}: {shown}");
        }
        tally.count(is_shown);

        let end = format!("{part}.{round}.end");
        say(cluster, recaller, &alice, &team, &end).await.seq();
        let live = entries_until(&mut bobs, &team, &end).await;
        check_frames(&live, seq, &word);
        let seqs: Vec<i64> = live.iter().map(seq_of).collect();
        assert!(seqs.is_sorted_by(|one, other| one < other), "round {round}: {seqs:?}");
        assert!(live.iter().any(|entry| entry["action"] == "message_recalled"), "round {round}: {live:?}");
        check_frames(&entries_until(&mut readers.tablet, &team, &end).await, seq, &word);
        if let Some(mut device) = device {
            let mut frames: Vec<Value> = serde_json::from_str(&shown).unwrap();
            if !frames.iter().any(|frame| frame["data"]["content"] == end.as_str()) {
                frames.extend(entries_until(&mut device, &team, &end).await);
            }
            check_frames(&frames, seq, &word);
            if begun >= acknowledged {
                assert!(!json!(frames).to_string().contains(&word), "round {round}: {frames:?}");
            }
            device.close().await;
            device.closed().await;
        }
    }
    tally
}
