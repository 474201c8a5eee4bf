//! The gates of all active conversations of this node. What is done at one gate is done under its lock, so that all sessions see one
//! order; nothing waits for anything else while it is held.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::domain::ConversationId;
use crate::domain::SessionId;
use crate::domain::gate::Gate;
use crate::protocol::delivery::EntryItem;
use crate::protocol::frame::Frame;

/// Number of locks; conversations are spread over them.
const LOCK_COUNT: usize = 64;

/// An entry at the gate.
#[derive(Debug)]
pub struct Arrival {
    pub item: EntryItem,
    /// The session that made it, with its own form of the frame; none for a send, which it knows already.
    pub origin: Option<(SessionId, Option<Frame>)>,
}

/// One conversation's gate, with what waits for its member set.
#[derive(Debug)]
pub struct Post {
    pub gate: Gate<Arrival>,
    /// Waits, in order of arrival, until the member set has been read. `None`: nothing is being read.
    pub waits_for_members: Option<Vec<Arrival>>,
    pub is_filling: bool,
}

#[derive(Debug)]
pub struct Gates {
    locks: Vec<Mutex<HashMap<ConversationId, Post>>>,
    /// Per lock; beyond it the gates that may be forgotten are, and if there are none, one that waits for nothing.
    posts_max: usize,
}

impl Gates {
    pub fn new(gates_max: usize) -> Self {
        Self {
            locks: (0..LOCK_COUNT).map(|_| Mutex::new(HashMap::new())).collect(),
            posts_max: (gates_max / LOCK_COUNT).max(1),
        }
    }

    /// The map that holds a conversation's post, locked.
    pub fn lock(&self, conversation: ConversationId) -> MutexGuard<'_, HashMap<ConversationId, Post>> {
        let index = usize::try_from(conversation.high_bits() >> 20).unwrap_or(0) % LOCK_COUNT;
        #[expect(clippy::indexing_slicing, reason = "index is below the number of locks")]
        self.locks[index].lock()
    }

    /// A conversation's post, made where it is missing.
    pub fn post_of<'a>(
        &self,
        map: &'a mut HashMap<ConversationId, Post>,
        conversation: ConversationId,
        epoch: i64,
        now: Instant,
    ) -> &'a mut Post {
        if map.len() >= self.posts_max && !map.contains_key(&conversation) {
            make_room(map, now);
        }
        map.entry(conversation).or_insert_with(|| Post {
            gate: Gate::new(epoch, now),
            waits_for_members: None,
            is_filling: false,
        })
    }

    /// Forgets gates that have not been used for a while. Called every few seconds.
    pub fn sweep(&self, now: Instant) {
        for lock in &self.locks {
            let mut map = lock.lock();
            map.retain(|_, post| is_busy(post) || !post.gate.is_forgettable(now));
            if map.capacity() > 1024 && map.len() < map.capacity() / 4 {
                map.shrink_to_fit();
            }
        }
    }

    pub fn len(&self) -> usize {
        self.locks.iter().map(|lock| lock.lock().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const fn is_busy(post: &Post) -> bool {
    post.is_filling || post.waits_for_members.is_some()
}

/// The longest unused of a few goes; looking at all of a full map for each new gate would be slow.
fn make_room(map: &mut HashMap<ConversationId, Post>, now: Instant) {
    let oldest = map
        .iter()
        .filter(|(_, post)| !is_busy(post) && post.gate.hole().is_none())
        .take(32)
        .max_by_key(|(_, post)| now.saturating_duration_since(post.gate.used_at()))
        .map(|(conversation, _)| *conversation);
    if let Some(conversation) = oldest {
        map.remove(&conversation);
    }
}
