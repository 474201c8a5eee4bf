//! What routes take from a request, with our errors: the caller, a JSON body, ids of the path, the query, a page of a list.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Request};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::problem::HttpError;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::cursor::{CursorKeys, decode_place, encode_place};
use crate::domain::limits::{Limit, LimitKey};
use crate::domain::{Refusal, Timestamp, UserId};
use crate::protocol::check_json::{check_json, find_bad_text};
use crate::service::accounts::authenticate::{Accept, authenticate};
use crate::service::limits::check_limit::check_limit;

/// Greatest body, files aside, in bytes.
pub const BODY_BYTES_MAX: usize = 128 * 1024;
/// How much of a body that is too large is read and dropped, so that a client that is still sending sees the answer.
const DROPPED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A body must have come within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Items of a page when nothing is said, and at most.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 200;
/// The end of the year 9999: no time that is kept is later, and PostgreSQL takes none much later.
const TIMES_END_US: i64 = 253_402_300_799_999_999;

/// The token of `Authorization: Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let token = bearer(&parts.headers).ok_or(Refusal::Unauthorized)?;
        let caller = authenticate(app, token, Accept::Access).await?;
        check_limit(app, Limit::RequestsPerUser, LimitKey::User(caller.user)).await?;
        parts.extensions.insert(Reader(caller.user));
        Ok(caller)
    }
}

/// Who the caller was found to be, for what is extracted after it.
#[derive(Clone, Copy)]
struct Reader(UserId);

/// A JSON body. As an answer: JSON with status 200.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HttpError> {
        if !is_json(request.headers()) {
            return Err(Refusal::UnsupportedType.into());
        }
        let body = read_body(request).await?;
        parse_json(&body).map(Self).map_err(HttpError)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], json).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be encoded");
                HttpError(Refusal::Internal).into_response()
            }
        }
    }
}

/// 201 with what was created.
pub fn created<T: Serialize>(what: T) -> (StatusCode, Json<T>) {
    (StatusCode::CREATED, Json(what))
}

/// A body that may be missing, such as of a call that needs none.
#[derive(Clone, Copy, Debug)]
pub struct OptionalJson<T>(pub Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HttpError> {
        let is_json = is_json(request.headers());
        let body = read_body(request).await?;
        if body.is_empty() {
            return Ok(Self(None));
        }
        if !is_json {
            return Err(Refusal::UnsupportedType.into());
        }
        parse_json(&body).map(|body| Self(Some(body))).map_err(HttpError)
    }
}

/// Whether a body says that it is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The whole body, bounded in size and time.
async fn read_body(request: Request) -> Result<Bytes, Refusal> {
    let claimed = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let body = request.into_body();
    if claimed.is_some_and(|length| length > BODY_BYTES_MAX) {
        drop_body(body).await;
        return Err(Refusal::TooLarge);
    }
    let mut stream = body.into_data_stream();
    let read = async {
        let mut whole: Vec<u8> = Vec::with_capacity(claimed.unwrap_or(0));
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|_| Refusal::InvalidJson)?;
            if whole.len() + piece.len() > BODY_BYTES_MAX {
                return Err(Refusal::TooLarge);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Bytes::from(whole))
    };
    let outcome = tokio::time::timeout(BODY_TIMEOUT, read).await.unwrap_or(Err(Refusal::InvalidJson));
    if matches!(outcome, Err(Refusal::TooLarge)) {
        drop_body(Body::from_stream(stream)).await;
    }
    outcome
}

async fn drop_body(body: Body) {
    let mut stream = body.into_data_stream();
    let mut dropped = 0;
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        while let Some(Ok(piece)) = stream.next().await {
            dropped += piece.len();
            if dropped > DROPPED_BYTES_MAX {
                break;
            }
        }
    })
    .await;
}

/// Checks depth and text, then parses; what does not fit the type is told by field.
pub fn parse_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refusal> {
    check_json(json).map_err(|refusal| match refusal {
        Refusal::InvalidText(_) => {
            find_bad_text(json).map_or(Refusal::InvalidJson, |field| Refusal::InvalidText(field.into()))
        }
        other => other,
    })?;
    let mut parser = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let (path, cause) = (error.path().to_string(), error.inner());
        // A number beyond the greatest double is JSON, only not for us.
        if cause.is_data() || cause.to_string().starts_with("number out of range") {
            wrong_field(&path, cause)
        } else {
            Refusal::InvalidJson
        }
    })?;
    parser.end().map_err(|_| Refusal::InvalidJson)?;
    Ok(value)
}

/// The field that an error of serde is about: where it is, and, of a missing one, its name, which only the text has.
fn wrong_field(path: &str, error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    let parent = if path == "." { "" } else { path };
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let field = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        return Refusal::field(field, "is required");
    }
    Refusal::field(parent.to_owned(), message.to_owned())
}

/// Ids (or other parts) of the path; a malformed one is 404.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|rejection| HttpError(refusal_of(&rejection)))
    }
}

/// Parts of paths that are texts, not ids.
const TEXT_PARTS: &[&str] = &["emoji"];

fn refusal_of(rejection: &PathRejection) -> Refusal {
    let PathRejection::FailedToDeserializePathParams(failure) = rejection else {
        return Refusal::NotFound;
    };
    match failure.kind() {
        ErrorKind::InvalidUtf8InPathParam { key } if TEXT_PARTS.contains(&key.as_str()) => {
            Refusal::InvalidText(key.clone().into())
        }
        _ => Refusal::NotFound,
    }
}

/// The query string as a type whose fields are optional or have defaults.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let marked = parts.uri.query().and_then(mark_bad_text);
        let query = match marked.and_then(|query| format!("/?{query}").parse().ok()) {
            Some(uri) => axum::extract::Query::<T>::try_from_uri(&uri),
            None => axum::extract::Query::<T>::from_request_parts(parts, state).await,
        };
        match query {
            Ok(query) => Ok(Self(query.0)),
            Err(error) => Err(Refusal::field("query", error.body_text()).into()),
        }
    }
}

/// Values that are no UTF-8 become U+0000, which every text refuses: they would be read as if U+FFFD had been sent. None: all are good.
fn mark_bad_text(query: &str) -> Option<String> {
    if query.split('&').all(is_text) {
        return None;
    }
    let marked = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) if !is_text(part) => Cow::Owned(format!("{name}=%00")),
        _ => Cow::Borrowed(part),
    });
    Some(marked.collect::<Vec<_>>().join("&"))
}

/// Whether it is UTF-8 once its percent signs are resolved.
fn is_text(part: &str) -> bool {
    let mut pieces = part.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let escaped = piece.split_at_checked(2).and_then(|(digits, rest)| {
            let byte = u8::from_str_radix(digits, 16).ok()?;
            Some((byte, rest))
        });
        let (byte, rest) = escaped.unwrap_or((b'%', piece));
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// `?limit=&cursor=` of a list. Stands after the caller in a handler: a cursor is good for who got it, in the list that gave it.
#[derive(Clone, Debug)]
pub struct Paging {
    pub limit: usize,
    cursor: Option<String>,
    list: String,
    reader: UserId,
    keys: CursorKeys,
}

#[derive(Deserialize)]
struct PagingQuery {
    limit: Option<String>,
    cursor: Option<String>,
}

impl FromRequestParts<Arc<App>> for Paging {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let Query(query) = Query::<PagingQuery>::from_request_parts(parts, app).await?;
        let Reader(reader) = *parts.extensions.get().ok_or(Refusal::Unauthorized)?;
        let path = parts.extensions.get().map_or(parts.uri.path(), |OriginalUri(uri)| uri.path());
        Ok(Self {
            limit: parse_limit(query.limit.as_deref(), PAGE_DEFAULT, PAGE_MAX)?,
            cursor: query.cursor.filter(|cursor| !cursor.is_empty()),
            list: list_of(path),
            reader,
            keys: app.away.cursor_keys.clone(),
        })
    }
}

/// What lists are known by: their paths, the same below either prefix of routes and of groups, and however ids are written.
fn list_of(path: &str) -> String {
    let path = path.to_ascii_lowercase();
    let path = path.strip_prefix("/api").unwrap_or(&path);
    let path = path.strip_prefix("/v1").unwrap_or(path);
    path.strip_prefix("/groups/").map_or_else(|| path.to_owned(), |rest| format!("/conversations/{rest}"))
}

impl Paging {
    /// What the last item of the page before said; `None` on the first page.
    pub fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, Refusal> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        let place = decode_place(cursor, &self.list, self.reader, &self.keys).ok_or(Refusal::InvalidCursor)?;
        serde_json::from_slice(&place).map(Some).map_err(|_| Refusal::InvalidCursor)
    }

    /// Of a list that shows the newest first by time and id: what the last item of the page before was, or what no item is below.
    /// Cursors have times in microseconds, since what is shown has milliseconds only.
    pub fn before<I>(&self, id: impl FnOnce(Uuid) -> I) -> Result<(Timestamp, I), Refusal> {
        let (micros, last) = self.after::<(i64, Uuid)>()?.unwrap_or((TIMES_END_US, Uuid::max()));
        Ok((Timestamp(micros), id(last)))
    }

    /// A cursor that [`Paging::after`] reads back.
    pub fn cursor<K: Serialize>(&self, key: &K) -> String {
        encode_place(&self.list, &serde_json::to_vec(key).unwrap_or_default(), self.reader, &self.keys)
    }

    /// Of up to `limit + 1` items read: the first `limit`, and, if there was one more, a cursor of what `key` says of the last one shown.
    pub fn page<T, K: Serialize>(&self, mut items: Vec<T>, key: impl FnOnce(&T) -> K) -> Page<T> {
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        let next_cursor = items.last().filter(|_| has_more).map(|last| self.cursor(&key(last)));
        Page { items, next_cursor }
    }
}

/// A flag of the query string; nothing said is false.
pub fn parse_flag(field: &'static str, value: Option<&str>) -> Result<bool, Refusal> {
    match value {
        None | Some("" | "false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(Refusal::field(field, "must be true or false")),
    }
}

/// A `limit`: a larger one than `max` is cut; none is `default`.
pub fn parse_limit(limit: Option<&str>, default: usize, max: usize) -> Result<usize, Refusal> {
    let Some(text) = limit else {
        return Ok(default);
    };
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    match text.parse::<usize>() {
        Ok(limit @ 1..) => Ok(limit.min(max)),
        // Greater than any number there is.
        Err(_) if is_number => Ok(max),
        Ok(0) | Err(_) => Err(Refusal::field("limit", "must be a whole number from 1 on")),
    }
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A list that has all it has.
    pub const fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only parsed")]
        n: u32,
    }
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only parsed")]
        name: String,
        #[expect(dead_code, reason = "only parsed")]
        list: Vec<Inner>,
    }

    fn refusal(json: &str) -> Refusal {
        parse_json::<Outer>(json.as_bytes()).unwrap_err()
    }

    fn field(json: &str) -> String {
        match refusal(json) {
            Refusal::InvalidRequest(errors) => errors[0].field.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_does_not_fit_is_told_by_field() {
        assert_eq!(field(r#"{"list":[]}"#), "name");
        assert_eq!(field(r#"{"name":5,"list":[]}"#), "name");
        assert_eq!(field(r#"{"name":"x","list":[{"n":1},{}]}"#), "list[1].n");
        assert_eq!(field(r#"{"name":"x","list":[{"n":-1}]}"#), "list[0].n");
        assert_eq!(field("[]"), "");
        assert_eq!(field(r#"{"name":"x","list":[{"n":1},{"n":1e400}]}"#), "list[1].n");
        assert_eq!(field(r#"{"name":"x","list":[{"n":18446744073709551616}]}"#), "list[0].n");
    }

    #[test]
    fn what_is_no_json_or_no_text_is_told_as_such() {
        for bad in ["", "{", "{\"name\":\"x\",\"list\":[]}x", "{'a':1}"] {
            assert_eq!(refusal(bad), Refusal::InvalidJson, "{bad}");
        }
        assert_eq!(refusal(&"[".repeat(33)), Refusal::InvalidJson);
        assert_eq!(refusal(r#"{"name":"\ud800","list":[]}"#), Refusal::InvalidText("name".into()));
        assert_eq!(refusal(r#"{"name":"\ud800""#), Refusal::InvalidJson);
    }

    #[test]
    fn what_is_no_text_in_a_query_is_marked() {
        for good in ["", "a=b&c", "a=%E4%BD%A0%zz%4&b=%25ff"] {
            assert_eq!(mark_bad_text(good), None, "{good}");
        }
        assert_eq!(mark_bad_text("a=%FF&b=%C3%A4&c=x%ED%A0%80").as_deref(), Some("a=%00&b=%C3%A4&c=%00"));
    }

    #[test]
    fn a_limit_is_cut_and_a_cursor_comes_back() {
        assert_eq!(parse_limit(None, 50, 200), Ok(50));
        assert_eq!(parse_limit(Some("100000000000"), 50, 200), Ok(200));
        assert_eq!(parse_limit(Some("100000000000000000000000000"), 50, 200), Ok(200));
        assert!(parse_limit(Some("0"), 50, 200).is_err());
        assert!(parse_limit(Some("-1"), 50, 200).is_err());
        let paging = |cursor: Option<String>, path: &str, reader| Paging {
            limit: 2,
            cursor,
            list: list_of(path),
            reader: UserId(Uuid::from_u128(reader)),
            keys: CursorKeys::derive([b"secret".as_slice()].into_iter()),
        };
        let path = "/api/v1/groups/1/members";
        let page = paging(None, path, 1).page(vec![1, 2, 3], |last| (*last, "x"));
        assert_eq!(page.items, [1, 2]);
        let read = |path, reader| paging(page.next_cursor.clone(), path, reader).after::<(i32, String)>();
        for same in [path, "/api/groups/1/members", "/api/v1/conversations/1/members", "/api/v1/GROUPS/1/members"] {
            assert_eq!(read(same, 1), Ok(Some((2, "x".to_owned()))));
        }
        for (path, reader) in [("/api/v1/groups/2/members", 1), ("/api/v1/friends", 1), (path, 2)] {
            assert_eq!(read(path, reader), Err(Refusal::InvalidCursor), "{path} {reader}");
        }
        assert_eq!(paging(None, path, 1).page(vec![1, 2], |last| *last).next_cursor, None);
        assert_eq!(paging(Some("%%".to_owned()), path, 1).after::<i32>(), Err(Refusal::InvalidCursor));
    }
}
