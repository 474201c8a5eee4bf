//! The sessions of this node, by user and by id.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use smallvec::SmallVec;

use crate::domain::{SessionId, UserId};
use crate::session::SessionHandle;
