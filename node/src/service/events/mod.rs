//! What happens, for whoever subscribes: from the outboxes to Redis, and from there to those who do something about it.

pub mod consume;
pub mod emit;
pub mod relay;
pub mod subscribe;
