//! One connected client: handshake, reader, writer, dispatch. The only user of fastwebsockets.

mod accept;
mod defragment;
mod dispatch;
mod live;
mod meter;
mod metrics;
mod reader;
mod welcome;
mod writer;

pub use accept::{accept, refuse};
