//! Every statement of the storage is prepared on the migrated schema, and the lanes' are planned over indexes.

use std::fs;
use std::path::Path;

use herald_node::storage::shard::{
    hidden, index_logs, invites, lane, own_rows, read_delivery, read_entries, read_extras, read_heirs, read_members,
    read_message, read_own_messages, read_pins, read_readers, read_sizes, read_snapshot, read_states, read_written,
    search, slots, write_received,
};
use herald_node::storage::{directory, migrate, outbox, pool, provision};
use tokio_postgres::NoTls;

use super::support::{Databases, rust_files};

const OF_DIRECTORY: &[&[&str]] = &[
    directory::accounts::STATEMENTS,
    directory::admin_accounts::STATEMENTS,
    directory::audit::STATEMENTS,
    directory::broadcasts::STATEMENTS,
    directory::changes::STATEMENTS,
    directory::deletions::STATEMENTS,
    directory::events::STATEMENTS,
    directory::friend_budget::STATEMENTS,
    directory::listing::STATEMENTS,
    directory::logins::STATEMENTS,
    directory::node_reports::STATEMENTS,
    directory::notifications::STATEMENTS,
    directory::pairs::STATEMENTS,
    directory::profiles::STATEMENTS,
    directory::read_listing::STATEMENTS,
    directory::search_names::STATEMENTS,
    directory::seed::STATEMENTS,
    directory::settings::STATEMENTS,
    directory::templates::STATEMENTS,
    directory::topics::STATEMENTS,
    directory::used_tokens::STATEMENTS,
    outbox::STATEMENTS,
    migrate::STATEMENTS_DIRECTORY,
    pool::STATEMENTS,
    provision::STATEMENTS,
];

const OF_SHARDS: &[&[&str]] = &[
    hidden::STATEMENTS,
    index_logs::STATEMENTS,
    invites::STATEMENTS,
    lane::STATEMENTS,
    own_rows::STATEMENTS,
    read_delivery::STATEMENTS,
    read_entries::STATEMENTS,
    read_extras::STATEMENTS,
    read_heirs::STATEMENTS,
    read_members::STATEMENTS,
    read_message::STATEMENTS,
    read_own_messages::STATEMENTS,
    read_pins::STATEMENTS,
    read_readers::STATEMENTS,
    read_sizes::STATEMENTS,
    read_snapshot::STATEMENTS,
    read_states::STATEMENTS,
    read_written::STATEMENTS,
    search::STATEMENTS,
    slots::STATEMENTS,
    write_received::STATEMENTS,
    outbox::STATEMENTS,
    migrate::STATEMENTS_SHARD,
    pool::STATEMENTS,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_can_be_prepared() {
    let databases = Databases::new(1).await;
    for (client, lists) in [(databases.directory().await, OF_DIRECTORY), (databases.shard(0).await, OF_SHARDS)] {
        for sql in lists.iter().copied().flatten() {
            if let Err(error) = client.prepare(sql).await {
                panic!("{error:?}\n{sql}");
            }
        }
    }
}

/// A constant that is a statement is named again, in the list of its file or in the lane's.
#[test]
fn no_statement_is_left_out() {
    let storage = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage");
    let link = fs::read_to_string(storage.join("shard/lane/link.rs")).unwrap();
    for file in rust_files(&storage) {
        let text = fs::read_to_string(&file).unwrap();
        let lists: String =
            text.split("STATEMENTS").skip(1).map(|rest| rest.split("];").next().unwrap_or_default()).collect();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(": &str =") {
            let name = rest[..at].rsplit(' ').next().unwrap();
            rest = &rest[at + 8..];
            let value = rest.split_once('"').map_or("", |(_, value)| value).trim_start_matches(['\\', '\n', ' ']);
            let is_statement = ["select", "insert", "update", "delete", "with"]
                .iter()
                .any(|verb| value.to_lowercase().starts_with(&format!("{verb} ")));
            let is_named = lists.contains(name) || link.contains(&format!("::{name}"));
            assert!(!is_statement || is_named, "{name} of {} is in no list", file.display());
        }
    }
}

/// As a lane plans them, on tables that are still empty: a plan made then is kept.
#[tokio::test(flavor = "multi_thread")]
async fn lanes_go_by_indexes_from_the_first_message_on() {
    let databases = Databases::new(1).await;
    let mut config: tokio_postgres::Config = databases.shards[0].url.parse().unwrap();
    config.options(lane::OPTIONS);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut plans = String::new();
    for (number, sql) in lane::STATEMENTS.iter().enumerate() {
        let parameters = client.prepare(sql).await.unwrap().params().len();
        client.batch_execute(&format!("prepare s{number} as {sql}")).await.unwrap();
        let nulls = vec!["null"; parameters].join(", ");
        let arguments = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
        let rows = client.query(&format!("explain execute s{number}{arguments}"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        for table in ["entry", "conversation", "member", "reaction", "personal", "pin", "slot"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{sql}\n{plan}");
        }
        if sql.contains("e.client_key = k.key") {
            assert!(plan.contains("_client_key_idx"), "{sql}\n{plan}");
        }
        plans += &format!("{sql}\n{plan}\n\n");
    }
    println!("{plans}");
    driver.abort();
}
