//! Search: found by words at once, and never what its reader may not see; the same before, while and after the index is made.

use std::collections::HashSet;
use std::time::Instant;

use herald_node::domain::message::Message;
use herald_node::domain::{Body, ConversationId, ConversationRef, Seq, UserId};
use herald_node::storage::shard::index_logs::{index_logs, read_unindexed};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::log::Log;
use crate::support::{Cluster, Setup, User};

async fn cluster(nodes: usize) -> Cluster {
    Setup::nodes(nodes).set("enable_first_message_limit", false).set("max_messages_per_second", 1_000_000).start().await
}

async fn say(cluster: &Cluster, user: &User, conversation: &str, content: &str) -> Value {
    let body = json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": content});
    user.post(cluster, 0, &format!("/conversations/{conversation}/messages"), body).await.expect(201)
}

async fn direct(cluster: &Cluster, one: &User, other: &User) -> String {
    let made = one.post(cluster, 0, "/conversations", json!({"user_id": other.id})).await.expect(200);
    made["id"].as_str().unwrap().to_owned()
}

async fn find(cluster: &Cluster, user: &User, query: &[(&str, &str)]) -> Value {
    let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/messages/search", cluster.url(0)), query).unwrap();
    user.call(reqwest::Method::GET, url.as_str(), None).await.expect(200)
}

fn contents(found: &Value) -> Vec<String> {
    found["items"].as_array().unwrap().iter().map(|item| item["content"].as_str().unwrap().to_owned()).collect()
}

async fn words(cluster: &Cluster, user: &User, q: &str) -> Vec<String> {
    contents(&find(cluster, user, &[("q", q)]).await)
}

/// Brings the index of all logs to their end.
async fn index_all(cluster: &Cluster) {
    for shard in cluster.app(0).shards.all() {
        let mut after = Some(ConversationId(Uuid::nil()));
        while let Some(place) = after {
            let (mut behind, last) = read_unindexed(shard, place, 1_000).await.unwrap();
            let mut failures = 0;
            while !behind.is_empty() {
                let part: Vec<_> = behind.drain(..behind.len().min(64)).collect();
                behind.extend(match index_logs(shard, &part).await {
                    Ok(again) => again,
                    // A test that was stopped for some seconds finds its transaction ended.
                    Err(error) => {
                        failures += 1;
                        assert!(failures <= 3, "{error}");
                        part
                    }
                });
            }
            after = last;
        }
        assert!(read_unindexed(shard, ConversationId(Uuid::nil()), 1_000).await.unwrap().0.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_all_words_at_once_and_after_they_are_indexed() {
    let cluster = cluster(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let chat = direct(&cluster, &alice, &bob).await;
    let private = direct(&cluster, &bob, &carol).await;
    for content in [
        "Hello, wide World!",
        "hello there",
        "我们明天去东京塔",
        "昨日は東京タワーに行った",
        "100% of a_b",
        "1000 axb",
        "C++ & 'rust'",
    ] {
        say(&cluster, &alice, &chat, content).await;
    }
    say(&cluster, &bob, &private, "hello world in private").await;
    for round in 0..2 {
        let alices = async |q: &str| words(&cluster, &alice, q).await;
        assert_eq!(alices("world hello").await, ["Hello, wide World!"], "round {round}");
        assert_eq!(alices("HELLO").await, ["hello there", "Hello, wide World!"], "newest first");
        assert_eq!(alices("东京").await, ["我们明天去东京塔"]);
        assert_eq!(alices("明天 东京").await, ["我们明天去东京塔"]);
        assert_eq!(alices("塔").await, ["我们明天去东京塔"]);
        assert_eq!(alices("東京タワー").await, ["昨日は東京タワーに行った"]);
        assert_eq!(alices("ﾀﾜｰ").await, ["昨日は東京タワーに行った"]);
        for (q, one) in [
            ("100%", "100% of a_b"),
            ("a_b", "100% of a_b"),
            ("%", "100% of a_b"),
            ("c++", "C++ & 'rust'"),
            ("&", "C++ & 'rust'"),
            ("'rust'", "C++ & 'rust'"),
        ] {
            assert_eq!(alices(q).await, [one], "{q}");
        }
        for none in ["hell", "wor ld", "*", "hello | there", "he%", "\\", "东塔"] {
            assert_eq!(alices(none).await, Vec::<String>::new(), "{none}");
        }
        assert_eq!(words(&cluster, &bob, "hello world").await, ["hello world in private", "Hello, wide World!"]);
        let only = find(&cluster, &bob, &[("q", "hello"), ("conversation_id", &private)]).await;
        assert_eq!(contents(&only), ["hello world in private"]);
        let from = find(&cluster, &bob, &[("q", "hello"), ("from", &bob.id.to_string())]).await;
        assert_eq!(contents(&from), ["hello world in private"]);
        assert_eq!(find(&cluster, &carol, &[("q", "there")]).await["items"], json!([]));
        index_all(&cluster).await;
    }
    // What is said, edited, recalled or hidden after that is known at once.
    let said = say(&cluster, &alice, &chat, "before the edit").await;
    let path = format!("/messages/{}", said["id"].as_str().unwrap());
    index_all(&cluster).await;
    alice.patch(&cluster, 1, &path, json!({"content": "afterwards 編集した"})).await.expect(200);
    for _ in 0..2 {
        assert_eq!(words(&cluster, &bob, "before").await, Vec::<String>::new());
        assert_eq!(words(&cluster, &bob, "編集").await, ["afterwards 編集した"]);
        index_all(&cluster).await;
    }
    bob.delete(&cluster, 1, &path).await.expect(204);
    assert_eq!(words(&cluster, &bob, "編集").await, Vec::<String>::new());
    assert_eq!(words(&cluster, &alice, "編集").await, ["afterwards 編集した"]);
    alice.post(&cluster, 1, &format!("{path}/recall"), json!({})).await.expect(200);
    assert_eq!(words(&cluster, &alice, "編集").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_sees_what_its_user_sees() {
    let cluster = cluster(1).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let made = alice.post(&cluster, 0, "/groups", json!({"name": "g", "members": [bob.id]})).await.expect(201);
    let team = made["id"].as_str().unwrap().to_owned();
    let early = say(&cluster, &alice, &team, "needle before").await;
    let members = format!("/groups/{team}/members");
    alice.post(&cluster, 0, &members, json!({"user_ids": [carol.id]})).await.expect(200);
    say(&cluster, &alice, &team, "needle with carol").await;
    index_all(&cluster).await;
    assert_eq!(words(&cluster, &carol, "needle").await, ["needle with carol"]);
    assert_eq!(words(&cluster, &bob, "needle").await, ["needle with carol", "needle before"]);
    // Nor by an edit that comes later.
    let path = format!("/messages/{}", early["id"].as_str().unwrap());
    alice.patch(&cluster, 0, &path, json!({"content": "needle still before"})).await.expect(200);
    assert_eq!(words(&cluster, &carol, "needle").await, ["needle with carol"]);
    alice.delete(&cluster, 0, &format!("{members}/{}", carol.id)).await.expect(204);
    assert_eq!(words(&cluster, &carol, "needle").await, Vec::<String>::new());
    let one = format!("/messages/search?q=needle&conversation_id={team}");
    carol.get(&cluster, 0, &one).await.refused(404, "not_found");
    alice.post(&cluster, 0, &members, json!({"user_ids": [carol.id]})).await.expect(200);
    assert_eq!(words(&cluster, &carol, "needle").await, Vec::<String>::new());
    say(&cluster, &bob, &team, "needle again").await;
    assert_eq!(words(&cluster, &carol, "needle").await, ["needle again"]);
    // What the request lacks.
    for bad in
        ["", "?q=", "?q=%20", "?q=x&from=me", "?q=x&before=now", "?q=x&conversation_id=1", "?q=a%00", "?q=x&limit=0"]
    {
        let answer = alice.get(&cluster, 0, &format!("/messages/search{bad}")).await;
        assert_eq!(answer.status, 422, "{bad}: {}", answer.body);
    }
    alice.get(&cluster, 0, "/messages/search?q=x&cursor=%25").await.refused(400, "invalid_cursor");
    let unknown = format!("/messages/search?q=x&conversation_id={}", Uuid::new_v4());
    alice.get(&cluster, 0, &unknown).await.refused(404, "not_found");
}

/// Random messages in many conversations, indexed at random moments, against a plain look through all of them; page by page, with
/// times, senders and conversations.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_a_look_through_everything_finds() {
    const WORDS: &[&str] = &["red", "green", "blue", "東京", "京都", "楚", "100%", "Ünïcode", "a_b", "👍"];
    let cluster = cluster(1).await;
    let mut log = Log::open(&cluster).await;
    let alice = cluster.user("alice").await;
    let mut random = StdRng::seed_from_u64(11);
    let peers: Vec<UserId> = {
        let mut peers = Vec::new();
        for number in 0..12 {
            peers.push(UserId(cluster.user(&format!("peer{number}")).await.id));
        }
        peers
    };
    let mut chats: Vec<ConversationRef> = Vec::new();
    for peer in &peers {
        chats.push(log.direct(&cluster, UserId(alice.id), *peer).await);
    }
    for round in 0..1_500 {
        let place = random.random_range(0..chats.len()).min(random.random_range(0..chats.len()));
        let sender = *[UserId(alice.id), peers[place]].choose(&mut random).unwrap();
        let count = random.random_range(1..6);
        let content: Vec<&str> = (0..count).map(|_| *WORDS.choose(&mut random).unwrap()).collect();
        // Other words make blocks come to their end.
        let content = format!(
            "{} {}",
            content.join(" "),
            (0..20).map(|_| format!("w{}", random.random::<u16>())).collect::<Vec<_>>().join(" ")
        );
        log.write(&chats[place], sender, Body::Message(Box::new(Message::text(content.clone())))).await;
        if round == 700 {
            index_all(&cluster).await;
        }
    }
    let blocks: i64 = {
        let mut blocks = 0;
        for shard in &log.shards {
            blocks += shard.query_one("select count(*) from search_block", &[]).await.unwrap().get::<_, i64>(0);
        }
        blocks
    };
    assert!(blocks > 20, "{blocks}");
    let mut all = Vec::new();
    for chat in &chats {
        let rows = log
            .shard(chat.id())
            .query(
                "select id, sender_id, body, created_at from entry where id > $1 and id < $2",
                &[&chat.id(), &chat.id().message(Seq(1 << 39))],
            )
            .await
            .unwrap();
        for row in rows {
            let body: Value = serde_json::from_str(row.get(2)).unwrap();
            let created_at: herald_node::domain::Timestamp = row.get(3);
            all.push((
                created_at,
                row.get::<_, Uuid>(0),
                row.get::<_, Uuid>(1),
                body["content"].as_str().unwrap().to_lowercase(),
            ));
        }
    }
    all.sort_unstable();
    all.reverse();
    assert_eq!(all.len(), 1_500);
    for round in 0..40 {
        if round == 20 {
            index_all(&cluster).await;
        }
        let wanted: HashSet<&str> =
            (0..random.random_range(1..4)).map(|_| *WORDS.choose(&mut random).unwrap()).collect();
        let q = wanted.iter().copied().collect::<Vec<_>>().join(" ");
        let mut query = vec![("q", q.clone()), ("limit", random.random_range(10..120).to_string())];
        let sender = random.random_bool(0.3).then(|| peers.choose(&mut random).unwrap().0);
        query.extend(sender.map(|sender| ("from", sender.to_string())));
        let chat = random.random_bool(0.3).then(|| chats.choose(&mut random).unwrap().id());
        query.extend(chat.map(|chat| ("conversation_id", chat.to_string())));
        let before = random.random_bool(0.3).then(|| all[random.random_range(0..all.len())].0);
        query.extend(before.map(|before| ("before", before.to_string())));
        let after = random.random_bool(0.3).then(|| all[random.random_range(0..all.len())].0);
        query.extend(after.map(|after| ("after", after.to_string())));
        let fits = |(at, id, from, content): &&(herald_node::domain::Timestamp, Uuid, Uuid, String)| {
            let texts: HashSet<&str> = content.split(' ').collect();
            wanted.iter().all(|word| {
                texts.contains(word.to_lowercase().as_str())
                    || (*word == "東京" || *word == "京都" || *word == "楚") && content.contains(word)
            }) && sender.is_none_or(|sender| sender == *from)
                && chat.is_none_or(|chat| herald_node::domain::MessageId(*id).conversation() == chat)
                && before.is_none_or(|before| at.as_millis() < before.as_millis())
                && after.is_none_or(|after| at.as_millis() > after.as_millis())
        };
        let expected: Vec<String> = all.iter().filter(fits).map(|(_, id, _, _)| id.to_string()).collect();
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            query.push(("cursor", &cursor));
            let page = find(&cluster, &alice, &query).await;
            found.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(found, expected, "round {round}: {query:?}");
    }
}

/// Two nodes that index at once, and much that is edited, leave an index that hides nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_index_at_once_do_not_lose_anything() {
    let cluster = cluster(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let chat = direct(&cluster, &alice, &bob).await;
    let id = ConversationId(chat.parse().unwrap());
    let indexing = [0, 1].map(|node| {
        let app = cluster.app(node).clone();
        tokio::spawn(async move {
            for _ in 0..60 {
                index_logs(app.shards.of(id).unwrap(), &[id]).await.unwrap();
            }
        })
    });
    let mut paths = Vec::new();
    for number in 0..60 {
        let said = say(&cluster, &alice, &chat, &format!("needle{number} {}", "lorem ipsum ".repeat(20))).await;
        paths.push(format!("/messages/{}", said["id"].as_str().unwrap()));
        if number % 3 == 0 {
            let edited = json!({"content": format!("changed{number}")});
            alice.patch(&cluster, 1, &paths[number / 2], edited).await.expect(200);
        }
    }
    for task in indexing {
        task.await.unwrap();
    }
    index_all(&cluster).await;
    let all = bob.get(&cluster, 0, &format!("/conversations/{chat}/messages?limit=200")).await.expect(200);
    for item in all["items"].as_array().unwrap() {
        let word = item["content"].as_str().unwrap().split(' ').next().unwrap();
        assert_eq!(words(&cluster, &bob, word).await.len(), 1, "{word}");
    }
}

/// Figures for a machine that does nothing else: `HERALD_SEARCH_MESSAGES=10000000 cargo test --release -p herald-node --test it
/// search::measured -- --ignored --nocapture`. A user is in a hundred of many conversations, and in one with a tenth of a million.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn measured() {
    let messages: i32 = std::env::var("HERALD_SEARCH_MESSAGES").map_or(1_000_000, |count| count.parse().unwrap());
    let cluster = Setup::nodes(1).shards(1).start().await;
    let mut log = Log::open(&cluster).await;
    let alice = cluster.user("alice").await;
    let shard = cluster.databases.shard(0).await;
    let per_conversation = 1_000;
    let begun = Instant::now();
    // Words of two Chinese characters and of Latin letters, some much more often than others.
    shard
        .batch_execute(
            "create table word as
             select n, case when n % 8 = 0 then ' ' || substr(md5(n::text), 1, 3 + n % 6) || ' '
                       else chr(19968 + (n * 7919) % 4000) || chr(19968 + (n * 104729) % 4000) end as word
             from generate_series(0, 4999) n;
             create unique index on word (n);
             create table content as
             select n, (select string_agg(w.word, '') from generate_series(1, 5 + n % 13) g
                        cross join lateral (select floor(power(random(), 3) * 5000)::int + 0 * (g + n) as place) r
                        join word w on w.n = r.place) as text
             from generate_series(0, 19999) n;",
        )
        .await
        .unwrap();
    let ids: Vec<ConversationId> = (0..messages / per_conversation).map(|_| ConversationId::random()).collect();
    let large = ConversationId::random();
    let mine: Vec<ConversationId> = ids.iter().take(100).copied().chain([large]).collect();
    for part in ids.chunks(100).chain([[large].as_slice()]) {
        let count = if part == [large] { 100_000 } else { per_conversation };
        shard
            .execute(
                "insert into conversation (id, kind, title, member_count, max_members, last_seq, last_ordinal)
                 select id, 2, 'g', 2, 500, $2, $2 from unnest($1::uuid[]) id",
                &[&part, &i64::from(count)],
            )
            .await
            .unwrap();
        shard
            .execute(
                "insert into entry (id, client_key, sender_id, sender_name, kind, body, ordinal, boot, created_at)
                 select (left(id::text, 26) || lpad(to_hex(seq), 10, '0'))::uuid, id, $3, 'somebody', 1,
                        json_build_object('message_type', 'text', 'content', c.text)::text, seq, id,
                        now() - interval '300 days' * (1 - (seq - random()) / $2)
                 from unnest($1::uuid[]) id, generate_series(1, $2::int) seq
                 cross join lateral (select floor(random() * 20000)::int + 0 * seq as n) r
                 join content c on c.n = r.n",
                &[&part, &count, &alice.id],
            )
            .await
            .unwrap();
    }
    for id in &mine {
        log.place(&cluster, *id);
        log.join(*id, UserId(alice.id), Seq(1), 0).await;
    }
    shard.batch_execute("vacuum analyze").await.unwrap();
    println!("{messages} messages written in {:?}", begun.elapsed());
    let begun = Instant::now();
    index_all(&cluster).await;
    shard.batch_execute("vacuum analyze").await.unwrap();
    let size: i64 = shard.query_one("select pg_total_relation_size('search_block')", &[]).await.unwrap().get(0);
    let blocks: i64 = shard.query_one("select count(*) from search_block", &[]).await.unwrap().get(0);
    println!("indexed in {:?}: {blocks} blocks, {} MiB", begun.elapsed(), size >> 20);
    let mut random = StdRng::seed_from_u64(5);
    for (name, count) in [("one word", 1), ("three words", 3), ("words of nobody", 0)] {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..300 {
            let id = *mine.choose(&mut random).unwrap();
            let row = shard
                .query_one(
                    "select body from entry where id >= $1 order by id limit 1",
                    &[&id.message(Seq(random.random_range(1..1_000)))],
                )
                .await
                .unwrap();
            let body: Value = serde_json::from_str(row.get(0)).unwrap();
            let content: Vec<char> = body["content"].as_str().unwrap().chars().filter(|c| !c.is_ascii()).collect();
            let words: Vec<String> = (0..count)
                .map(|_| {
                    let at = random.random_range(0..content.len().max(3) - 2);
                    content.iter().skip(at).take(2).collect()
                })
                .collect();
            let q = if count == 0 { format!("nothing{}", random.random::<u32>()) } else { words.join(" ") };
            let begun = Instant::now();
            found += find(&cluster, &alice, &[("q", &q)]).await["items"].as_array().unwrap().len();
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        println!("{name}: p50 {:?}, p99 {:?}, {found} found in 300 searches", times[150], times[296]);
    }
}
