//! Settings that an administrator may change at run time, with their defaults and ranges.

use std::time::Duration;

use serde_json::Value;

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
    /// From here on see `domain::limits`.
    pub requests_per_second_per_user: u32,
    pub requests_per_second_per_address: u32,
    pub messages_per_second_per_group: u32,
    pub connects_per_minute_per_address: u32,
    pub registrations_per_hour_per_address: u32,
    pub group_joins_per_minute_per_user: u32,
    pub group_invites_per_minute_per_user: u32,
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
            requests_per_second_per_user: 0,
            requests_per_second_per_address: 0,
            messages_per_second_per_group: 0,
            connects_per_minute_per_address: 0,
            registrations_per_hour_per_address: 0,
            group_joins_per_minute_per_user: 30,
            group_invites_per_minute_per_user: 30,
        }
    }
}

/// A setting's name, and the range of its numbers; none: true or false.
struct Definition {
    name: &'static str,
    range: Option<(u32, u32)>,
}

const fn flag(name: &'static str) -> Definition {
    Definition { name, range: None }
}

const fn number(name: &'static str, min: u32, max: u32) -> Definition {
    Definition { name, range: Some((min, max)) }
}

const DEFINITIONS: [Definition; 19] = [
    flag("enable_first_message_limit"),
    flag("require_friendship"),
    number("recall_window_s", 0, 31_536_000),
    number("edit_window_s", 0, 31_536_000),
    number("max_messages_per_second", 1, 1_000_000),
    number("max_connections_per_user", 1, 1_000),
    number("friend_requests_per_hour", 0, 1_000_000),
    number("group_members_max", 1, 100_000),
    number("offline_messages_max", 0, 10_000),
    number("offline_days", 0, 365),
    number("max_video_size_mb", 0, 10_000),
    number("max_file_size_mb", 0, 10_000),
    number("requests_per_second_per_user", 0, 1_000_000),
    number("requests_per_second_per_address", 0, 1_000_000),
    number("messages_per_second_per_group", 0, 1_000_000),
    number("connects_per_minute_per_address", 0, 1_000_000),
    number("registrations_per_hour_per_address", 0, 1_000_000),
    number("group_joins_per_minute_per_user", 0, 1_000_000),
    number("group_invites_per_minute_per_user", 0, 1_000_000),
];

/// The names of all settings.
pub const NAMES: [&str; DEFINITIONS.len()] = {
    let mut names = [""; DEFINITIONS.len()];
    let mut index = 0;
    while index < names.len() {
        #[expect(clippy::indexing_slicing, reason = "checked by the compiler: both have as many")]
        {
            names[index] = DEFINITIONS[index].name;
        }
        index += 1;
    }
    names
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("no setting is called `{0}`")]
    Unknown(String),
    #[error("`{name}` must be {wanted}")]
    Invalid { name: &'static str, wanted: String },
}

impl Settings {
    /// Changes one setting, by name.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), SettingError> {
        let definition = definition(name)?;
        if let Some(place) = self.flag_mut(name) {
            *place = value.as_bool().ok_or_else(|| invalid(definition))?;
        }
        if let Some(place) = self.number_mut(name) {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            let (min, max) = definition.range.unwrap_or((0, u32::MAX));
            *place = number.filter(|number| (min..=max).contains(number)).ok_or_else(|| invalid(definition))?;
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<Value> {
        let mut copy = self.clone();
        if let Some(flag) = copy.flag_mut(name) {
            return Some(Value::from(*flag));
        }
        copy.number_mut(name).map(|number| Value::from(*number))
    }

    fn flag_mut(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "enable_first_message_limit" => Some(&mut self.enable_first_message_limit),
            "require_friendship" => Some(&mut self.require_friendship),
            _ => None,
        }
    }

    fn number_mut(&mut self, name: &str) -> Option<&mut u32> {
        match name {
            "recall_window_s" => Some(&mut self.recall_window_s),
            "edit_window_s" => Some(&mut self.edit_window_s),
            "max_messages_per_second" => Some(&mut self.max_messages_per_second),
            "max_connections_per_user" => Some(&mut self.max_connections_per_user),
            "friend_requests_per_hour" => Some(&mut self.friend_requests_per_hour),
            "group_members_max" => Some(&mut self.group_members_max),
            "offline_messages_max" => Some(&mut self.offline_messages_max),
            "offline_days" => Some(&mut self.offline_days),
            "max_video_size_mb" => Some(&mut self.max_video_size_mb),
            "max_file_size_mb" => Some(&mut self.max_file_size_mb),
            "requests_per_second_per_user" => Some(&mut self.requests_per_second_per_user),
            "requests_per_second_per_address" => Some(&mut self.requests_per_second_per_address),
            "messages_per_second_per_group" => Some(&mut self.messages_per_second_per_group),
            "connects_per_minute_per_address" => Some(&mut self.connects_per_minute_per_address),
            "registrations_per_hour_per_address" => Some(&mut self.registrations_per_hour_per_address),
            "group_joins_per_minute_per_user" => Some(&mut self.group_joins_per_minute_per_user),
            "group_invites_per_minute_per_user" => Some(&mut self.group_invites_per_minute_per_user),
            _ => None,
        }
    }
}

/// The least and greatest value of a number; none for true or false.
pub fn range(name: &str) -> Result<Option<(u32, u32)>, SettingError> {
    definition(name).map(|definition| definition.range)
}

fn definition(name: &str) -> Result<&'static Definition, SettingError> {
    DEFINITIONS.iter().find(|definition| definition.name == name).ok_or_else(|| SettingError::Unknown(name.to_owned()))
}

fn invalid(definition: &'static Definition) -> SettingError {
    let wanted = match definition.range {
        Some((min, max)) => format!("a number from {min} to {max}"),
        None => "true or false".to_owned(),
    };
    SettingError::Invalid { name: definition.name, wanted }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_can_be_read_and_changed_by_name() {
        let mut settings = Settings::default();
        for name in NAMES {
            let value = settings.get(name).unwrap();
            settings.set(name, &value).unwrap();
            assert!(settings.set(name, &Value::from("soon")).is_err());
            assert!(settings.set(name, &Value::from(-1)).is_err());
        }
        assert_eq!(settings, Settings::default());
        settings.set("recall_window_s", &Value::from(5)).unwrap();
        assert_eq!(settings.policy().recall_window, Duration::from_secs(5));
        assert_eq!(settings.set("nonsense", &Value::from(1)), Err(SettingError::Unknown("nonsense".to_owned())));
        assert!(settings.set("max_messages_per_second", &Value::from(1_000_001)).is_err());
    }
}
