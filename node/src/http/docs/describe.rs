//! What a handler's parameters and its answer say of its operation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::Caller;
use crate::domain::Refusal;
use crate::http::extract::{Json, OptionalJson, Paging, Path, Query};
use crate::http::permitted::{Admin, Moderator};
use crate::http::problem::HttpResult;
use crate::service::accounts::issue_tokens::Origin;

/// Schemas of what is read and of what is written: they differ in what must be there.
pub struct Schemas {
    /// Whole, in place.
    pub reading: SchemaGenerator,
    /// By reference to the document's components.
    pub writing: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let inline = |settings: &mut SchemaSettings| settings.inline_subschemas = true;
        let named = |settings: &mut SchemaSettings| settings.definitions_path = "/components/schemas".into();
        Self {
            reading: SchemaSettings::draft2020_12().with(inline).into_generator(),
            writing: SchemaSettings::draft2020_12().for_serialize().with(named).into_generator(),
        }
    }
}

/// One method of one path.
#[derive(Default)]
pub struct Operation {
    pub needs_token: bool,
    /// Schemas of the path's parts, in their order.
    pub path: Vec<Value>,
    pub query: Vec<QueryField>,
    /// Schema, and whether there must be a body.
    pub body: Option<(Value, bool)>,
    /// By status, of those that are no refusals.
    pub answers: BTreeMap<u16, Contents>,
    pub refusals: Vec<&'static Refusal>,
}

/// Content types and schemas of an answer's body; none is no body.
pub type Contents = Vec<(&'static str, Value)>;

pub struct QueryField {
    pub name: String,
    pub schema: Value,
    pub is_required: bool,
}

impl Operation {
    pub fn refuses(&mut self, refusals: &'static [Refusal]) {
        for refusal in refusals {
            if !self.refusals.contains(&refusal) {
                self.refusals.push(refusal);
            }
        }
    }
}

/// A handler, by its signature.
pub trait Documented<Parts, Answer> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation);
}

macro_rules! documented {
    ($($part:ident)*) => {
        impl<F, Answered, $($part,)* A> Documented<($($part,)*), A> for F
        where
            F: FnOnce($($part),*) -> Answered,
            Answered: Future<Output = A>,
            $($part: Part,)*
            A: Answer,
        {
            fn describe(schemas: &mut Schemas, operation: &mut Operation) {
                $($part::describe(schemas, operation);)*
                A::describe(schemas, operation);
            }
        }
    };
}

documented!();
documented!(P1);
documented!(P1 P2);
documented!(P1 P2 P3);
documented!(P1 P2 P3 P4);
documented!(P1 P2 P3 P4 P5);
documented!(P1 P2 P3 P4 P5 P6);

/// A parameter of a handler.
#[diagnostic::on_unimplemented(
    message = "the documents do not know `{Self}` as a parameter of a handler",
    note = "bodies and queries derive `schemars::JsonSchema`; an extractor of its own implements `Part`"
)]
pub trait Part {
    fn describe(schemas: &mut Schemas, operation: &mut Operation);
}

/// What a handler answers.
#[diagnostic::on_unimplemented(
    message = "the documents do not know `{Self}` as the answer of a handler",
    note = "answers derive `schemars::JsonSchema`; a `Response` that was written from one is `Shows<It>`"
)]
pub trait Answer {
    fn describe(schemas: &mut Schemas, operation: &mut Operation);
}

impl Part for Admin {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        Caller::describe(schemas, operation);
        operation.refuses(&[Refusal::Forbidden]);
    }
}

impl Part for Moderator {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        Admin::describe(schemas, operation);
    }
}

const SERVICE_REFUSALS: &[Refusal] = &[
    Refusal::RateLimited { retry_after_ms: 0 },
    Refusal::Internal,
    Refusal::Unavailable,
    Refusal::Overloaded { retry_after_ms: 0 },
];
const BODY_REFUSALS: &[Refusal] = &[
    Refusal::InvalidJson,
    Refusal::TooLarge,
    Refusal::UnsupportedType,
    Refusal::InvalidRequest(Vec::new()),
    Refusal::InvalidText(Cow::Borrowed("")),
];
const QUERY_REFUSALS: &[Refusal] = &[Refusal::InvalidRequest(Vec::new()), Refusal::InvalidText(Cow::Borrowed(""))];
const PAGING_REFUSALS: &[Refusal] = &[Refusal::InvalidCursor, Refusal::InvalidRequest(Vec::new())];

/// Whatever asks a service.
impl Part for State<Arc<App>> {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        operation.refuses(SERVICE_REFUSALS);
    }
}

impl Part for Caller {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        operation.needs_token = true;
        operation.refuses(&[Refusal::Unauthorized]);
    }
}

impl<T: JsonSchema> Part for Json<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.body = Some((schemas.reading.subschema_for::<T>().to_value(), true));
        operation.refuses(BODY_REFUSALS);
    }
}

impl<T: JsonSchema> Part for OptionalJson<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.body = Some((schemas.reading.subschema_for::<T>().to_value(), false));
        operation.refuses(BODY_REFUSALS);
    }
}

impl<T: JsonSchema> Part for Path<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        let schema = schemas.reading.subschema_for::<T>().to_value();
        match schema.get("prefixItems").and_then(Value::as_array) {
            Some(parts) => operation.path.extend(parts.iter().cloned()),
            None => operation.path.push(schema),
        }
        operation.refuses(&[Refusal::NotFound]);
    }
}

impl<T: JsonSchema> Part for Query<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        let schema = schemas.reading.subschema_for::<T>().to_value();
        let required = schema.get("required").cloned().unwrap_or_default();
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            operation.query.push(QueryField {
                name: name.clone(),
                schema: without_null(schema.clone()),
                is_required: required.as_array().is_some_and(|names| names.iter().any(|one| one == name)),
            });
        }
        operation.refuses(QUERY_REFUSALS);
    }
}

/// A query has no null.
fn without_null(mut schema: Value) -> Value {
    if let Some(types) = schema.get_mut("type")
        && let Some(first) = types.as_array().and_then(|types| types.first()).cloned()
    {
        *types = first;
    }
    schema
}

impl Part for Paging {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        operation.query.push(QueryField {
            name: "limit".to_owned(),
            schema: json!({
                "type": "integer", "minimum": 1, "default": 50,
                "description": "Items of a page: 50 by default; more than 200 are cut.",
            }),
            is_required: false,
        });
        operation.query.push(QueryField {
            name: "cursor".to_owned(),
            schema: json!({"type": "string", "description": "The `next_cursor` of the page before."}),
            is_required: false,
        });
        operation.refuses(PAGING_REFUSALS);
    }
}

macro_rules! silent_parts {
    ($($part:ty),* $(,)?) => {
        $(impl Part for $part {
            fn describe(_: &mut Schemas, _: &mut Operation) {}
        })*
    };
}

silent_parts!(Origin, HeaderMap, Request);

impl<T> Part for Option<Extension<T>> {
    fn describe(_: &mut Schemas, _: &mut Operation) {}
}

impl<T: Answer> Answer for HttpResult<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        T::describe(schemas, operation);
    }
}

impl<T: JsonSchema> Answer for Json<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.answers.insert(200, T::contents(schemas));
    }
}

/// See `created`.
impl<T: JsonSchema> Answer for (StatusCode, Json<T>) {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.answers.insert(201, T::contents(schemas));
    }
}

/// Where there is nothing to show.
impl Answer for StatusCode {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        operation.answers.insert(204, Vec::new());
    }
}

impl Answer for &'static str {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.answers.insert(200, Text::contents(schemas));
    }
}

/// Says nothing; the test of the documents asks for more. See [`Shows`].
impl Answer for Response {
    fn describe(_: &mut Schemas, _: &mut Operation) {}
}

/// A response that was written from a `T` which is gone by now, with one of two statuses.
pub struct Shows<T, const STATUS: u16 = 200, const OTHER: u16 = 0> {
    response: Response,
    what: PhantomData<fn() -> T>,
}

impl<T, const STATUS: u16, const OTHER: u16> From<Response> for Shows<T, STATUS, OTHER> {
    fn from(response: Response) -> Self {
        Self { response, what: PhantomData }
    }
}

impl<T, const STATUS: u16, const OTHER: u16> IntoResponse for Shows<T, STATUS, OTHER> {
    fn into_response(self) -> Response {
        self.response
    }
}

impl<T: Content, const STATUS: u16, const OTHER: u16> Answer for Shows<T, STATUS, OTHER> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        let contents = T::contents(schemas);
        if OTHER != 0 {
            operation.answers.insert(OTHER, contents.clone());
        }
        operation.answers.insert(STATUS, contents);
    }
}

/// What an answer's body is.
pub trait Content {
    fn contents(schemas: &mut Schemas) -> Contents;
}

impl<T: JsonSchema> Content for T {
    fn contents(schemas: &mut Schemas) -> Contents {
        vec![("application/json", schemas.writing.subschema_for::<T>().to_value())]
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $($content_type:literal)*),* $(,)?) => {
        $(
            $(#[$doc])*
            pub struct $name;

            impl Content for $name {
                fn contents(_: &mut Schemas) -> Contents {
                    vec![$(($content_type, json!({"type": "string"}))),*]
                }
            }
        )*
    };
}

texts!(
    /// A word for probes.
    Text: "text/plain; charset=utf-8",
    /// A page for people.
    Html: "text/html; charset=utf-8",
    /// How a page looks.
    Css: "text/css; charset=utf-8",
    /// A conversation, as a JSON object a line or as a page.
    Export: "application/jsonl" "text/html; charset=utf-8",
);
