//! Limits that hold over all nodes together, in one table: what is counted, for whom, in which time. How many there may be is a
//! run-time setting; 0 is no limit. (Messages of a user, logins and friend requests have rules of their own in the contract.)

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::settings::Settings;
use super::{ConversationId, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// REST requests with a token.
    RequestsPerUser,
    /// REST requests, also those without a token.
    RequestsPerAddress,
    /// Messages into one group, whoever sends them.
    MessagesPerGroup,
    /// WebSockets that are opened.
    ConnectsPerAddress,
    RegistrationsPerAddress,
    /// Joinings by a link.
    JoinsPerUser,
    /// Links into groups that are made.
    InvitesPerUser,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    pub limit: Limit,
    /// The run-time setting that says how many.
    pub setting: &'static str,
    /// In this time, and as many at once.
    pub period: Duration,
    /// Of its buckets in Redis.
    pub name: &'static str,
}

const fn line(limit: Limit, setting: &'static str, period: Duration, name: &'static str) -> Definition {
    Definition { limit, setting, period, name }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

pub const TABLE: [Definition; 7] = [
    line(Limit::RequestsPerUser, "requests_per_second_per_user", SECOND, "rest-user"),
    line(Limit::RequestsPerAddress, "requests_per_second_per_address", SECOND, "rest-address"),
    line(Limit::MessagesPerGroup, "messages_per_second_per_group", SECOND, "group"),
    line(Limit::ConnectsPerAddress, "connects_per_minute_per_address", MINUTE, "connect"),
    line(Limit::RegistrationsPerAddress, "registrations_per_hour_per_address", HOUR, "register"),
    line(Limit::JoinsPerUser, "group_joins_per_minute_per_user", MINUTE, "join"),
    line(Limit::InvitesPerUser, "group_invites_per_minute_per_user", MINUTE, "invite"),
];

impl Limit {
    pub fn definition(self) -> Definition {
        let found = TABLE.iter().find(|line| line.limit == self);
        found.copied().unwrap_or(line(self, "", SECOND, "other"))
    }

    /// How many in the period; 0: not limited.
    pub const fn count(self, settings: &Settings) -> u32 {
        match self {
            Self::RequestsPerUser => settings.requests_per_second_per_user,
            Self::RequestsPerAddress => settings.requests_per_second_per_address,
            Self::MessagesPerGroup => settings.messages_per_second_per_group,
            Self::ConnectsPerAddress => settings.connects_per_minute_per_address,
            Self::RegistrationsPerAddress => settings.registrations_per_hour_per_address,
            Self::JoinsPerUser => settings.group_joins_per_minute_per_user,
            Self::InvitesPerUser => settings.group_invites_per_minute_per_user,
        }
    }
}

/// For whom is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    User(UserId),
    /// A network as [`network_of`] says it.
    Network(IpAddr),
    Group(ConversationId),
}

impl LimitKey {
    pub fn address(address: IpAddr) -> Self {
        Self::Network(network_of(address))
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Group(group) => group.fmt(f),
        }
    }
}

/// Of IPv6 the first 64 bits: one client has all the rest.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_line_names_its_setting() {
        for line in TABLE {
            let mut settings = Settings::default();
            settings.set(line.setting, &Value::from(77)).unwrap();
            assert_eq!((line.limit.count(&settings), line.limit.definition()), (77, line));
        }
    }

    #[test]
    fn what_the_contract_does_not_limit_is_not_limited_unless_somebody_says_so() {
        let settings = Settings::default();
        for limit in [Limit::RequestsPerUser, Limit::RequestsPerAddress, Limit::MessagesPerGroup] {
            assert_eq!(limit.count(&settings), 0);
        }
    }

    #[test]
    fn one_client_has_a_whole_network() {
        let key = |address: &str| LimitKey::address(address.parse().unwrap()).to_string();
        assert_eq!(key("2001:db8::1:2:3:4"), key("2001:db8::5:6:7:8"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_eq!((key("::ffff:10.0.0.1"), key("::1")), ("10.0.0.1".to_owned(), "::1".to_owned()));
    }
}
