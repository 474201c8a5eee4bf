//! `/auth`: registering, logging in and out, tokens.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::{Json, Page, Paging, Path, created};
use super::problem::HttpResult;
use super::server::address::{ClientAddress, IsHttps};
use super::users::UserBody;
use crate::app::App;
use crate::auth::Caller;
use crate::auth::password::{PASSWORD_MAX, PASSWORD_MIN};
use crate::domain::account::{AccountKey, EMAIL_MAX, EMAIL_MIN, USERNAME_MAX, USERNAME_MIN};
use crate::domain::text::DISPLAY_NAME_MAX;
use crate::domain::{LoginId, Refusal, Timestamp};
use crate::service::accounts::issue_tokens::{Origin, Tokens};
use crate::service::accounts::register::Registration;
use crate::service::accounts::{end_login, issue_ws_token, list_logins, login, refresh_login, register};

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ClientAddress>();
        let device = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(Self {
            address: address.map_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |address| address.0),
            device: device.map(str::to_owned),
        })
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
pub struct TokensBody {
    /// Left out of a refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    user: Option<UserBody>,
    access_token: String,
    refresh_token: String,
    token_type: &'static str,
    expires_in: u64,
}

impl TokensBody {
    fn new(user: Option<UserBody>, tokens: Tokens) -> Self {
        Self {
            user,
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            token_type: "Bearer",
            expires_in: tokens.expires_in,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct RegisterBody {
    #[schemars(length(min = USERNAME_MIN, max = USERNAME_MAX))]
    username: String,
    #[schemars(length(min = PASSWORD_MIN, max = PASSWORD_MAX))]
    password: String,
    #[schemars(length(min = EMAIL_MIN, max = EMAIL_MAX))]
    email: Option<String>,
    #[schemars(length(min = 1, max = DISPLAY_NAME_MAX))]
    display_name: Option<String>,
}

pub async fn register(
    State(app): State<Arc<App>>,
    origin: Origin,
    Json(body): Json<RegisterBody>,
) -> HttpResult<(StatusCode, Json<TokensBody>)> {
    let email = body.email.as_deref();
    let registration = Registration::parse(&body.username, &body.password, email, body.display_name.as_deref())?;
    let (account, tokens) = register::register(&app, registration, &origin).await?;
    Ok(created(TokensBody::new(Some(account.into()), tokens)))
}

#[derive(Deserialize, JsonSchema)]
pub struct LoginBody {
    username: Option<String>,
    email: Option<String>,
    password: String,
}

pub async fn login(
    State(app): State<Arc<App>>,
    origin: Origin,
    Json(body): Json<LoginBody>,
) -> HttpResult<Json<TokensBody>> {
    let key = match (&body.username, &body.email) {
        (Some(username), _) => AccountKey::username(username)?,
        (None, Some(email)) => AccountKey::email(email)?,
        (None, None) => return Err(Refusal::field("username", "is required, or email").into()),
    };
    let (account, tokens) = login::login(&app, &key, &body.password, &origin).await?;
    Ok(Json(TokensBody::new(Some(account.into()), tokens)))
}

#[derive(Deserialize, JsonSchema)]
pub struct RefreshBody {
    refresh_token: String,
}

pub async fn refresh(
    State(app): State<Arc<App>>,
    origin: Origin,
    Json(body): Json<RefreshBody>,
) -> HttpResult<Json<TokensBody>> {
    let tokens = refresh_login::refresh_login(&app, &body.refresh_token, &origin).await?;
    Ok(Json(TokensBody::new(None, tokens)))
}

pub async fn logout(State(app): State<Arc<App>>, Json(body): Json<RefreshBody>) -> HttpResult<StatusCode> {
    end_login::log_out(&app, &body.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Login")]
pub struct LoginItem {
    id: LoginId,
    device: Option<String>,
    address: Option<String>,
    created_at: Timestamp,
    last_seen_at: Timestamp,
    current: bool,
}

impl LoginItem {
    pub(super) fn new(login: list_logins::Login, caller: &Caller) -> Self {
        Self {
            id: login.id,
            device: login.device,
            address: login.address,
            created_at: login.created_at,
            last_seen_at: login.last_seen_at,
            current: login.id == caller.login,
        }
    }
}

pub async fn list_sessions(
    State(app): State<Arc<App>>,
    caller: Caller,
    paging: Paging,
) -> HttpResult<Json<Page<LoginItem>>> {
    let before = paging.before(LoginId)?;
    let logins = list_logins::list_logins(&app, &caller, Some(before), paging.limit + 1).await?;
    let items = logins.into_iter().map(|login| LoginItem::new(login, &caller));
    Ok(Json(paging.page(items.collect(), |login| (login.created_at.0, login.id))))
}

pub async fn end_session(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(login): Path<LoginId>,
) -> HttpResult<StatusCode> {
    end_login::end_login(&app, &caller, login).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WsToken")]
pub struct WsTokenBody {
    ws_token: String,
    ws_url: String,
    expires_in: i64,
}

pub async fn ws_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    is_https: Option<axum::Extension<IsHttps>>,
    headers: HeaderMap,
) -> HttpResult<(StatusCode, Json<WsTokenBody>)> {
    let (ws_token, expires_in) = issue_ws_token::issue_ws_token(&app, &caller)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let ws_url = ws_url(&app.config.public_url, host, is_https.is_some_and(|is_https| is_https.0.0));
    Ok(created(WsTokenBody { ws_token, ws_url, expires_in }))
}

/// Absolute, from what the server is called by configuration, else by this request.
fn ws_url(public_url: &str, host: Option<&str>, is_https: bool) -> String {
    let base = public_url.trim_end_matches('/');
    if let Some(rest) = base.strip_prefix("http") {
        return format!("ws{rest}/ws");
    }
    if !base.is_empty() {
        return format!("{base}/ws");
    }
    format!("{}://{}/ws", if is_https { "wss" } else { "ws" }, host.unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_socket_is_absolute() {
        assert_eq!(ws_url("", Some("chat.example:8080"), false), "ws://chat.example:8080/ws");
        assert_eq!(ws_url("", Some("chat.example"), true), "wss://chat.example/ws");
        assert_eq!(ws_url("https://chat.example/", Some("other"), false), "wss://chat.example/ws");
        assert_eq!(ws_url("http://chat.example/base", None, false), "ws://chat.example/base/ws");
        assert_eq!(ws_url("wss://chat.example", None, false), "wss://chat.example/ws");
    }
}
