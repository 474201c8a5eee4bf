//! Refusals as RFC 9457 problems.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{FieldError, Refusal};
use crate::error::Error;
use crate::protocol::codes::problem_of;

/// What a route answers when it does not answer what was asked for.
#[derive(Debug)]
pub struct HttpError(pub Refusal);

pub type HttpResult<T> = Result<T, HttpError>;

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        Self(error.into_refusal())
    }
}

/// A problem of RFC 9457.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    /// Stable.
    code: &'a str,
    detail: Cow<'a, str>,
    /// The same request may succeed if it is simply sent again later.
    retryable: bool,
    /// By field, where fields are at fault.
    errors: &'a [FieldError],
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let refusal = self.0;
        let problem = problem_of(&refusal);
        let own;
        let errors: &[FieldError] = match &refusal {
            Refusal::InvalidRequest(errors) | Refusal::NotFoundFields(errors) => errors,
            Refusal::InvalidText(field) => {
                own = [FieldError {
                    field: field.clone(),
                    message: "must be Unicode without U+0000 and lone surrogates".into(),
                }];
                &own
            }
            _ => &[],
        };
        let detail = match errors.first() {
            Some(error) if error.field.is_empty() => error.message.clone(),
            Some(error) => Cow::Owned(format!("{}: {}", error.field, error.message)),
            None => Cow::Borrowed(problem.title),
        };
        let body = ProblemBody {
            r#type: format!("urn:herald:problem:{}", problem.code),
            title: problem.title,
            status: problem.status,
            code: problem.code,
            detail,
            retryable: problem.retryable,
            errors,
        };
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, serde_json::to_vec(&body).unwrap_or_default()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s(&refusal) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if problem.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn retry_after_s(refusal: &Refusal) -> Option<u64> {
    match refusal {
        Refusal::RateLimited { retry_after_ms } | Refusal::Overloaded { retry_after_ms } => {
            Some(retry_after_ms.div_ceil(1000).max(1))
        }
        Refusal::Unavailable => Some(1),
        _ => None,
    }
}

/// For paths that no route has.
pub async fn not_found() -> HttpError {
    HttpError(Refusal::NotFound)
}

/// For paths that have other methods; axum adds `Allow`.
pub async fn method_not_allowed() -> HttpError {
    HttpError(Refusal::MethodNotAllowed)
}
