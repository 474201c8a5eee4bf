//! Conversations and entries written by hand, as a lane writes them, in transactions that a test holds open as long as it likes.

use std::collections::HashMap;

use herald_node::domain::entry::{Edit, Reaction, Recall, UserIds};
use herald_node::domain::message::{Edited, Message, Recalled, client_key};
use herald_node::domain::{Body, ConversationId, ConversationRef, JoinToken, Seq, Timestamp, UserId};
use tokio_postgres::{Client, GenericClient};
use uuid::Uuid;

use super::cluster::Cluster;

/// Connections to all databases of a cluster.
pub struct Log {
    pub directory: Client,
    pub shards: Vec<Client>,
    shard_of: HashMap<ConversationId, usize>,
}

impl Log {
    pub async fn open(cluster: &Cluster) -> Self {
        let mut shards = Vec::new();
        for index in 0..cluster.databases.shards.len() {
            shards.push(cluster.databases.shard(index).await);
        }
        Self { directory: cluster.databases.directory().await, shards, shard_of: HashMap::new() }
    }

    /// A direct conversation, listed for both, without entries.
    pub async fn direct(&mut self, cluster: &Cluster, one: UserId, other: UserId) -> ConversationRef {
        let conversation = ConversationRef::direct(one, other);
        let ConversationRef::Direct { id, low, high } = conversation else { unreachable!() };
        let shard = self.place(cluster, id);
        self.shards[shard]
            .execute(
                "insert into conversation (id, kind, low_user, high_user) values ($1, 1, $2, $3)",
                &[&id, &low, &high],
            )
            .await
            .unwrap();
        for (user, peer) in [(one, other), (other, one)] {
            self.directory
                .execute(
                    "insert into listing (user_id, conversation_id, join_token, kind, peer_id) values ($1, $2, $3, 1, $4)",
                    &[&user, &id, &JoinToken::DIRECT, &peer],
                )
                .await
                .unwrap();
        }
        conversation
    }

    /// A group of these members, the first is the owner, without entries: nobody minds that `created` is missing.
    pub async fn group(&mut self, cluster: &Cluster, members: &[UserId]) -> ConversationRef {
        let id = ConversationId::random();
        let shard = self.place(cluster, id);
        let count = i32::try_from(members.len()).unwrap();
        self.shards[shard]
            .execute(
                "insert into conversation (id, kind, title, owner_id, max_members, member_count) values ($1, 2, 'a group', $2, 500, $3)",
                &[&id, &members[0], &count],
            )
            .await
            .unwrap();
        for user in members {
            self.join(id, *user, Seq(1), 0).await;
        }
        ConversationRef::Group { id }
    }

    /// Makes a user a member from `first_seq` on.
    pub async fn join(&self, id: ConversationId, user: UserId, first_seq: Seq, first_ordinal: i64) {
        let token = JoinToken::random();
        self.shard(id)
            .execute(
                "insert into member (conversation_id, user_id, join_token, role, first_seq, first_ordinal, read_seq, read_ordinal,
                                     delivered_seq, joined_at)
                 values ($1, $2, $3, 0, $4, $5, $4::int8 - 1, $5, $4::int8 - 1, clock_timestamp())
                 on conflict (conversation_id, user_id) do update
                 set join_token = excluded.join_token, first_seq = excluded.first_seq, first_ordinal = excluded.first_ordinal,
                     left_seq = null, own_tx = pg_current_xact_id()",
                &[&id, &user, &token, &first_seq, &first_ordinal],
            )
            .await
            .unwrap();
        self.directory
            .execute(
                "insert into listing (user_id, conversation_id, join_token, kind) values ($1, $2, $3, 2)",
                &[&user, &id, &token],
            )
            .await
            .unwrap();
    }

    /// Ends a membership with a `member_removed` entry, which is the last that the user sees.
    pub async fn remove(&mut self, conversation: &ConversationRef, by: UserId, user: UserId) -> Seq {
        let id = conversation.id();
        let shard = self.shard_of[&id];
        let transaction = self.shards[shard].transaction().await.unwrap();
        let seq = append(&transaction, id, by, Body::MemberRemoved(UserIds { user_ids: vec![user] })).await;
        transaction
            .execute("update member set left_seq = $3 where conversation_id = $1 and user_id = $2", &[&id, &user, &seq])
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        seq
    }

    pub fn shard(&self, id: ConversationId) -> &Client {
        &self.shards[self.shard_of[&id]]
    }

    /// One entry, committed.
    pub async fn write(&mut self, conversation: &ConversationRef, sender: UserId, body: Body) -> Seq {
        let shard = self.shard_of[&conversation.id()];
        let transaction = self.shards[shard].transaction().await.unwrap();
        let seq = append(&transaction, conversation.id(), sender, body).await;
        transaction.commit().await.unwrap();
        seq
    }

    pub async fn say(&mut self, conversation: &ConversationRef, sender: UserId, content: &str) -> Seq {
        self.write(conversation, sender, Body::Message(Box::new(Message::text(content)))).await
    }

    pub fn place(&mut self, cluster: &Cluster, id: ConversationId) -> usize {
        let shard = usize::from(cluster.app(0).shards.of(id).unwrap().id.0);
        self.shard_of.insert(id, shard);
        shard
    }
}

/// Uses up transaction numbers, so that a cursor's reach back of 1,000 does not hide what it misses.
pub async fn burn_transactions(client: &Client, count: u32) {
    let sql = format!("do $$ begin for i in 1..{count} loop perform pg_current_xact_id(); commit; end loop; end $$");
    client.batch_execute(&sql).await.unwrap();
}

/// Appends an entry inside a transaction, which holds the conversation's row from here on, and changes the message it speaks of.
pub async fn append(client: &impl GenericClient, id: ConversationId, sender: UserId, body: Body) -> Seq {
    let counts = matches!(body, Body::Message(_));
    let row = client
        .query_one(
            "update conversation
             set last_seq = last_seq + 1, last_ordinal = last_ordinal + $2, changed_tx = pg_current_xact_id(),
                 last_created_at = greatest(clock_timestamp(), last_created_at)
             where id = $1 returning last_seq, last_ordinal, last_created_at",
            &[&id, &i64::from(counts)],
        )
        .await
        .unwrap();
    let (seq, ordinal, created_at): (Seq, i64, Timestamp) = (row.get(0), row.get(1), row.get(2));
    match &body {
        Body::Recall(Recall { message_seq }) => {
            let recalled = Recalled { at: created_at, by: sender, seq };
            change(client, id, *message_seq, |message| {
                message.content = None;
                message.recalled = Some(recalled);
            })
            .await;
        }
        Body::Edit(Edit { message_seq }) => {
            let edited = Edited { at: created_at, seq };
            change(client, id, *message_seq, |message| {
                message.content = Some(format!("edited at {}", seq.0));
                message.edited = Some(edited);
            })
            .await;
        }
        Body::Reaction(Reaction { message_seq, emoji, add }) => {
            client
                .execute(
                    "insert into reaction (conversation_id, message_seq, emoji, user_id, is_present, seq)
                     values ($1, $2, $3, $4, $5, $6)
                     on conflict (conversation_id, message_seq, emoji, user_id) do update
                     set is_present = excluded.is_present, seq = excluded.seq",
                    &[&id, message_seq, emoji, &sender, add, &seq],
                )
                .await
                .unwrap();
        }
        _ => {}
    }
    let temp_id = counts.then(|| Uuid::new_v4().to_string());
    let key = client_key(id, sender, temp_id.as_deref().unwrap_or_default());
    client
        .execute(
            "insert into entry (id, client_key, sender_id, sender_name, kind, body, temp_id, ordinal, boot, created_at)
             values ($1, $2, $3, 'somebody', $4, $5, $6, $7, $3, $8)",
            &[
                &id.message(seq),
                &key,
                &sender,
                &body.kind().code(),
                &body.to_json().unwrap(),
                &temp_id,
                &ordinal,
                &created_at,
            ],
        )
        .await
        .unwrap();
    seq
}

async fn change(client: &impl GenericClient, id: ConversationId, seq: Seq, change: impl FnOnce(&mut Message)) {
    let row = client.query_one("select body from entry where id = $1", &[&id.message(seq)]).await.unwrap();
    let mut message: Message = serde_json::from_str(row.get(0)).unwrap();
    change(&mut message);
    let body = Body::Message(Box::new(message)).to_json().unwrap();
    client.execute("update entry set body = $2 where id = $1", &[&id.message(seq), &body]).await.unwrap();
}
