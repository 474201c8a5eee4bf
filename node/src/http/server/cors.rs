//! Browsers of other origins: those of `allowed_origins` may call, with tokens in headers and never with cookies.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;

/// True if a browser page of this origin may use this server: no `Origin`, the request's own host, or an allowed one.
pub fn is_origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    is_listed(origin, allowed) || is_own_host(origin, headers)
}

fn is_listed(origin: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|one| one == "*" || one.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// The scheme is not compared: behind a proxy that ends TLS this server does not see it.
fn is_own_host(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match (origin.split_once("://"), host) {
        (Some((_, authority)), Some(host)) => authority.eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// Answers preflights and marks answers as readable for allowed origins.
pub async fn cors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(origin) = origin else {
        return next.run(request).await;
    };
    let is_allowed = is_origin_allowed(request.headers(), &app.config.allowed_origins);
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight { preflight(is_allowed) } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if is_allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    }
    response
}

fn preflight(is_allowed: bool) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if is_allowed {
        let headers = response.headers_mut();
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, range"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(origin: &str, host: &str, allowed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        headers.insert(header::HOST, host.parse().unwrap());
        is_origin_allowed(&headers, &allowed.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn own_host_and_listed_origins_may() {
        assert!(is_origin_allowed(&HeaderMap::new(), &[]));
        assert!(is_allowed("http://chat.example:8080", "chat.example:8080", &[]));
        assert!(!is_allowed("http://chat.example", "chat.example:8080", &[]));
        assert!(!is_allowed("https://evil.example", "chat.example", &["https://app.example"]));
        assert!(is_allowed("https://app.example", "chat.example", &["https://app.example/"]));
        assert!(is_allowed("https://any.example", "chat.example", &["*"]));
        assert!(!is_allowed("null", "chat.example", &[]));
    }
}
