//! From a client's frame to the use case. The reader waits here for places and look-ups, never for a commit: sends, recalls, edits and
//! reactions are queued in their order and answered by their replies, all else that takes time is a task of its own.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use uuid::Uuid;

use super::live::Entered;
use super::metrics::{METRICS, count_refused};
use super::welcome::{success, sync_session};
use crate::app::App;
use crate::domain::bucket::Bucket;
use crate::domain::command::{Actor, Position};
use crate::domain::send::SendRequest;
use crate::domain::status::ChosenStatus;
use crate::domain::sync::SyncRequest;
use crate::domain::{ConversationId, Refusal, Timestamp};
use crate::hub::handle::{Closed, InFlight, SessionHandle};
use crate::protocol::client::{self, Auth, ClientFrame, Parsed, TypingTo};
use crate::protocol::codes::CloseCode;
use crate::protocol::server::{self, MessageSent};
use crate::service::accounts::authenticate::{Accept, authenticate, check_standing};
use crate::service::conversations::mark_read::mark_read;
use crate::service::messages::change_message::Changed;
use crate::service::messages::edit_message::edit_message;
use crate::service::messages::react::react;
use crate::service::messages::recall_message::recall_message;
use crate::service::messages::send_message::{Origin, Sent, send_message};
use crate::service::presence::set_status::set_status;
use crate::service::presence::show_typing::{TypingIn, show_typing};

/// Frames other than sends, recalls, edits and reactions that one connection may send in a second.
const OTHERS_PER_SECOND: f64 = 50.0;

/// The client of one socket, as the reader knows it.
pub struct Client {
    entered: Entered,
    others: Bucket,
}

/// What an answer needs of the frame that it answers.
struct Asked {
    session: Arc<SessionHandle>,
    id: Option<String>,
    temp_id: Option<String>,
}

impl Asked {
    fn refuse(&self, app: &App, refusal: &Refusal) {
        self.session.send(&server::error(self.id.as_deref(), self.temp_id.as_deref(), refusal));
        count_refused(refusal);
        // What the server cannot do now is not the client's flooding.
        if !matches!(refusal, Refusal::Unavailable | Refusal::Overloaded { .. } | Refusal::Internal) {
            self.session.count_refusal(app.clock.now());
        }
    }

    fn origin(&self) -> Origin {
        Origin { session: self.session.id, frame_id: self.id.clone() }
    }
}

impl Client {
    pub fn new(entered: Entered) -> Self {
        let at = entered.session.connected_at;
        Self { entered, others: Bucket::full(OTHERS_PER_SECOND, at) }
    }

    pub fn session(&self) -> &Arc<SessionHandle> {
        &self.entered.session
    }

    fn app(&self) -> &Arc<App> {
        &self.entered.app
    }

    /// Who acts, by the name that others are to see now.
    fn actor(&self) -> Actor {
        let caller = &self.entered.caller;
        match self.app().standing.name_since(caller.user, caller.named_at) {
            Some(name) => Actor { id: caller.user, name },
            None => caller.actor(),
        }
    }

    /// Counts a frame that is neither a send nor a change.
    fn count_other(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let taken = self.others.take(OTHERS_PER_SECOND, OTHERS_PER_SECOND, now);
        taken.map_err(|_| Refusal::RateLimited { retry_after_ms: 20 })
    }

    /// A client's Pong. One that nothing asked for is allowed (RFC 6455, 5.5.3); too many are flooding.
    pub fn take_pong(&mut self, payload: &[u8]) {
        let number = payload.try_into().map(u64::from_be_bytes);
        if number.is_ok_and(|number| self.session().ponged(number)) {
            return;
        }
        let now = self.app().clock.now();
        if self.count_other(now).is_err() {
            self.session().count_refusal(now);
        }
    }

    /// A client's WebSocket Ping; too many are flooding.
    pub fn answer_ping(&mut self, payload: &[u8]) {
        let now = self.app().clock.now();
        if self.count_other(now).is_ok() {
            self.session().pong(payload);
        } else {
            self.session().count_refusal(now);
        }
    }
}

/// Reads a frame and does what it asks for, or queues it.
pub async fn dispatch(client: &mut Client, mut json: BytesMut) {
    let Parsed { id, temp_id, frame } = client::parse(&mut json);
    drop(json);
    let now = client.app().clock.now();
    client.session().heard(now);
    let asked = Asked { session: Arc::clone(client.session()), id, temp_id };
    METRICS.frames.increment(1);
    let is_other = !matches!(
        frame,
        Ok(ClientFrame::Send(_) | ClientFrame::Recall { .. } | ClientFrame::Edit { .. } | ClientFrame::React { .. })
    );
    if is_other && let Err(refusal) = client.count_other(now) {
        return asked.refuse(client.app(), &refusal);
    }
    match frame {
        Err(refusal) => asked.refuse(client.app(), &refusal),
        Ok(ClientFrame::Ping) => asked.session.send(&server::pong(asked.id.as_deref())),
        Ok(ClientFrame::Acknowledge { conversation, seq }) => asked.session.acknowledge(conversation, seq),
        // Boxed: an idle session has no room for what only a frame needs.
        Ok(frame) => Box::pin(begin(client, frame, asked)).await.unwrap_or(()),
    }
}

async fn begin(client: &mut Client, frame: ClientFrame, asked: Asked) -> Result<(), Closed> {
    if let ClientFrame::Auth(auth) = frame {
        return renew(client, auth, asked).await;
    }
    let places = u32::try_from(client.app().config.limits.sends_in_flight_max).unwrap_or(u32::MAX);
    let place = asked.session.begin_send(places).await?;
    match frame {
        ClientFrame::Send(request) => send(client, *request, asked, place).await,
        ClientFrame::Recall { message } => {
            let (app, actor, origin) = (client.app(), client.actor(), asked.origin());
            recall_message(app, actor, message, Some(origin), answer_change(client, asked, place)).await;
        }
        ClientFrame::Edit { message, content } => {
            let (app, actor, origin) = (client.app(), client.actor(), asked.origin());
            edit_message(app, actor, message, content, Some(origin), answer_change(client, asked, place)).await;
        }
        ClientFrame::React { message, emoji, add } => {
            begin_reaction(client, message, emoji, add, asked, place).await;
        }
        ClientFrame::Read { conversation, position } => begin_read(client, conversation, position, asked, place),
        ClientFrame::Typing { to, is_typing } => begin_typing(client, to, is_typing, asked, place),
        ClientFrame::Status(status) => begin_status(client, status, asked, place),
        ClientFrame::Sync(request) => begin_sync(client.app(), request, asked, place),
        ClientFrame::Auth(_) | ClientFrame::Ping | ClientFrame::Acknowledge { .. } => {}
    }
    Ok(())
}

async fn send(client: &Client, request: SendRequest, asked: Asked, mut place: InFlight) {
    METRICS.sends.increment(1);
    place.note(&request.message.temp_id);
    let (began, origin, reply_app) = (Instant::now(), asked.origin(), Arc::clone(client.app()));
    let reply = move |result: Result<Sent, Refusal>| {
        match result {
            Ok(sent) => {
                let data = MessageSent {
                    temp_id: &sent.temp_id,
                    message_id: sent.message_id(),
                    conversation_id: sent.conversation.id(),
                    seq: sent.seq,
                    created_at: sent.created_at,
                };
                asked.session.send(&server::message_sent(asked.id.as_deref(), &data));
                METRICS.answer_seconds.record(began.elapsed().as_secs_f64());
            }
            Err(refusal) => asked.refuse(&reply_app, &refusal),
        }
        drop(place);
    };
    send_message(client.app(), client.actor(), request, Some(origin), reply).await;
}

async fn begin_reaction(client: &Client, message: Uuid, emoji: String, add: bool, asked: Asked, place: InFlight) {
    let (app, actor, origin) = (client.app(), client.actor(), asked.origin());
    react(app, actor, message, emoji, add, Some(origin), answer_change(client, asked, place)).await;
}

/// The answer to a change is its entry's frame, which delivery sends; only what changed nothing is answered here.
fn answer_change(
    client: &Client,
    asked: Asked,
    place: InFlight,
) -> impl FnOnce(Result<Changed, Refusal>) + Send + 'static {
    let app = Arc::clone(client.app());
    move |result| {
        match result {
            Ok(Changed::Wrote) => {}
            Ok(Changed::Unchanged(frame)) => asked.session.send(&frame),
            Err(refusal) => asked.refuse(&app, &refusal),
        }
        drop(place);
    }
}

fn begin_read(client: &Client, conversation: ConversationId, position: Position, asked: Asked, place: InFlight) {
    let (app, actor) = (Arc::clone(client.app()), client.actor());
    app.tasks.clone().spawn("read", async move {
        if let Err(error) = mark_read(&app, actor, conversation, position, Some(asked.origin())).await {
            asked.refuse(&app, &error.into_refusal());
        }
        drop(place);
    });
}

fn begin_typing(client: &Client, to: TypingTo, is_typing: bool, asked: Asked, place: InFlight) {
    let (app, user) = (Arc::clone(client.app()), client.session().user);
    let target = match to {
        TypingTo::User(user) => TypingIn::Receiver(user),
        TypingTo::Conversation(id) => TypingIn::Conversation(id),
    };
    app.tasks.clone().spawn("typing", async move {
        if let Err(error) = show_typing(&app, user, target, is_typing).await {
            asked.refuse(&app, &error.into_refusal());
        }
        drop(place);
    });
}

fn begin_status(client: &Client, status: ChosenStatus, asked: Asked, place: InFlight) {
    let (app, user) = (Arc::clone(client.app()), client.session().user);
    app.tasks.clone().spawn("status", async move {
        if let Err(error) = set_status(&app, user, status).await {
            asked.refuse(&app, &error.into_refusal());
        }
        drop(place);
    });
}

fn begin_sync(app: &Arc<App>, request: SyncRequest, asked: Asked, place: InFlight) {
    let app = Arc::clone(app);
    app.tasks.clone().spawn("sync", async move {
        if let Err(refusal) = sync_session(&app, &asked.session, request, asked.id.as_deref()).await {
            asked.refuse(&app, &refusal);
        }
        drop(place);
    });
}

/// A later token of the same user prolongs the session; a bad one ends it.
async fn renew(client: &mut Client, auth: Auth, asked: Asked) -> Result<(), Closed> {
    let caller = match authenticate(client.app(), &auth.token, Accept::Either).await {
        Ok(caller) => caller,
        Err(error) => {
            match error.into_refusal() {
                Refusal::Unauthorized => asked.session.close(CloseCode::Unauthorized),
                refusal => asked.refuse(client.app(), &refusal),
            }
            return Ok(());
        }
    };
    if caller.user != asked.session.user {
        asked.refuse(client.app(), &Refusal::field("token", "is another user's"));
        return Ok(());
    }
    asked.session.renew(caller.login, caller.expires_at);
    // Had the login ended in between, nobody would have found this session by it.
    if check_standing(client.app(), caller.user, caller.login).is_err() {
        asked.session.close(CloseCode::SessionEnded);
        return Ok(());
    }
    asked.session.send(&success(client.app(), &caller, &asked.session, asked.id.as_deref()));
    client.entered.caller = caller;
    match auth.sync {
        None => {}
        Some(Err(refusal)) => asked.refuse(client.app(), &refusal),
        Some(Ok(request)) => {
            let places = u32::try_from(client.app().config.limits.sends_in_flight_max).unwrap_or(u32::MAX);
            let place = asked.session.begin_send(places).await?;
            begin_sync(client.app(), request, asked, place);
        }
    }
    Ok(())
}
