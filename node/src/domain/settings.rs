//! Settings that an administrator may change at run time, with their defaults and ranges.

use std::time::Duration;

/// The present values. Kept in the directory's table `setting`, followed by every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub enable_first_message_limit: bool,
    pub require_friendship: bool,
    pub recall_window_s: u32,
    pub edit_window_s: u32,
    pub max_messages_per_second: u32,
    pub max_connections_per_user: u32,
    pub friend_requests_per_hour: u32,
    pub group_members_max: u32,
    pub offline_messages_max: u32,
    pub offline_days: u32,
    pub max_video_size_mb: u32,
    pub max_file_size_mb: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enable_first_message_limit: true,
            require_friendship: false,
            recall_window_s: 120,
            edit_window_s: 900,
            max_messages_per_second: 10,
            max_connections_per_user: 3,
            friend_requests_per_hour: 20,
            group_members_max: 500,
            offline_messages_max: 1_000,
            offline_days: 7,
            max_video_size_mb: 50,
            max_file_size_mb: 100,
        }
    }
}

/// Those of them that decide inside the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub enable_first_message_limit: bool,
    pub require_friendship: bool,
    pub recall_window: Duration,
    pub edit_window: Duration,
}

impl Settings {
    pub fn policy(&self) -> Policy {
        Policy {
            enable_first_message_limit: self.enable_first_message_limit,
            require_friendship: self.require_friendship,
            recall_window: Duration::from_secs(u64::from(self.recall_window_s)),
            edit_window: Duration::from_secs(u64::from(self.edit_window_s)),
        }
    }
}
