//! Conversation rows, made before the batch that needs them in a transaction of their own: making them inside could wait for
//! another lane that waits for this one.

use tokio_postgres::Error;

use super::link::Link;
use crate::domain::{ConversationRef, UserId};

/// In id order (a slot is the beginning of an id), each only where its slot is held; the slot cannot leave meanwhile.
pub(super) const CREATE: &str = "\
    insert into conversation (id, kind, low_user, high_user)
    select n.id, n.kind, n.low_user, n.high_user from
        (select u.id, u.kind, u.low_user, u.high_user
        from unnest($1::uuid[], $2::int2[], $3::uuid[], $4::uuid[], $5::int2[]) u(id, kind, low_user, high_user, slot)
        join slot s on s.slot = u.slot where s.state = 0 order by u.id for share of s) n
    order by n.id
    on conflict (id) do nothing";

/// Makes those rows that are not there. One statement, which commits by itself.
pub(super) async fn create(link: &Link, mut missing: Vec<ConversationRef>) -> Result<(), Error> {
    missing.sort_unstable_by_key(ConversationRef::id);
    let ids: Vec<_> = missing.iter().map(ConversationRef::id).collect();
    let kinds: Vec<i16> = missing.iter().map(|reference| reference.kind().code()).collect();
    let slots: Vec<i16> = ids.iter().map(|id| i16::try_from(id.slot().0).unwrap_or(-1)).collect();
    let (low, high): (Vec<Option<UserId>>, Vec<Option<UserId>>) = missing
        .iter()
        .map(|reference| match reference {
            ConversationRef::Direct { low, high, .. } => (Some(*low), Some(*high)),
            ConversationRef::Group { .. } => (None, None),
        })
        .unzip();
    link.client.execute(&link.statements.create, &[&ids, &kinds, &low, &high, &slots]).await.map(|_| ())
}
