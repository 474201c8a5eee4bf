//! From the router's inbox to the hub: one task, which takes what peers sent in their order and waits for nothing but the gate's lock.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use herald_router::{BootId, Event};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::app::App;
use crate::memory::gates::Arrival;
use crate::protocol::delivery::{self, Item};
use crate::protocol::server::{self, ResyncReason};
use crate::service::delivery::metrics::METRICS;
use crate::service::delivery::show_entry::{show_entry, tell_unread};
use crate::service::delivery::{fill, signal};
use crate::service::presence::announce_presence;
use crate::service::recovery::{bury, repair};

/// How often unread counts that became due are told and forgotten gates are swept.
const TICK: Duration = Duration::from_millis(250);

/// Handles what the router tells until the node stops.
pub fn start(app: &Arc<App>, mut events: mpsc::Receiver<Event>) {
    let task_app = Arc::clone(app);
    app.tasks.spawn("inbox", async move {
        let app = task_app;
        loop {
            // Events that wait are handled before the node stops.
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = app.tasks.stopping() => return,
            };
            let Some(event) = event else { return };
            // A defect that panics costs one event, not the inbox.
            if std::panic::catch_unwind(AssertUnwindSafe(|| handle(&app, event))).is_err() {
                error!("handling what the router told has panicked");
            }
        }
    });
    let task_app = Arc::clone(app);
    app.tasks.spawn("gates", async move {
        let app = task_app;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut ticks = 0_u32;
        loop {
            tokio::select! {
                () = app.tasks.stopping() => return,
                _ = tick.tick() => {}
            }
            let now = Instant::now();
            let (due, counted) = app.unread.tick(now);
            for due in due {
                tell_unread(&app, due);
            }
            for conversation in counted {
                fill::count_unread(&app, conversation);
            }
            ticks = ticks.wrapping_add(1);
            if ticks.is_multiple_of(20) {
                app.gates.sweep(now);
                METRICS.gates.set(f64::from(u32::try_from(app.gates.len()).unwrap_or(u32::MAX)));
            }
        }
    });
}

fn handle(app: &Arc<App>, event: Event) {
    match event {
        Event::Delivery { from, payload } => match delivery::decode(payload) {
            Ok(items) => items.into_iter().for_each(|item| handle_item(app, item)),
            Err(error) => {
                warn!(%from, %error, "a delivery cannot be read");
                repair::after_loss(app, Some(from), herald_router::Moment::now());
            }
        },
        Event::Lost { from, well_at } => repair::after_loss(app, from, well_at),
        Event::RoutesGone { reason, well_at } => repair::after_routes_gone(app, reason, well_at),
        Event::BootDied { node, boot, last_seen_ago } => {
            info!(%node, %boot, "a node has died");
            bury::bury(app, boot, last_seen_ago);
            announce_presence::announce_dead(app, boot);
        }
        Event::BootSeen { node, boot } => info!(%node, %boot, "a node is here"),
        Event::BootLeft { node, boot } => {
            info!(%node, %boot, "a node has left");
            repair::after_leaving(app, boot);
        }
        Event::Up => info!("Redis is here"),
        Event::Down => warn!("Redis is away"),
        Event::Hint { from, topic } => hint(app, from, &topic),
    }
}

/// Something that this node would also find out by itself, a little later.
fn hint(app: &Arc<App>, _from: BootId, topic: &str) {
    if topic == "change" {
        app.changes.notify_one();
    }
}

fn handle_item(app: &Arc<App>, item: Item) {
    match item {
        Item::Entry(entry) => show_entry(app, Arrival { item: *entry, origin: None }),
        Item::Signal { users, frame, except } => signal::signal_here(app, &users, &frame, except),
        Item::Close { user, session, code } => {
            if let Some(session) = app.hub.get(session).filter(|session| session.user == user) {
                session.close(code);
            }
        }
        Item::Unread { user, conversation, last_ordinal, read_ordinal, is_told } => {
            signal::show_unread(app, user, conversation, last_ordinal, read_ordinal, is_told);
        }
        Item::Resync { users, conversation } => {
            let frame = server::resync(ResyncReason::BusLost, Some(&[conversation]));
            for session in users.iter().flat_map(|user| app.hub.of_user(*user)) {
                session.send_resync(&frame, Some(conversation));
            }
        }
    }
}
