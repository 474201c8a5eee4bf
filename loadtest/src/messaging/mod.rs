//! Runs in which messages are sent: who talks to whom, when, and what became of it. Pairs and groups differ only in the plan.

mod hearing;
mod outgoing;
mod plan;
mod run;
mod schedule;
mod shared;
mod worker;

pub use plan::{ConversationPlan, MemberPlan, Plan};
pub use run::{Outcome, run};
