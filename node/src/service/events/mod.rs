//! What happens, for whoever subscribes: from the outboxes to Redis, and from there to those who do something about it.

pub mod consume_topics;
pub mod emit;
pub mod measure_topics;
mod outboxes;
mod publish;
pub mod relay_topics;
pub mod subscribe;
pub mod tidy_outboxes;
