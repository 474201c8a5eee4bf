//! In a group: removal against send, demotion against what an admin does.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ROUNDS_EACH, Race, Sent, Tally, cluster, entries_until, group, history, id_of, is_by_socket, is_entry,
    node_in_turn, other_node, run_parts, say, say_in_turn, seq_of,
};
use crate::support::client::Answer;
use crate::support::{Cluster, User};

/// A send is either before the removal in the log, or refused. Who is removed gets all before it, the removal, and nothing after.
#[tokio::test(flavor = "multi_thread")]
async fn remove_against_send() {
    let cluster = cluster().await;
    let tallies = run_parts(&cluster, remove_part).await;
    Tally::check(&tallies, "sent before the removal, after it");
}

async fn remove_part(cluster: Arc<Cluster>, part: usize) -> Tally {
    let cluster = &cluster;
    let (owner, bob, carol) = (
        cluster.user(&format!("owner{part}")).await,
        cluster.user(&format!("bob{part}")).await,
        cluster.user(&format!("carol{part}")).await,
    );
    let made = group(cluster, &owner, &[&bob, &carol]).await;
    let members = format!("/groups/{made}/members");
    let bobs_node = (part + 1) % 3;
    let mut bobs = bob.connect(cluster, bobs_node).await;
    // A second device of bob's, which never sends, and carol, who sees everything.
    let mut tablet = bob.connect(cluster, (part + 2) % 3).await;
    let mut witness = carol.connect(cluster, part % 3).await;
    let (mut race, mut tally, mut last) = (Race::new(part), Tally::default(), 1);
    for round in 0..ROUNDS_EACH {
        let sender_node = node_in_turn(bobs_node, part, round);
        let owners_node = other_node(sender_node, round);
        let (content, back) = (format!("{round}.race"), format!("{round}.back"));
        let send = say_in_turn(cluster, (round, sender_node), &bob, &mut bobs, &made, &content);
        let remove = async {
            owner.delete(cluster, owners_node, &format!("{members}/{}", bob.id)).await.expect(204);
            let late = say(cluster, sender_node, &bob, &made, "late").await;
            bob.get(cluster, sender_node, &format!("/groups/{made}/messages")).await.refused(404, "not_found");
            late
        };
        let (sent, late) = race.run(send, remove).await;
        let not_found = Sent::Refused("not_found".to_owned());
        assert_eq!(late, not_found, "round {round}");
        assert!(sent.is_accepted() || sent == not_found, "round {round}: {sent:?}");
        tally.count(sent.is_accepted());
        assert!(say(cluster, sender_node, &carol, &made, "without bob").await.is_accepted());
        owner.post(cluster, sender_node, &members, json!({"user_ids": [bob.id]})).await.expect(200);
        assert!(say(cluster, owners_node, &carol, &made, &back).await.is_accepted());

        // The log, as one who was there all the time has it.
        let log = entries_until(&mut witness, &made, &back).await;
        assert!(
            log.iter().map(seq_of).eq(last + 1..=last + i64::try_from(log.len()).unwrap()),
            "round {round}: {log:?}"
        );
        let at = |action: &str| seq_of(log.iter().find(|entry| entry["action"] == action).expect(action));
        let (removed, added) = (at("member_removed"), at("member_added"));
        let of_bob = |entry: &&Value| entry["data"]["sender_id"] == json!(bob.id);
        let of_bob: Vec<(i64, &Value)> =
            log.iter().filter(of_bob).map(|entry| (seq_of(entry), &entry["data"]["content"])).collect();
        match sent {
            Sent::Accepted(seq) => {
                assert!(seq < removed, "round {round}: {seq} after {removed}");
                assert_eq!(of_bob, [(seq, &json!(content))]);
            }
            Sent::Refused(_) => assert_eq!(of_bob, []),
        }
        // Bob has it but for what came while he was out, in order.
        let seen_by_bob = |entry: &&Value| seq_of(entry) <= removed || seq_of(entry) >= added;
        let wanted: Vec<i64> = log.iter().filter(seen_by_bob).map(seq_of).collect();
        let got: Vec<i64> = entries_until(&mut tablet, &made, &back).await.iter().map(seq_of).collect();
        assert_eq!(got, wanted, "round {round}");
        let mut got: BTreeSet<i64> = entries_until(&mut bobs, &made, &back).await.iter().map(seq_of).collect();
        if let (true, Sent::Accepted(seq)) = (is_by_socket(round), sent) {
            // What it sent itself it knows from the answer.
            assert!(got.insert(seq), "round {round}: an own message came back");
        }
        assert!(got.iter().eq(&wanted), "round {round}: {got:?} and not {wanted:?}");
        let shown = if round % 5 == 0 { history(cluster, owners_node, &bob, &made).await } else { Vec::new() };
        assert!(shown.iter().all(|item| item["seq"].as_i64().unwrap() > added), "round {round}: {shown:?}");
        last = seq_of(log.last().unwrap());
    }
    tally
}

/// What an admin can do that shows: entries of the log, and links into the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Rename,
    Mute,
    Remove,
    Recall,
    Invite,
}

impl Act {
    const ALL: [Self; 5] = [Self::Rename, Self::Mute, Self::Remove, Self::Recall, Self::Invite];

    /// What the entry is called.
    const fn action(self) -> Option<&'static str> {
        match self {
            Self::Rename => Some("updated"),
            Self::Mute => Some("member_muted"),
            Self::Remove => Some("member_removed"),
            Self::Recall => Some("message_recalled"),
            Self::Invite => None,
        }
    }
}

struct Team<'a> {
    cluster: &'a Cluster,
    id: String,
    bob: User,
    carol: User,
    /// Of carol's, to be recalled.
    message: String,
}

impl Team<'_> {
    /// Bob does it, as an admin may.
    async fn act(&self, act: Act, node: usize, round: usize) -> Answer {
        let (group, carol) = (format!("/groups/{}", self.id), self.carol.id);
        let (method, path, body) = match act {
            Act::Rename => (Method::PUT, group, json!({"name": format!("of round {round}")})),
            Act::Mute => {
                let until = json!({"muted_until": format!("2099-01-01T00:00:{:02}.000Z", round % 60)});
                (Method::POST, format!("{group}/members/{carol}/mute"), until)
            }
            Act::Remove => (Method::POST, format!("{group}/members/remove"), json!({"user_ids": [carol]})),
            Act::Recall => (Method::POST, format!("/messages/{}/recall", self.message), json!({})),
            Act::Invite => (Method::POST, format!("{group}/invites"), json!({})),
        };
        self.bob.call(method, &format!("{}/api/v1{path}", self.cluster.url(node)), Some(body)).await
    }

    /// Links into the group.
    async fn invites(&self, owner: &User, node: usize) -> Vec<String> {
        let page = owner.get(self.cluster, node, &format!("/groups/{}/invites?limit=200", self.id)).await.expect(200);
        page["items"].as_array().unwrap().iter().map(id_of).collect()
    }
}

/// What an admin does is either before the demotion in the log, or refused. Nothing that he does comes to be after its answer.
#[tokio::test(flavor = "multi_thread")]
async fn demote_against_action() {
    let cluster = cluster().await;
    let tallies = run_parts(&cluster, demote_part).await;
    Tally::check(&tallies, "done before the demotion, refused after it");
}

async fn demote_part(cluster: Arc<Cluster>, part: usize) -> Tally {
    let cluster = &cluster;
    let (owner, bob, carol, dave) = (
        cluster.user(&format!("owner{part}")).await,
        cluster.user(&format!("bob{part}")).await,
        cluster.user(&format!("carol{part}")).await,
        cluster.user(&format!("dave{part}")).await,
    );
    let id = group(cluster, &owner, &[&bob, &carol, &dave]).await;
    let mut witness = dave.connect(cluster, part % 3).await;
    let mut team = Team { cluster, id: id.clone(), bob, carol, message: String::new() };
    let role = format!("/groups/{id}/members/{}/role", team.bob.id);
    let (mut race, mut tally) = (Race::new(part), Tally::default());
    for round in 0..ROUNDS_EACH {
        let act = Act::ALL[(part + round) % Act::ALL.len()];
        let node = (part + round / 5) % 3;
        let owners_node = other_node(node, round);
        // As it was: bob an admin, carol a member who may write, with a message to recall.
        owner.post(cluster, node, &role, json!({"role": "admin"})).await.expect(200);
        let members = format!("/groups/{id}/members");
        match act {
            Act::Mute => {
                let unmuted = json!({"muted_until": null});
                owner.post(cluster, node, &format!("{members}/{}/mute", team.carol.id), unmuted).await.expect(200);
            }
            Act::Remove => {
                owner.post(cluster, node, &members, json!({"user_ids": [team.carol.id]})).await.expect(200);
            }
            Act::Recall => {
                let unmuted = json!({"muted_until": null});
                owner.post(cluster, node, &members, json!({"user_ids": [team.carol.id]})).await.expect(200);
                owner.post(cluster, node, &format!("{members}/{}/mute", team.carol.id), unmuted).await.expect(200);
                let text = super::text("carol's");
                let said = team.carol.post(cluster, node, &format!("/groups/{id}/messages"), text).await.expect(201);
                team.message = id_of(&said);
            }
            Act::Rename | Act::Invite => {}
        }

        let demote = async {
            owner.post(cluster, owners_node, &role, json!({"role": "member"})).await.expect(200);
            let late = team.act(act, node, round + 1_000).await;
            let invites = if act == Act::Invite { team.invites(&owner, owners_node).await } else { Vec::new() };
            (late, invites)
        };
        let (done, (late, invites)) = race.run(team.act(act, node, round), demote).await;
        late.refused(403, "forbidden");
        let is_done = (200..300).contains(&done.status);
        if !is_done {
            done.clone().refused(403, "forbidden");
        }
        tally.count(is_done);
        let end = format!("{round}.end");
        say(cluster, node, &owner, &id, &end).await.seq();

        let log = entries_until(&mut witness, &id, &end).await;
        let log: Vec<&Value> = log.iter().filter(|entry| is_entry(entry, &id)).collect();
        let demoted = log.iter().rposition(|entry| entry["action"] == "role_changed").expect("the demotion");
        let by_bob =
            |entry: &&Value| [&entry["data"]["by"], &entry["data"]["recalled_by"]].contains(&&json!(team.bob.id));
        let done_at: Vec<usize> = (0..log.len()).filter(|at| by_bob(&log[*at])).collect();
        match act.action() {
            Some(action) => {
                assert_eq!(done_at.len(), usize::from(is_done), "round {round}: {act:?} {log:?}");
                for at in done_at {
                    assert_eq!(log[at]["action"], action);
                    assert!(at < demoted, "round {round}: {act:?} after the demotion: {log:?}");
                }
            }
            None => assert_eq!(done_at, Vec::<usize>::new()),
        }
        // A link that was made stands where the demotion is answered, and none comes later.
        if act == Act::Invite {
            assert_eq!(team.invites(&owner, node).await, invites, "round {round}");
            assert_eq!(invites, if is_done { vec![id_of(&done.body)] } else { Vec::new() }, "round {round}");
            for invite in invites {
                owner.delete(cluster, node, &format!("/groups/{id}/invites/{invite}")).await.expect(204);
            }
        }
    }
    tally
}
