//! GET …/{id}/export: all that a member may see of a conversation, oldest first, as lines of JSON or as one page of HTML. It is made
//! as the client takes it, a page of the history at a time; who is removed meanwhile gets no more.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::conversations::conversation_id;
use super::docs::describe::Export as ExportContent;
use super::docs::describe::Shows;
use super::extract::{Path, Query};
use super::message_json::view_json;
use super::problem::HttpResult;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::{Body as EntryBody, ConversationId, Refusal, Seq, UserId};
use crate::error::Error;
use crate::service::conversations::list_conversations::view_conversation;
use crate::service::messages::read_history::{Between, read_history};
use crate::service::messages::read_message::MessageView;

type ShowsExport = Shows<ExportContent>;

/// Messages read at a time.
const PAGE: usize = 200;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct ExportQuery {
    /// `jsonl` by default.
    #[schemars(extend("enum" = ["jsonl", "html"]))]
    format: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    JsonLines,
    Html,
}

impl Format {
    fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        match text {
            None | Some("" | "jsonl") => Ok(Self::JsonLines),
            Some("html") => Ok(Self::Html),
            Some(_) => Err(Refusal::field("format", "is neither jsonl nor html")),
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/jsonl",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Html => "html",
        }
    }
}

/// An export on its way.
struct Export {
    app: Arc<App>,
    reader: UserId,
    conversation: ConversationId,
    format: Format,
    title: String,
    after: Seq,
    /// What is newer was written later.
    last: Seq,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin,
    Messages,
    End,
    Done,
}

/// GET …/{id}/export
pub async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(query): Query<ExportQuery>,
) -> HttpResult<ShowsExport> {
    let format = Format::parse(query.format.as_deref())?;
    let id = conversation_id(id)?;
    let view = view_conversation(&app, caller.user, id).await?;
    let title = view.title().unwrap_or_default().to_owned();
    let last = view.state.visible_last();
    let export =
        Export { app, reader: caller.user, conversation: id, format, title, after: Seq::ZERO, last, step: Step::Begin };
    let pieces = stream::try_unfold(export, |mut export| async move {
        let piece = export.next().await?;
        Ok::<_, Error>(piece.map(|piece| (piece, export)))
    });
    let name = format!("attachment; filename=\"conversation-{id}.{}\"", format.extension());
    let headers = [
        (CONTENT_TYPE, format.content_type()),
        (CONTENT_DISPOSITION, &name),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'; style-src 'unsafe-inline'"),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response().into())
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut out = String::new();
        while out.is_empty() {
            match self.step {
                Step::Begin => {
                    if self.format == Format::Html {
                        begin_html(&mut out, &self.title);
                    }
                    self.step = Step::Messages;
                }
                Step::Messages => self.add_messages(&mut out).await?,
                Step::End => {
                    if self.format == Format::Html {
                        out.push_str("</body></html>\n");
                    }
                    self.step = Step::Done;
                }
                Step::Done => return Ok(None),
            }
        }
        Ok(Some(Bytes::from(out)))
    }

    async fn add_messages(&mut self, out: &mut String) -> Result<(), Error> {
        let between = Between { after: Some(self.after), before: Some(self.last.next()) };
        let history = read_history(&self.app, self.reader, self.conversation, between, PAGE).await?;
        for view in &history.messages {
            match self.format {
                Format::JsonLines => add_line(out, view, self.reader)?,
                Format::Html => add_html(out, view),
            }
        }
        match history.messages.last() {
            Some(last) if history.messages.len() >= PAGE => self.after = last.entry.seq(),
            _ => self.step = Step::End,
        }
        Ok(())
    }
}

fn add_line(out: &mut String, view: &MessageView, reader: UserId) -> Result<(), Error> {
    if let Some(json) = view_json(view, reader) {
        out.push_str(&serde_json::to_string(&json).map_err(Error::internal)?);
        out.push('\n');
    }
    Ok(())
}

fn begin_html(out: &mut String, title: &str) {
    out.push_str("<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>");
    escape(out, title);
    out.push_str(
        "</title><style>body{font-family:sans-serif;max-width:50em;margin:auto}article{margin:1em 0}\
         p{white-space:pre-wrap;margin:.2em 0}time,.gone{color:#666}</style></head><body>\n<h1>",
    );
    escape(out, title);
    out.push_str("</h1>\n");
}

fn add_html(out: &mut String, view: &MessageView) {
    let EntryBody::Message(message) = &view.entry.body else { return };
    let _ = write!(out, "<article id=\"m{}\"><b>", view.entry.seq());
    escape(out, &view.entry.sender_name);
    let _ = write!(out, "</b> <time>{}</time>", view.entry.created_at);
    if let Some(origin) = &message.forwarded_from {
        out.push_str(" <span class=\"gone\">forwarded from ");
        escape(out, &origin.sender_name);
        out.push_str("</span>");
    }
    if message.recalled.is_some() {
        out.push_str("<p class=\"gone\">recalled</p>");
    } else if view.is_hidden {
        out.push_str("<p class=\"gone\">hidden</p>");
    } else {
        let content = message.content.as_deref().unwrap_or_default();
        out.push_str("<p>");
        escape(out, content);
        out.push_str(if message.edited.is_some() { " <span class=\"gone\">(edited)</span></p>" } else { "</p>" });
    }
    out.push_str("</article>\n");
}

/// Text as HTML shows it, between tags and in attributes.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        let mut out = String::new();
        escape(&mut out, "<script>alert(\"1\" & '2')</script> 語");
        assert_eq!(out, "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt; 語");
    }
}
