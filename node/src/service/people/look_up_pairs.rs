//! Whom a user blocks, is blocked by, and is friends with: from the directory's lists, at most a second old.

use std::sync::Arc;
use std::time::Instant;

use crate::app::App;
use crate::domain::UserId;
use crate::error::Result;
use crate::memory::pairs::Blocks;
use crate::storage::directory::pairs;

pub async fn blocks_of(app: &App, user: UserId) -> Result<Arc<Blocks>> {
    if let Some(blocks) = app.pair_memory.blocks(user) {
        return Ok(blocks);
    }
    let at = Instant::now();
    let mut blocks = Blocks::default();
    for row in pairs::read_blocks(&app.directory, user).await? {
        if row.user == user {
            blocks.by_user.insert(row.other);
        } else {
            blocks.of_user.insert(row.user);
        }
    }
    let blocks = Arc::new(blocks);
    app.pair_memory.keep_blocks(user, Arc::clone(&blocks), at);
    Ok(blocks)
}

pub async fn friends_of(app: &App, user: UserId) -> Result<Arc<Vec<UserId>>> {
    if let Some(friends) = app.pair_memory.friends(user) {
        return Ok(friends);
    }
    let at = Instant::now();
    let friends = Arc::new(pairs::read_friends(&app.directory, user).await?);
    app.pair_memory.keep_friends(user, Arc::clone(&friends), at);
    Ok(friends)
}
