//! Messages as one reader sees them: in their present state, with the reactions that they have now.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;

use crate::app::App;
use crate::domain::reactions::Reactions;
use crate::domain::{Body, ConversationRef, Entry, UserId};
use crate::error::Result;
use crate::storage::ShardId;
use crate::storage::shard::hidden::read_hidden_among;
use crate::storage::shard::read_extras::read_reactions;

/// A message for one reader.
#[derive(Clone, Debug)]
pub struct MessageView {
    pub conversation: ConversationRef,
    pub entry: Entry,
    pub reactions: Reactions,
    /// The reader has hidden it, and is shown no content.
    pub is_hidden: bool,
}

/// Messages of any conversations, in the order given. That the reader may see them has been decided before.
pub async fn view_messages(
    app: &App,
    reader: UserId,
    messages: Vec<(ConversationRef, Entry)>,
) -> Result<Vec<MessageView>> {
    let mut by_shard: BTreeMap<ShardId, Vec<&Entry>> = BTreeMap::new();
    for (conversation, entry) in &messages {
        by_shard.entry(app.shards.of(conversation.id())?.id).or_default().push(entry);
    }
    let reads = by_shard.iter().filter_map(|(id, entries)| Some((app.shards.get(*id)?, entries)));
    let reads = reads.map(async |(shard, entries)| {
        let is_shown = |entry: &Entry| matches!(&entry.body, Body::Message(message) if message.recalled.is_none());
        let shown: Vec<_> = entries.iter().filter(|entry| is_shown(entry)).map(|entry| entry.id).collect();
        let reactions = read_reactions(shard, reader, &shown).await?;
        let all: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        Ok::<_, crate::error::Error>((reactions, read_hidden_among(shard, reader, &all).await?))
    });
    let (mut reactions, mut hidden) = (BTreeMap::new(), BTreeSet::new());
    for (of_shard, hidden_there) in try_join_all(reads).await? {
        reactions.extend(of_shard);
        hidden.extend(hidden_there);
    }
    let view = |(conversation, entry): (ConversationRef, Entry)| MessageView {
        reactions: reactions.remove(&entry.id).unwrap_or_default(),
        is_hidden: hidden.contains(&entry.id),
        conversation,
        entry,
    };
    Ok(messages.into_iter().map(view).collect())
}
