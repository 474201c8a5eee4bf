//! The correctness oracle: what each socket saw and each sender was told, and at the end whether the promises held.

mod judge;
mod ledger;
mod reader;
mod seen;
mod sender;

pub use judge::{ConversationRecord, Verdict, judge};
pub use ledger::Ledger;
pub use reader::ReaderLog;
pub use sender::{Answer, SenderLog};
