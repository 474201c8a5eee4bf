//! Many WebSocket clients on one thread: sockets and epoll, the upgrade, authentication, heartbeats.

mod clients;
mod reactor;
mod upgrade;

pub use clients::{AuthBy, ClientId, Clients, Happening, Login, Opening};
pub use upgrade::NodeAddress;
