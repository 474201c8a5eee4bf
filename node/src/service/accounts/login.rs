//! Logs a user in by password. Unknown users, wrong passwords and disabled users look alike, in text and in time.

use super::issue_tokens::{Origin, Tokens, begin_login};
use crate::app::App;
use crate::auth::password::Password;
use crate::domain::Refusal;
use crate::domain::account::AccountKey;
use crate::error::Result;
use crate::service::limits::begin_attempt::begin_attempt;
use crate::storage::directory::accounts::{Account, find_account};

pub async fn login(app: &App, key: &AccountKey, password: &str, origin: &Origin) -> Result<(Account, Tokens)> {
    let account = find_account(&app.directory, key).await?;
    // By its id, so that name, address and the changing of the password share one count.
    let counted = account.as_ref().map_or_else(|| key.as_str().to_owned(), |account| account.id.to_string());
    let attempt = begin_attempt(app, &counted, origin.address).await.inspect_err(|_| count("limited"))?;
    let hash = account.as_ref().and_then(|account| account.password_hash.clone());
    let is_right = app.passwords.verify(Password::given(password), hash).await?;
    if let Some(account) = account.filter(|account| is_right && !account.is_out)
        && let Some(tokens) = begin_login(app, &account, origin).await?
    {
        count("good");
        return Ok((account, tokens));
    }
    count("wrong");
    attempt.fail().await;
    Err(Refusal::InvalidCredentials.into())
}

fn count(outcome: &'static str) {
    metrics::counter!("herald_logins_total", "outcome" => outcome).increment(1);
}
