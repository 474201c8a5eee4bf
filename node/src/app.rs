//! The application: what every use case may reach. Made once in `run`, shared by all tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use herald_router::Router;
use tokio::sync::Notify;

use crate::auth::issuers::Issuers;
use crate::auth::keys::Keys;
use crate::auth::password::Passwords;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::settings::Settings;
use crate::hub::Hub;
use crate::memory::away::Away;
use crate::memory::burials::Burials;
use crate::memory::foreign_users::ForeignUsers;
use crate::memory::gates::Gates;
use crate::memory::health::HealthMemory;
use crate::memory::known_conversations::KnownConversations;
use crate::memory::limits::Limits;
use crate::memory::login_failures::Failures;
use crate::memory::members::Members;
use crate::memory::pairs::PairMemory;
use crate::memory::presence::Presence;
use crate::memory::rates::Rates;
use crate::memory::search_notes::SearchNotes;
use crate::memory::sessions::Sessions;
use crate::memory::standing::Standing;
use crate::memory::subscriptions::Subscriptions;
use crate::memory::told_broadcasts::ToldBroadcasts;
use crate::memory::unread::UnreadCounts;
use crate::memory::used_tokens::UsedTokens;
use crate::storage::{Directory, Shards};
use crate::tasks::Tasks;

pub struct App {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub tasks: Tasks,
    pub settings: Arc<ArcSwap<Settings>>,
    pub directory: Directory,
    pub shards: Shards,
    pub router: Router,
    pub hub: Hub,
    pub sessions: Sessions,
    pub away: Away,
    pub rates: Rates,
    pub limits: Limits,
    pub gates: Gates,
    pub members: Members,
    pub unread: UnreadCounts,
    pub search_notes: SearchNotes,
    pub presence: Presence,
    /// Told when a peer hints that the directory's feed of changes has news.
    pub changes: Notify,
    pub burials: Burials,
    pub known_conversations: KnownConversations,
    pub pair_memory: PairMemory,
    pub keys: Keys,
    pub issuers: Issuers,
    pub foreign_users: ForeignUsers,
    pub passwords: Passwords,
    pub standing: Standing,
    /// Shared with the lanes.
    pub subscriptions: Subscriptions,
    pub used_tokens: UsedTokens,
    pub login_failures: Failures,
    pub health: HealthMemory,
    pub told_broadcasts: ToldBroadcasts,
    /// No new sockets: the node is leaving.
    pub draining: AtomicBool,
}

impl App {
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
