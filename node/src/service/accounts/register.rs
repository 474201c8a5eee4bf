//! Makes an account and logs it in.

use super::issue_tokens::{Origin, Tokens, begin_login};
use crate::app::App;
use crate::auth::password::Password;
use crate::domain::account::{Email, Username};
use crate::domain::limits::{Limit, LimitKey};
use crate::domain::text::{DISPLAY_NAME_MAX, check_length};
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::service::limits::check_limit::check_limit;
use crate::storage::directory::accounts::{Account, Inserted, NewAccount, insert_account};

/// A registration whose fields can be ones.
#[derive(Clone, Debug)]
pub struct Registration {
    username: Username,
    password: Password,
    email: Option<Email>,
    display_name: String,
}

impl Registration {
    /// All that is wrong is told at once.
    pub fn parse(
        username: &str,
        password: &str,
        email: Option<&str>,
        display_name: Option<&str>,
    ) -> std::result::Result<Self, Refusal> {
        let mut errors = Vec::new();
        let mut keep = |refusal| match refusal {
            Refusal::InvalidRequest(more) => {
                errors.extend(more);
                Ok(())
            }
            other => Err(other),
        };
        let parsed_username =
            Username::parse(username).map_or_else(|refusal| keep(refusal).map(|()| None), |name| Ok(Some(name)))?;
        let parsed_password = Password::parse("password", password)
            .map_or_else(|refusal| keep(refusal).map(|()| None), |password| Ok(Some(password)))?;
        let email = match email.map(Email::parse) {
            Some(Err(refusal)) => keep(refusal).map(|()| None)?,
            Some(Ok(email)) => Some(email),
            None => None,
        };
        let display_name = display_name.unwrap_or(username);
        if let Err(refusal) = check_length("display_name", display_name, 1, DISPLAY_NAME_MAX) {
            keep(refusal)?;
        }
        match (parsed_username, parsed_password) {
            (Some(username), Some(password)) if errors.is_empty() => {
                Ok(Self { username, password, email, display_name: display_name.to_owned() })
            }
            _ => Err(Refusal::InvalidRequest(errors)),
        }
    }
}

/// The new account and its first pair of tokens.
pub async fn register(app: &App, registration: Registration, origin: &Origin) -> Result<(Account, Tokens)> {
    check_limit(app, Limit::RegistrationsPerAddress, LimitKey::address(origin.address)).await?;
    let account = make_account(app, registration, Vec::new()).await?;
    let tokens = begin_login(app, &account, origin).await?.ok_or(Refusal::InvalidCredentials)?;
    Ok((account, tokens))
}

/// Makes an account, also for commands (with roles).
pub async fn make_account(app: &App, registration: Registration, roles: Vec<String>) -> Result<Account> {
    let now = app.clock.now();
    let password_hash = app.passwords.hash(registration.password).await?;
    let account = NewAccount {
        id: UserId::random(),
        username: registration.username,
        email: registration.email,
        display_name: registration.display_name,
        password_hash,
        roles,
    };
    match insert_account(&app.directory, &account, now).await? {
        Inserted::UsernameTaken => Err(Refusal::UsernameTaken.into()),
        Inserted::EmailTaken => Err(Refusal::EmailTaken.into()),
        Inserted::Done => Ok(Account {
            id: account.id,
            username: Some(account.username.shown),
            email: account.email.map(|email| email.shown),
            display_name: account.display_name,
            avatar_url: None,
            status_text: None,
            roles: account.roles,
            read_receipts: true,
            is_out: false,
            created_at: now,
            password_hash: Some(account.password_hash),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(username: &str, password: &str, email: Option<&str>, display_name: Option<&str>) -> Vec<String> {
        match Registration::parse(username, password, email, display_name) {
            Ok(_) => Vec::new(),
            Err(Refusal::InvalidRequest(errors)) => errors.iter().map(|error| error.field.to_string()).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        assert!(fields("alice", "long enough", None, None).is_empty());
        assert_eq!(fields("a", "short", Some("x"), Some("")), ["username", "password", "email", "display_name"]);
        assert_eq!(fields("alice", "long enough", None, Some(&"x".repeat(101))), ["display_name"]);
        assert_eq!(
            Registration::parse("alice", "long\0enough", None, None).unwrap_err(),
            Refusal::InvalidText("password".into())
        );
    }
}
