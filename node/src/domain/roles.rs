//! What accounts may do beyond their own affairs. The one rule for all routes; `http::permitted` asks it.

use super::refusal::Refusal;

/// Each may do all that those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountRole {
    User,
    Moderator,
    Admin,
}

impl AccountRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Moderator, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

/// Whether these roles permit what needs `needed`. Names that this version does not know permit nothing.
pub fn permit(roles: &[String], needed: AccountRole) -> bool {
    roles.iter().filter_map(|name| AccountRole::parse(name)).any(|role| role >= needed)
}

/// Whether one with these roles may act on an account with those: only moderators and above on anybody, and nobody on their equals.
pub fn may_moderate(own: &[String], other: &[String]) -> bool {
    let own = highest(own);
    own >= AccountRole::Moderator && own > highest(other)
}

fn highest(roles: &[String]) -> AccountRole {
    roles.iter().filter_map(|name| AccountRole::parse(name)).max().unwrap_or(AccountRole::User)
}

/// Roles as an administrator gives them: known ones, each once, in their order.
pub fn parse_roles(names: &[String]) -> Result<Vec<String>, Refusal> {
    let parsed: Option<Vec<AccountRole>> = names.iter().map(|name| AccountRole::parse(name)).collect();
    let mut roles = parsed.ok_or_else(|| Refusal::field("roles", "has others than user, moderator, admin"))?;
    roles.sort_unstable();
    roles.dedup();
    Ok(roles.into_iter().map(|role| role.as_str().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_administrator_may_do_what_a_moderator_may() {
        assert!(permit(&names(&["admin"]), AccountRole::Moderator) && permit(&names(&["admin"]), AccountRole::Admin));
        assert!(permit(&names(&["user", "moderator"]), AccountRole::Moderator));
        assert!(!permit(&names(&["moderator"]), AccountRole::Admin));
        assert!(!permit(&names(&["owner", "Admin", ""]), AccountRole::User) && !permit(&[], AccountRole::User));
    }

    #[test]
    fn nobody_moderates_their_equals() {
        let (admin, moderator, user) = (names(&["admin"]), names(&["user", "moderator"]), names(&["user"]));
        assert!(may_moderate(&moderator, &user) && may_moderate(&moderator, &[]));
        assert!(may_moderate(&admin, &moderator) && may_moderate(&admin, &user));
        assert!(!may_moderate(&moderator, &moderator) && !may_moderate(&moderator, &admin));
        assert!(!may_moderate(&admin, &admin) && !may_moderate(&user, &[]) && !may_moderate(&[], &[]));
    }

    #[test]
    fn roles_are_known_and_each_once() {
        assert_eq!(parse_roles(&names(&["admin", "user", "admin"])), Ok(names(&["user", "admin"])));
        assert!(parse_roles(&names(&["root"])).is_err());
        assert_eq!(parse_roles(&[]), Ok(vec![]));
    }
}
