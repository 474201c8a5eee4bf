//! Who is calling, and the caller's own account: registering, logging in and out, tokens. Users of other
//! issuers too, and the keys that their tokens are checked with.

pub mod accept_foreign;
pub mod authenticate;
pub mod change_password;
pub mod end_login;
pub mod follow_key_sets;
pub mod issue_tokens;
pub mod issue_ws_token;
pub mod list_logins;
pub mod login;
pub mod refresh_login;
pub mod register;
pub mod spread_used_tokens;
