//! Who is there, and who is typing.

pub mod announce_presence;
pub mod look_up_presence;
pub mod set_status;
pub mod show_typing;
