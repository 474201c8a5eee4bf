//! Text of clients: valid Unicode without U+0000, measured in code points.

use super::refusal::Refusal;

/// Greatest content of a message, in code points.
pub const CONTENT_MAX: usize = 10_000;
/// Greatest `temp_id`, in code points.
pub const TEMP_ID_MAX: usize = 64;
/// Greatest group name, in code points.
pub const GROUP_NAME_MAX: usize = 200;
/// Greatest display name, in code points.
pub const DISPLAY_NAME_MAX: usize = 100;
/// Greatest status text, in code points.
pub const STATUS_TEXT_MAX: usize = 200;
/// Greatest message of a friend request, in code points.
pub const REQUEST_MESSAGE_MAX: usize = 500;
/// Greatest announcement of a group, in code points.
pub const ANNOUNCEMENT_MAX: usize = 2_000;
/// Greatest address of a picture, in code points.
pub const AVATAR_URL_MAX: usize = 2_000;
/// Greatest emoji of a reaction, in code points.
pub const EMOJI_MAX: usize = 32;
/// Greatest metadata of a message as compact JSON, in bytes.
pub const METADATA_BYTES_MAX: usize = 4_096;
/// Greatest title of a notification, in code points.
pub const NOTIFICATION_TITLE_MAX: usize = 200;
/// Greatest data of a notification as compact JSON, in bytes.
pub const NOTIFICATION_DATA_BYTES_MAX: usize = 4_096;
/// Greatest name of a template, in code points.
pub const TEMPLATE_NAME_MAX: usize = 100;
/// Languages of one template beside its own.
pub const TEMPLATE_LANGUAGES_MAX: usize = 50;
/// Greatest type of an event, in code points.
pub const EVENT_TYPE_MAX: usize = 100;
/// Greatest payload of an event as compact JSON, in bytes.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 16_384;
/// Greatest text to search users by, in code points.
pub const QUERY_MAX: usize = 100;
/// Greatest number of users a message may mention one by one, and of ids in one call.
pub const IDS_MAX: usize = 1_000;

/// Refuses U+0000, which PostgreSQL cannot keep. (Lone surrogates never become a Rust string: the JSON reader refuses them.)
pub fn check_text(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.contains('\0') { Err(Refusal::InvalidText(field.into())) } else { Ok(()) }
}

/// Checks text and its length in code points.
pub fn check_length(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), Refusal> {
    check_text(field, text)?;
    let length = text.chars().count();
    if length < min {
        return Err(Refusal::field(field, if min == 1 { "must not be empty" } else { "is too short" }));
    }
    if length > max {
        return Err(Refusal::field(field, "is too long"));
    }
    Ok(())
}
