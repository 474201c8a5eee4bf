//! The Lua scripts, one file each. Each has one key, so that it runs on a Redis Cluster too.

use redis::{Cmd, Script};

pub(crate) struct Scripts {
    pub lease_renew: Script,
    pub lease_take: Script,
    pub inbox_make: Script,
    pub inbox_touch: Script,
    pub born: Script,
    pub route_add: Script,
    pub route_check: Script,
    pub route_drop: Script,
    pub bucket_take: Script,
    pub lock_take: Script,
    pub lock_renew: Script,
    pub lock_give: Script,
}

macro_rules! sources {
    ($($name:ident),* $(,)?) => {
        impl Scripts {
            pub(crate) fn new() -> Self {
                Self { $($name: Script::new(include_str!(concat!("scripts/", stringify!($name), ".lua")))),* }
            }

            /// Commands that make all scripts known to a server.
            pub(crate) fn load() -> Vec<Cmd> {
                vec![$({
                    let mut command = redis::cmd("SCRIPT");
                    command.arg("LOAD").arg(include_str!(concat!("scripts/", stringify!($name), ".lua")));
                    command
                }),*]
            }
        }
    };
}

sources!(
    lease_renew,
    lease_take,
    inbox_make,
    inbox_touch,
    born,
    route_add,
    route_check,
    route_drop,
    bucket_take,
    lock_take,
    lock_renew,
    lock_give,
);

/// Begins `EVALSHA` with one key; the arguments follow.
pub(crate) fn call(script: &Script, key: &str) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(1).arg(key);
    command
}
