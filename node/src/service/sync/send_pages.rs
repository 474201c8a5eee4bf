//! Sends what a sync has to give: pages, conversation by conversation, made as the socket drains. Only what the next few pages need
//! is read at a time.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;

use super::shown::{hideable, shown_to};
use crate::app::App;
use crate::domain::{ConversationId, Entry, Seq};
use crate::error::{Error, Result};
use crate::hub::SessionHandle;
use crate::hub::received::Log;
use crate::protocol::sync::{
    HIDDEN_BYTES_MAX, PAGE_FRAMES_MAX, PAGE_HIDDEN_MAX, PageHead, PageSettings, next_page, page,
};
use crate::service::conversations::read_receipts::Receipts;
use crate::storage::ShardId;
use crate::storage::shard::hidden::read_hidden_among;
use crate::storage::shard::read_entries::{self, Range};
use crate::storage::shard::read_states::State;

/// Conversations read at a time.
const PIECES_MAX: usize = 100;

/// What one conversation is to get.
#[derive(Clone, Debug)]
pub struct Planned {
    pub state: State,
    pub shard: ShardId,
    /// Of the log, when it was planned.
    pub epoch: i64,
    pub range: Range,
    /// What the user has hidden since the cursor.
    pub hidden: Vec<Seq>,
    /// Older entries since the cursor are left out.
    pub has_gap: bool,
    /// More entries follow the range, for another sync.
    pub has_more: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Sent {
    /// Up to where each conversation counts as given.
    pub given: HashMap<ConversationId, Seq>,
    /// Shards that did not answer in between.
    pub lost: BTreeSet<ShardId>,
}

/// A part of a planned conversation that is read at once.
struct Piece<'a> {
    planned: &'a Planned,
    range: Range,
    is_first: bool,
    is_last: bool,
}

/// Sends the pages. `None`: the session was closed meanwhile.
pub async fn send_pages(
    app: &App,
    session: &SessionHandle,
    planned: &[Planned],
    frame_id: Option<&str>,
) -> Result<Option<Sent>> {
    let receipts = Receipts::read(app, session.user, planned.iter().map(|planned| &planned.state)).await;
    let mut sent = Sent::default();
    let pieces: Vec<Piece<'_>> = planned.iter().flat_map(cut).collect();
    let mut rest = pieces.as_slice();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_length(rest));
        rest = after;
        let frames = read_frames(app, session, batch, &mut sent.lost).await?;
        for (piece, frames) in batch.iter().zip(&frames) {
            if sent.lost.contains(&piece.planned.shard) {
                continue;
            }
            let head = head_of(session, &receipts, piece.planned);
            if send_piece(session, piece, frames, head, frame_id).await.is_err() {
                return Ok(None);
            }
            if piece.is_last {
                let seq = given_by(piece.planned);
                let conversation = piece.planned.state.id();
                session.given(Log { conversation, epoch: piece.planned.epoch }, seq);
                sent.given.insert(conversation, seq);
            }
        }
    }
    Ok(Some(sent))
}

/// How many of the pieces are read at once: at least one, and no more entries than a page has.
fn batch_length(pieces: &[Piece<'_>]) -> usize {
    let most = u64::try_from(PAGE_FRAMES_MAX).unwrap_or(u64::MAX);
    let mut entries = 0;
    let fits = |piece: &&Piece<'_>| {
        entries += piece.range.count();
        entries <= most
    };
    pieces.iter().take(PIECES_MAX).take_while(fits).count().max(1)
}

/// Parts of at most a page's frames; one without entries where there are none.
fn cut(planned: &Planned) -> Vec<Piece<'_>> {
    let step = i64::try_from(PAGE_FRAMES_MAX).unwrap_or(i64::MAX);
    let Range { conversation, low, high } = planned.range;
    let mut pieces = Vec::new();
    let mut from = low.0;
    loop {
        let to = from.saturating_add(step - 1).min(high.0);
        let range = Range { conversation, low: Seq(from), high: Seq(to) };
        pieces.push(Piece { planned, range, is_first: pieces.is_empty(), is_last: to >= high.0 });
        if to >= high.0 {
            return pieces;
        }
        from = to + 1;
    }
}

/// Up to where a conversation counts as given after its last page.
fn given_by(planned: &Planned) -> Seq {
    if planned.has_more { planned.range.high } else { planned.state.visible_last() }
}

/// Frames of each piece. Pieces of shards that do not answer have none, and the shards are noted.
async fn read_frames(
    app: &App,
    session: &SessionHandle,
    pieces: &[Piece<'_>],
    lost: &mut BTreeSet<ShardId>,
) -> Result<Vec<Vec<Vec<u8>>>> {
    let mut frames = vec![Vec::new(); pieces.len()];
    let mut by_shard: HashMap<ShardId, Vec<usize>> = HashMap::new();
    for (number, piece) in pieces.iter().enumerate() {
        if !piece.range.is_empty() && !lost.contains(&piece.planned.shard) {
            by_shard.entry(piece.planned.shard).or_default().push(number);
        }
    }
    let reads = by_shard.into_iter().map(async |(id, numbers)| {
        let pieces: Vec<&Piece<'_>> = numbers.iter().filter_map(|number| pieces.get(*number)).collect();
        (id, read_shard_frames(app, session, id, &pieces).await, numbers)
    });
    for (id, read, numbers) in join_all(reads).await {
        match read {
            Ok(read) => {
                for (number, read) in numbers.into_iter().zip(read) {
                    if let Some(frames) = frames.get_mut(number) {
                        *frames = read;
                    }
                }
            }
            Err(error) if error.is_passing() => {
                lost.insert(id);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(frames)
}

async fn read_shard_frames(
    app: &App,
    session: &SessionHandle,
    shard: ShardId,
    pieces: &[&Piece<'_>],
) -> Result<Vec<Vec<Vec<u8>>>> {
    let shard = app.shards.get(shard).ok_or_else(|| Error::internal("no such shard"))?;
    let ranges: Vec<Range> = pieces.iter().map(|piece| piece.range).collect();
    let entries = read_entries::read_ranges(shard, &ranges).await?;
    let edited = read_entries::read_edited(shard, &entries).await?;
    let hidden = read_hidden_among(shard, session.user, &hideable(&entries)).await?;
    let mut rest = entries.as_slice();
    let mut frames = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let is_of_piece = |entry: &Entry| {
            entry.id.conversation() == piece.range.conversation
                && (piece.range.low..=piece.range.high).contains(&entry.seq())
        };
        let (of_piece, after) = rest.split_at(rest.iter().take_while(|entry| is_of_piece(entry)).count());
        rest = after;
        let state = &piece.planned.state;
        let shown = of_piece.iter().map(|entry| shown_to(session.user, state, entry, &edited, &hidden, false));
        frames.push(shown.collect());
    }
    Ok(frames)
}

fn head_of(session: &SessionHandle, receipts: &Receipts, planned: &Planned) -> PageHead {
    let state = &planned.state;
    PageHead {
        last_seq: state.visible_last(),
        first_seq: state.first_seq,
        read_seq: state.read_seq,
        peer_read_seq: receipts.peer_read_seq(session.user, state),
        unread_count: state.unread_count(),
        settings: PageSettings {
            pinned: state.is_pinned,
            muted_until: state.muted_until,
            read_receipts: state.read_receipts,
        },
        hidden: Vec::new(),
        log_epoch: planned.epoch,
        has_gap: planned.has_gap,
        has_more: planned.has_more,
    }
}

async fn send_piece(
    session: &SessionHandle,
    piece: &Piece<'_>,
    frames: &[Vec<u8>],
    head: PageHead,
    frame_id: Option<&str>,
) -> std::result::Result<(), crate::hub::Closed> {
    let conversation = piece.planned.state.id();
    let mut rest = frames;
    let mut hidden: &[Seq] = if piece.is_first { &piece.planned.hidden } else { &[] };
    loop {
        let (hidden_now, hidden_after) = hidden.split_at(hidden.len().min(PAGE_HIDDEN_MAX));
        let around = frame_id.map_or(0, str::len) + hidden_now.len() * HIDDEN_BYTES_MAX;
        let (now, after) = rest.split_at(next_page(rest, around));
        (rest, hidden) = (after, hidden_after);
        let is_done = rest.is_empty() && hidden.is_empty();
        let has_more = head.has_more || !(is_done && piece.is_last);
        let head = PageHead { has_more, hidden: hidden_now.to_vec(), ..head.clone() };
        session.send_paced(page(frame_id, conversation, now, &head)).await?;
        if is_done {
            return Ok(());
        }
    }
}
