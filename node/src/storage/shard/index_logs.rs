//! Makes the search index of logs: adds what has come to each since it was last looked at. The lock on `search_state` makes it one
//! node at a time for each log; what another is at is left to it.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::join;
use tokio_postgres::Row;

use super::Shard;
use crate::domain::ids::SEQ_MAX;
use crate::domain::message::Message;
use crate::domain::search::{BITS_SET_MAX, WordBits};
use crate::domain::{Body, ConversationId, MessageId, Seq, Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] =
    &[MAKE_STATES, LOCK_STATES, OPEN_BLOCKS, NEW_ENTRIES, TARGETS, BLOCKS_OF, WRITE_BLOCKS, WRITE_STATES, UNINDEXED];

/// Logs of one transaction, and new entries that it takes at most: some milliseconds of work, for which it holds its locks.
pub const LOGS_MAX: usize = 64;
const ENTRIES_MAX: i64 = 1_000;

const MAKE_STATES: &str = "
    insert into search_state (conversation_id)
    select c.id from conversation c
    where c.id = any($1) and not exists (select 1 from search_state s where s.conversation_id = c.id)
    order by c.id on conflict do nothing";

const LOCK_STATES: &str = "
    select conversation_id, indexed_seq, open_seq from search_state
    where conversation_id = any($1) order by conversation_id for update skip locked";

const OPEN_BLOCKS: &str = "
    select b.conversation_id, b.first_seq, b.last_seq, b.first_at, b.last_at, b.bits
    from unnest($1::uuid[], $2::int8[]) as w (conversation_id, first_seq)
    join search_block b on b.conversation_id = w.conversation_id and b.first_seq = w.first_seq";

const NEW_ENTRIES: &str = "
    select e.id, e.sender_id, e.kind, e.body, e.created_at
    from unnest($1::uuid[], $2::uuid[]) as w (low, high)
    cross join lateral (
        select id, sender_id, kind, case when kind in (1, 3) then body else '' end as body, created_at from entry
        where entry.id > w.low and entry.id <= w.high order by entry.id limit $3) e
    limit $3";

const TARGETS: &str = "
    select e.id, e.sender_id, e.kind, e.body, e.created_at
    from unnest($1::uuid[]) as w (id) join entry e on e.id = w.id where e.kind = 1";

const BLOCKS_OF: &str = "
    select b.conversation_id, b.first_seq, b.last_seq, b.first_at, b.last_at, b.bits
    from unnest($1::uuid[], $2::int8[]) as w (conversation_id, seq)
    cross join lateral (select * from search_block
                        where search_block.conversation_id = w.conversation_id and search_block.first_seq <= w.seq
                        order by search_block.first_seq desc limit 1) b";

const WRITE_BLOCKS: &str = "
    insert into search_block (conversation_id, first_seq, last_seq, first_at, last_at, bits)
    select * from unnest($1::uuid[], $2::int8[], $3::int8[], $4::timestamptz[], $5::timestamptz[], $6::bit varying[])
    on conflict (conversation_id, first_seq) do update
        set last_seq = excluded.last_seq, last_at = excluded.last_at, bits = excluded.bits";

const WRITE_STATES: &str = "
    update search_state s set indexed_seq = u.indexed_seq, open_seq = u.open_seq
    from unnest($1::uuid[], $2::int8[], $3::int8[]) as u (conversation_id, indexed_seq, open_seq)
    where s.conversation_id = u.conversation_id";

const UNINDEXED: &str = "
    select c.id, c.last_seq > coalesce(s.indexed_seq, 0)
    from conversation c left join search_state s on s.conversation_id = c.id
    where c.id > $1 and c.last_ordinal > 0
    order by c.id limit $2";

/// A block as it is or is to be.
#[derive(Clone, Debug)]
struct Block {
    first_seq: Seq,
    last_seq: Seq,
    first_at: Timestamp,
    last_at: Timestamp,
    bits: WordBits,
    is_changed: bool,
}

/// One log that is being indexed.
#[derive(Debug)]
struct Log {
    indexed_seq: Seq,
    /// The one that still grows.
    open_seq: Seq,
    /// By `first_seq`: those that are looked at.
    blocks: BTreeMap<Seq, Block>,
}

/// A message in its present state.
struct Found {
    id: MessageId,
    sender: UserId,
    content: String,
    created_at: Timestamp,
}

/// Indexes what has come to these logs, [`LOGS_MAX`] at most. Answers those that are to be looked at again: there was more in them, or
/// another node is at them.
pub async fn index_logs(shard: &Shard, ids: &[ConversationId]) -> Result<Vec<ConversationId>, StorageError> {
    let mut client = shard.client().await?;
    client.execute(MAKE_STATES, &[&ids]).await?;
    let transaction = client.transaction().await?;
    let mut logs = HashMap::new();
    // Locked in one statement and read in the next, which sees what was committed meanwhile.
    for row in transaction.query(LOCK_STATES, &[&ids]).await? {
        let log = Log { indexed_seq: row.try_get(1)?, open_seq: row.try_get(2)?, blocks: BTreeMap::new() };
        logs.insert(row.try_get::<_, ConversationId>(0)?, log);
    }
    let mut again: HashSet<ConversationId> = ids.iter().filter(|id| !logs.contains_key(id)).copied().collect();
    let (locked, open): (Vec<_>, Vec<_>) = logs.iter().map(|(id, log)| (*id, log.open_seq)).unzip();
    let after: Vec<MessageId> = logs.iter().map(|(id, log)| id.message(log.indexed_seq)).collect();
    let last: Vec<MessageId> = logs.keys().map(|id| id.message(Seq(SEQ_MAX))).collect();
    let entries_max = ENTRIES_MAX;
    let (blocks, entries) = join!(async { transaction.query(OPEN_BLOCKS, &[&locked, &open]).await }, async {
        transaction.query(NEW_ENTRIES, &[&after, &last, &entries_max]).await
    },);
    put_blocks(&mut logs, &blocks?)?;
    let entries = entries?;
    if i64::try_from(entries.len()).unwrap_or(i64::MAX) >= ENTRIES_MAX {
        // Of each log these are the first of its new entries, whatever was left out.
        again.extend(&locked);
    }
    let mut edited = HashSet::new();
    for row in entries {
        let id: MessageId = row.try_get(0)?;
        let Some(log) = logs.get_mut(&id.conversation()) else { continue };
        log.indexed_seq = log.indexed_seq.max(id.seq());
        match body_of(&row)? {
            Some(Body::Message(message)) => {
                if let Some(found) = found_of(&row, *message)? {
                    log.add(&found);
                }
            }
            Some(Body::Edit(edit)) => {
                edited.insert(id.conversation().message(edit.message_seq));
            }
            _ => {}
        }
    }
    if !edited.is_empty() {
        let edited: Vec<MessageId> = edited.into_iter().collect();
        let (conversations, seqs): (Vec<_>, Vec<_>) = edited.iter().map(|id| (id.conversation(), id.seq())).unzip();
        let (targets, blocks) = join!(async { transaction.query(TARGETS, &[&edited]).await }, async {
            transaction.query(BLOCKS_OF, &[&conversations, &seqs]).await
        },);
        put_blocks(&mut logs, &blocks?)?;
        for row in targets? {
            if let Some(Body::Message(message)) = body_of(&row)?
                && let Some(found) = found_of(&row, *message)?
                && let Some(log) = logs.get_mut(&found.id.conversation())
            {
                log.add_edited(&found);
            }
        }
    }
    let mut rows = BlockColumns::default();
    for (id, log) in &logs {
        log.blocks.values().filter(|block| block.is_changed).for_each(|block| rows.push(*id, block));
    }
    let (seqs, open): (Vec<_>, Vec<_>) = logs.values().map(|log| (log.indexed_seq, log.open_seq)).unzip();
    let locked: Vec<_> = logs.keys().copied().collect();
    let BlockColumns { ids, first_seqs, last_seqs, first_ats, last_ats, bits } = &rows;
    let (blocks, states) = join!(
        async { transaction.execute(WRITE_BLOCKS, &[ids, first_seqs, last_seqs, first_ats, last_ats, bits]).await },
        async { transaction.execute(WRITE_STATES, &[&locked, &seqs, &open]).await },
    );
    blocks?;
    states?;
    transaction.commit().await?;
    Ok(again.into_iter().collect())
}

impl Log {
    /// Adds a new message to the open block, or to a new one where that is full.
    fn add(&mut self, found: &Found) {
        let bits = WordBits::of_message(&found.content, found.sender);
        let open = self.blocks.get_mut(&self.open_seq).filter(|open| open.bits.count_with(&bits) <= BITS_SET_MAX);
        if let Some(open) = open {
            open.last_seq = found.id.seq();
            open.last_at = open.last_at.max(found.created_at);
            open.bits.add(&bits);
            open.is_changed = true;
            return;
        }
        let (seq, at) = (found.id.seq(), found.created_at);
        self.open_seq = seq;
        let block = Block { first_seq: seq, last_seq: seq, first_at: at, last_at: at, bits, is_changed: true };
        self.blocks.insert(seq, block);
    }

    /// Adds the new words of a message to the block that has it. The old ones stay: the log knows better.
    fn add_edited(&mut self, found: &Found) {
        let block = self.blocks.range_mut(..=found.id.seq()).next_back();
        if let Some((_, block)) = block.filter(|(_, block)| block.last_seq >= found.id.seq()) {
            block.bits.add(&WordBits::of_message(&found.content, found.sender));
            block.is_changed = true;
        }
    }
}

fn put_blocks(logs: &mut HashMap<ConversationId, Log>, rows: &[Row]) -> Result<(), StorageError> {
    for row in rows {
        let block = Block {
            first_seq: row.try_get(1)?,
            last_seq: row.try_get(2)?,
            first_at: row.try_get(3)?,
            last_at: row.try_get(4)?,
            bits: row.try_get(5)?,
            is_changed: false,
        };
        if let Some(log) = logs.get_mut(&row.try_get::<_, ConversationId>(0)?) {
            // What this transaction has changed already is newer than the row.
            log.blocks.entry(block.first_seq).or_insert(block);
        }
    }
    Ok(())
}

/// None of the kinds that are not read.
fn body_of(row: &Row) -> Result<Option<Body>, StorageError> {
    let body: &str = row.try_get(3)?;
    if body.is_empty() {
        return Ok(None);
    }
    Body::from_json(row.try_get(2)?, body).map(Some).map_err(|error| StorageError::Failed(Box::new(error)))
}

/// None of a recalled message: it has nothing to be found by.
fn found_of(row: &Row, message: Message) -> Result<Option<Found>, StorageError> {
    let Some(content) = message.content.filter(|_| message.recalled.is_none()) else { return Ok(None) };
    Ok(Some(Found { id: row.try_get(0)?, sender: row.try_get(1)?, content, created_at: row.try_get(4)? }))
}

/// Blocks to be written, by column.
#[derive(Default)]
struct BlockColumns {
    ids: Vec<ConversationId>,
    first_seqs: Vec<Seq>,
    last_seqs: Vec<Seq>,
    first_ats: Vec<Timestamp>,
    last_ats: Vec<Timestamp>,
    bits: Vec<WordBits>,
}

impl BlockColumns {
    fn push(&mut self, id: ConversationId, block: &Block) {
        self.ids.push(id);
        self.first_seqs.push(block.first_seq);
        self.last_seqs.push(block.last_seq);
        self.first_ats.push(block.first_at);
        self.last_ats.push(block.last_at);
        self.bits.push(block.bits.clone());
    }
}

/// Conversations after one, `limit` of them looked at: those whose index does not reach their end, and the last looked at (none: there
/// are no more).
pub async fn read_unindexed(
    shard: &Shard,
    after: ConversationId,
    limit: i64,
) -> Result<(Vec<ConversationId>, Option<ConversationId>), StorageError> {
    let mut behind = Vec::new();
    let mut last = None;
    for row in shard.client().await?.query(UNINDEXED, &[&after, &limit]).await? {
        let id: ConversationId = row.try_get(0)?;
        last = Some(id);
        if row.try_get(1)? {
            behind.push(id);
        }
    }
    Ok((behind, last))
}
