//! What a new cluster begins with: its databases, and users to try it with.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::layout::{self, Layout};
use super::process::POLL;
use super::{DevOptions, StartError};
use crate::auth::password::{Password, hash_now};
use crate::cli::with_causes;
use crate::config::Config;
use crate::domain::UserId;
use crate::domain::account::Username;
use crate::domain::command::Actor;
use crate::run::Node;
use crate::service::people::make_friends::make_friends;
use crate::storage::directory::seed::{self, SeedAccount};
use crate::storage::provision::Connection;
use crate::storage::{migrate, provision};

const FRIENDS: [&str; 3] = ["alice", "bob", "carol"];
const ADMIN: &str = "admin";
const LOADTEST_PASSWORD: &str = "loadtest-password";
const BATCH: usize = 10_000;
const BEFRIEND_TIMEOUT: Duration = Duration::from_secs(3);

/// Databases, schema and users; what is there already is left alone.
pub async fn seed(layout: &Layout, config: &Config, options: &DevOptions) -> Result<(), StartError> {
    make_databases(layout, options).await?;
    migrate::migrate(config).await.map_err(|error| StartError::caused("migration", &error))?;
    let failed = |error: crate::storage::StorageError| StartError::caused("seeding", &error);
    let client = provision::connect(&config.directory.url).await.map_err(failed)?;
    let friends = make_people(&client).await?;
    let ids: Vec<UserId> = friends.iter().map(|friend| friend.id).collect();
    let wanted = i64::try_from(ids.len() * ids.len().saturating_sub(1)).unwrap_or(i64::MAX);
    if seed::count_friends(&client, &ids).await.map_err(failed)? < wanted {
        befriend(config, &friends).await?;
    }
    if options.seed_users > 0 {
        make_many(&client, layout, options.seed_users).await?;
    }
    Ok(())
}

async fn make_databases(layout: &Layout, options: &DevOptions) -> Result<(), StartError> {
    let shards = (0..options.shards).map(|shard| layout.shard_url(shard));
    for url in std::iter::once(layout.directory_url()).chain(shards) {
        let Some((server, name)) = url.rsplit_once('/') else { continue };
        provision::create_database(&format!("{server}/postgres"), name)
            .await
            .map_err(|error| StartError::caused(&format!("database {name}"), &error))?;
    }
    Ok(())
}

fn username(name: &str) -> Result<Username, StartError> {
    Username::parse(name).map_err(|refusal| StartError::new(format!("{name}: {refusal:?}")))
}

/// Those with a password of their own: `alice-password` and so on. Answers the friends.
async fn make_people(client: &Connection) -> Result<Vec<SeedAccount>, StartError> {
    let failed = |error: crate::storage::StorageError| StartError::caused("seeding", &error);
    let names = FRIENDS.iter().chain(&[ADMIN]).map(|name| username(name)).collect::<Result<Vec<_>, _>>()?;
    let known = seed::find_accounts(client, &names).await.map_err(failed)?;
    for name in &names {
        let is_known = known.iter().any(|account| account.username.as_deref() == Some(&name.shown));
        if !is_known {
            let password = Password::given(&format!("{}-password", name.shown));
            let hash = hash_now(&password).map_err(|error| StartError::caused("seeding", &error))?;
            let roles = if name.shown == ADMIN { vec![ADMIN.to_owned()] } else { Vec::new() };
            let account = (UserId::random(), name.clone());
            seed::insert_accounts(client, &[account], &hash, &roles).await.map_err(failed)?;
        }
    }
    let friends = names.get(..FRIENDS.len()).unwrap_or_default();
    seed::find_accounts(client, friends).await.map_err(failed)
}

/// Friendship is state of the pairs' rows, which only a node writes: one runs for this, without clients.
async fn befriend(config: &Config, friends: &[SeedAccount]) -> Result<(), StartError> {
    let config = Config {
        node_id: "seed".to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        internal_listen: "127.0.0.1:0".to_owned(),
        drain_s: 0,
        crash_point: None,
        ..config.clone()
    };
    let node = Node::start(config).await.map_err(|error| StartError::caused("seeding", &error))?;
    let deadline = Instant::now() + BEFRIEND_TIMEOUT;
    let mut result = Ok(());
    for (index, one) in friends.iter().enumerate() {
        for other in friends.iter().skip(index + 1) {
            while result.is_ok() {
                let actor = Actor { id: one.id, name: one.display_name.as_str().into() };
                match make_friends(&node.app, actor, other.id, true).await {
                    Ok(()) => break,
                    // The node has only just come up.
                    Err(_) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
                    Err(error) => result = Err(error),
                }
            }
        }
    }
    node.shutdown().await;
    if let Err(error) = result {
        eprintln!(
            "alice, bob and carol could not be made friends ({}); the next start tries again",
            with_causes(&error)
        );
    }
    Ok(())
}

/// Users u1 to uN with ids that follow from their names, so that nobody has to ask for them.
async fn make_many(client: &Connection, layout: &Layout, count: u32) -> Result<(), StartError> {
    let failed = |error: crate::storage::StorageError| StartError::caused("seeding", &error);
    let accounts = (1..=count)
        .map(|number| {
            let name = format!("u{number}");
            // Shorter than what clients may choose, so nobody else has them.
            let key = name.clone();
            (UserId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())), Username { shown: name, key })
        })
        .collect::<Vec<_>>();
    let hash = hash_now(&Password::given(LOADTEST_PASSWORD)).map_err(|error| StartError::caused("seeding", &error))?;
    for batch in accounts.chunks(BATCH) {
        seed::insert_accounts(client, batch, &hash, &[]).await.map_err(failed)?;
    }
    let mut lines = String::new();
    for (id, name) in &accounts {
        let _ = writeln!(lines, "{id} {}", name.shown);
    }
    layout::write_private(&layout.data_dir.join("loadtest-users"), &lines)
}
