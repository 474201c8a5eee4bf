//! The schema comes into being once, however many programs bring it.

use herald_node::config::Config;
use herald_node::storage::{migrate, provision};

use crate::support::Databases;
use crate::support::services::{self, services};

async fn empty_database() -> String {
    let name = format!("t{}_empty", services::unique());
    provision::create_database(&services().postgres.url("postgres"), &name).await.unwrap();
    services().postgres.url(&name)
}

#[tokio::test]
async fn one_database_can_be_directory_and_shard() {
    let mut config = Config::default();
    config.directory.url = empty_database().await;
    let config = config.prepare().unwrap();
    assert!(migrate::check(&config).await.unwrap_err().to_string().contains("herald migrate"));
    assert!(!migrate::migrate(&config).await.unwrap().is_empty());
    assert!(migrate::migrate(&config).await.unwrap().is_empty(), "a second time there is nothing to do");
    assert!(migrate::check(&config).await.unwrap().is_empty());
}

#[tokio::test]
async fn several_programs_migrate_at_once() {
    let url = empty_database().await;
    let all = (0..8).map(|_| {
        let mut config = Config::default();
        config.directory.url.clone_from(&url);
        async move { migrate::migrate(&config.prepare().unwrap()).await }
    });
    let done = futures_util::future::try_join_all(all).await.unwrap();
    // Directory and shard are locked one after the other, so two programs may have done one each.
    let mut applied: Vec<String> = done.into_iter().flatten().collect();
    applied.sort();
    let once: std::collections::BTreeSet<String> = applied.iter().cloned().collect();
    assert!(applied.len() >= 2 && applied.len() == once.len(), "each once: {applied:?}");
    let client = provision::connect(&url).await.unwrap();
    let slots: i64 = client.query_one("select count(*) from slot", &[]).await.unwrap().get(0);
    assert_eq!(slots, 1024);
}

#[tokio::test]
async fn a_slot_held_twice_or_by_nobody_is_refused() {
    let databases = Databases::new(2).await;
    let mut config = Config::default();
    config.directory.url.clone_from(&databases.directory_url);
    config.shards.clone_from(&databases.shards);
    let config = config.prepare().unwrap();
    migrate::migrate(&config).await.unwrap();
    let second = databases.shard(1).await;
    second.execute("insert into slot (slot) values (5)", &[]).await.unwrap();
    assert!(migrate::migrate(&config).await.unwrap_err().to_string().contains("slot 5 is held by both"));
    second.execute("delete from slot where slot in (5, 700)", &[]).await.unwrap();
    assert!(migrate::migrate(&config).await.unwrap_err().to_string().contains("slot 700 is held by no shard"));
}
