//! What is looked for is what was written: no character of a search means anything but itself.

use serde_json::json;
use uuid::Uuid;

use super::rest::percent;
use crate::support::{Cluster, Setup, User};

/// What means something in patterns, in SQL, in full text searches, in JSON and in URLs.
const CHARACTERS: &str = "%_\\*'\"&|!:()[]{}<>^$.+?-~`#;,=/@";

/// What a search shows, by this part of the items.
async fn find(cluster: &Cluster, user: &User, path: &str, text: &str, part: &str) -> Vec<String> {
    let page = user.get(cluster, 0, &format!("{path}={}", percent(text.as_bytes()))).await.expect(200);
    let mut found: Vec<String> =
        page["items"].as_array().unwrap().iter().map(|item| item[part].as_str().unwrap().to_owned()).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_character_of_a_search_means_anything_but_itself() {
    let cluster = Setup::nodes(1).set("max_messages_per_second", 1_000_000).start().await;
    let me = cluster.user_with_roles("me", &["admin"]).await;
    let group = me.post(&cluster, 0, "/groups", json!({"name": "G"})).await.expect(201)["id"].clone();
    let path = format!("/groups/{}/messages", group.as_str().unwrap());
    let directory = cluster.databases.directory().await;
    // For each character what has it at the beginning, what has it within, and for all of them what has none.
    let mut texts: Vec<String> = ["qz", "qxz", "q z", "q"].map(str::to_owned).into();
    texts.extend(CHARACTERS.chars().flat_map(|character| [format!("{character}z"), format!("q{character}z")]));
    for text in &texts {
        let sql = "with made as (insert into account (id, display_name) values ($1, $2))
                   insert into audit (id, admin_id, action, target) values ($1, $1, $2, $2)";
        directory.execute(sql, &[&Uuid::new_v4(), text]).await.unwrap();
        let message = json!({"temp_id": text, "message_type": "text", "content": text});
        me.post(&cluster, 0, &path, message).await.expect(201);
        me.post(&cluster, 0, "/events", json!({"type": text, "level": "info"})).await.expect(201);
    }
    let mut wrong = Vec::new();
    let mut judge = |path: &str, text: &str, found: Vec<String>, mut expected: Vec<String>| {
        expected.sort();
        if found != expected {
            wrong.push(format!("{path}={text}: {found:?}, not {expected:?}"));
        }
    };
    for character in CHARACTERS.chars() {
        let within = format!("q{character}");
        for looked_for in [character.to_string(), within.clone(), format!("{within}z")] {
            // By how a name begins.
            for path in ["/users?query", "/admin/users?query", "/moderation/users?query"] {
                let found = find(&cluster, &me, path, &looked_for, "display_name").await;
                judge(path, &looked_for, found, starting_with(&texts, &looked_for));
            }
            // By the whole.
            for (path, part) in
                [("/events?type", "type"), ("/admin/audit?action", "action"), ("/admin/audit?target", "target")]
            {
                let found = find(&cluster, &me, path, &looked_for, part).await;
                let same = texts.iter().filter(|text| **text == looked_for).cloned().collect();
                judge(path, &looked_for, found, same);
            }
            // By words, of which each such character is one.
            let path = "/messages/search?q";
            let found = find(&cluster, &me, path, &looked_for, "content").await;
            let having =
                texts.iter().filter(|text| looked_for.chars().all(|one| text.contains(one))).cloned().collect();
            judge(path, &looked_for, found, having);
        }
    }
    assert!(wrong.is_empty(), "{} searches find something else:\n{}", wrong.len(), wrong.join("\n"));
}

fn starting_with(texts: &[String], beginning: &str) -> Vec<String> {
    texts.iter().filter(|text| text.starts_with(beginning)).cloned().collect()
}
