//! The application: what every use case may reach. Made once in `run`, shared by all tasks.

use std::sync::Arc;

use arc_swap::ArcSwap;
use herald_router::Router;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::settings::Settings;
use crate::hub::Hub;
use crate::known_conversations::KnownConversations;
use crate::pair_memory::PairMemory;
use crate::service::check_rate::Rates;
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
    pub rates: Rates,
    pub known_conversations: KnownConversations,
    pub pair_memory: PairMemory,
}
