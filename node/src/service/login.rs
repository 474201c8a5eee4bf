//! Logs a user in by password. Unknown users, wrong passwords and disabled users look alike, in text and in time.

use crate::app::App;
use crate::auth::password::Password;
use crate::domain::Refusal;
use crate::domain::account::AccountKey;
use crate::error::Result;
use crate::service::issue_tokens::{Origin, Tokens, begin_login};
use crate::service::login_failures::begin_attempt;
use crate::storage::directory::accounts::{Account, find_account};

pub async fn login(app: &App, key: &AccountKey, password: &str, origin: &Origin) -> Result<(Account, Tokens)> {
    let attempt = begin_attempt(app, key.as_str(), origin.address).await?;
    let account = find_account(&app.directory, key).await?;
    let hash = account.as_ref().and_then(|account| account.password_hash.clone());
    let is_right = app.passwords.verify(Password::given(password), hash).await?;
    if let Some(account) = account.filter(|account| is_right && !account.is_out)
        && let Some(tokens) = begin_login(app, &account, origin).await?
    {
        return Ok((account, tokens));
    }
    attempt.fail().await;
    Err(Refusal::InvalidCredentials.into())
}
