//! One connected client: handshake, reader, writer, dispatch. The only user of fastwebsockets.

mod accept;
mod defragment;
mod dispatch;
pub mod handle;
mod live;
mod meter;
mod metrics;
mod reader;
pub mod received;
pub mod turns;
mod welcome;
mod writer;

pub use accept::accept;
pub use handle::{Closed, SessionHandle};
