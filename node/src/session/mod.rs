//! One connected client: handshake, reader, writer, dispatch. The only user of fastwebsockets.

pub mod handle;
pub mod received;
pub mod turns;

pub use handle::{Closed, SessionHandle};
