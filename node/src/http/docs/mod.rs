//! Documents from the code: `/openapi.json` from the routes, `/asyncapi.json` from the frames, and `/docs`, a page made of both that
//! loads nothing from elsewhere.

pub mod describe;
pub mod openapi;
pub mod page;
pub mod routes;
pub mod words;

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::protocol::schema::asyncapi::asyncapi;
use describe::{Css, Html, Shows};
use routes::{Routes, get};

pub fn routes() -> Routes {
    Routes::new()
        .route("/openapi.json", get(openapi_json))
        .route("/asyncapi.json", get(asyncapi_json))
        .route("/docs", get(page))
        .route("/docs/style.css", get(style))
}

/// What REST is. Made once: it depends on the code alone.
pub fn openapi_document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::openapi(&super::documented_routes().into_list()));
    &DOCUMENT
}

/// What the WebSocket is.
pub fn asyncapi_document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| asyncapi(super::SOCKET_PATHS));
    &DOCUMENT
}

async fn openapi_json() -> Shows<Map<String, Value>> {
    static JSON: LazyLock<String> = LazyLock::new(|| openapi_document().to_string());
    served("application/json", &JSON).into()
}

async fn asyncapi_json() -> Shows<Map<String, Value>> {
    static JSON: LazyLock<String> = LazyLock::new(|| asyncapi_document().to_string());
    served("application/json", &JSON).into()
}

async fn page() -> Shows<Html> {
    static PAGE: LazyLock<String> = LazyLock::new(|| page::page(openapi_document(), asyncapi_document()));
    served("text/html; charset=utf-8", &PAGE).into()
}

async fn style() -> Shows<Css> {
    served("text/css; charset=utf-8", include_str!("style.css")).into()
}

/// The page runs no script and loads only its own style.
fn served(content_type: &'static str, body: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body).into_response()
}
