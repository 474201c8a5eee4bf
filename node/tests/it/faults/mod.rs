//! What happens when things die: nodes killed at every point of a send, nodes stopped and continued, Redis and databases taken away,
//! each under a small load whose clients remember everything and are compared with the logs in the end.

mod chatter;
mod load;
mod nodes_die;
mod nodes_leave;
mod nodes_stop;
mod postgres_away;
mod redis_away;
