//! What an entry of a log is to those who subscribe to topics: that it happened, without what was said or what it is called.

use serde_json::{Value, json};

use super::entry::{Body, Entry, Updated};
use super::topic::Topic;

/// Its topic, and what is told of it. `None`: nobody is told of recalls, edits, reactions and pins.
pub fn event_of(entry: &Entry) -> Option<(Topic, Value)> {
    let conversation = entry.id.conversation();
    let (action, mut data) = match &entry.body {
        Body::Message(message) => {
            let payload = json!({
                "message_id": entry.id, "conversation_id": conversation, "seq": entry.seq(), "sender_id": entry.sender_id,
                "message_type": message.message_type, "created_at": entry.created_at,
            });
            return Some((Topic::Message(conversation), payload));
        }
        Body::Recall(_) | Body::Edit(_) | Body::Reaction(_) | Body::Pin(_) => return None,
        Body::Created(body) => ("created", json!({"kind": body.kind, "member_count": body.member_count})),
        Body::Updated(body) => ("updated", json!({"fields": fields(body)})),
        Body::MemberAdded(body) => ("member_added", json!({"user_ids": body.user_ids})),
        Body::MemberRemoved(body) => ("member_removed", json!({"user_ids": body.user_ids})),
        Body::MemberLeft(body) => ("member_left", json!({"user_ids": body.user_ids})),
        Body::RoleChanged(body) => ("role_changed", json!({"user_id": body.user_id, "role": body.role})),
        Body::MemberMuted(body) => ("member_muted", json!({"user_id": body.user_id, "muted_until": body.muted_until})),
        Body::Dissolved => ("dissolved", json!({})),
    };
    if let Some(fields) = data.as_object_mut() {
        fields.insert("action".to_owned(), json!(action));
        fields.insert("conversation_id".to_owned(), json!(conversation));
        fields.insert("seq".to_owned(), json!(entry.seq()));
        fields.insert("by".to_owned(), json!(entry.sender_id));
        fields.insert("created_at".to_owned(), json!(entry.created_at));
    }
    Some((Topic::Notice(conversation), data))
}

fn fields(body: &Updated) -> Vec<&'static str> {
    let changed = [
        ("title", body.title.is_some()),
        ("avatar_url", body.avatar_url.is_some()),
        ("announcement", body.announcement.is_some()),
        ("muted", body.muted.is_some()),
    ];
    changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect()
}
