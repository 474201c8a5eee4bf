//! The command line.

use crate::net::AuthBy;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Parser)]
#[command(about = "Load and correctness of a Herald cluster, seen from outside")]
pub struct Cli {
    #[command(subcommand)]
    pub scenario: Scenario,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub users: UserArgs,
}

#[derive(Subcommand)]
pub enum Scenario {
    /// Pairs of users: one sends, the other receives.
    Direct(DirectArgs),
    /// Groups: a few members send, all others receive.
    Group(GroupArgs),
    /// Many connections that only stay: memory and CPU for each.
    Idle(IdleArgs),
    /// Connect, authenticate, close, as fast as it goes.
    Connect(ConnectArgs),
    /// Kills the first node, whose clients come to the others at once while others go on writing there.
    Storm(StormArgs),
    /// Only registers users into the users file, so that later runs need not.
    Users {
        #[arg(long)]
        count: usize,
    },
    /// Only measures what the machine can do.
    Limits,
}

#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    /// Data directory of `herald dev`: its cluster.json says the rest.
    #[arg(long, global = true)]
    pub cluster: Option<PathBuf>,
    /// A node's WebSocket address; may be repeated.
    #[arg(long, global = true)]
    pub url: Vec<String>,
    /// A process to account for, as NAME=PID; its children count too. Names that begin with `node` count as nodes.
    #[arg(long, global = true)]
    pub pid: Vec<String>,
    /// The secret that access tokens are signed with (HS256).
    #[arg(long, global = true)]
    pub jwt_secret: Option<String>,
    /// For the XADD probe.
    #[arg(long, global = true)]
    pub redis_url: Option<String>,
    /// Where the databases lie, for the fsync probe.
    #[arg(long, global = true)]
    pub data_dir: Option<PathBuf>,
    /// Threads of the generator.
    #[arg(long, global = true, default_value_t = 1)]
    pub threads: usize,
    /// How the token travels.
    #[arg(long, global = true, value_enum, default_value_t = AuthBy::Header)]
    pub auth: AuthBy,
    /// Clients of a thread between connect and success at once.
    #[arg(long, global = true, default_value_t = 64)]
    pub open_parallel: usize,
    /// Loopback addresses to connect from, where one address's ports do not suffice; 0: the kernel's choice.
    #[arg(long, global = true, default_value_t = 0)]
    pub source_addresses: u32,
    /// Shortest time between two looks at the sockets: spares CPU for the server, and adds up to so much to a latency.
    #[arg(long, global = true, default_value_t = 250)]
    pub coalesce_us: u64,
    /// Writes the report as JSON.
    #[arg(long, global = true)]
    pub json: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct UserArgs {
    /// Lines of `user_id access_token`: takes these users and makes no tokens.
    #[arg(long, global = true)]
    pub tokens_file: Option<PathBuf>,
    /// Lines of `user_id username`, read and added to; by default `loadtest-users` in the --cluster directory.
    #[arg(long, global = true)]
    pub users_file: Option<PathBuf>,
    /// Whose token is the pattern for those made here.
    #[arg(long, global = true, default_value = "alice:alice-password")]
    pub login: String,
    /// Life of the tokens made here.
    #[arg(long, global = true, default_value_t = 6 * 3600)]
    pub token_life_s: u64,
    /// Registrations at once.
    #[arg(long, global = true, default_value_t = 4)]
    pub register_parallel: usize,
}

/// What both sending scenarios take.
#[derive(Args, Clone, Debug)]
pub struct SendingArgs {
    /// Messages a second in all, each with an intended time (open model), or `max`: a window per sender (closed model).
    #[arg(long, default_value = "1000")]
    pub rate: Rate,
    /// With `--rate max`: messages of a sender that may be unacknowledged.
    #[arg(long, default_value_t = 1)]
    pub window: u32,
    /// Spacing of intended times.
    #[arg(long, value_enum, default_value_t = Arrivals::Even)]
    pub arrivals: Arrivals,
    /// Sent before measuring begins; judged, not measured.
    #[arg(long, default_value_t = 5)]
    pub warmup_s: u64,
    #[arg(long, default_value_t = 20)]
    pub duration_s: u64,
    /// The longest wait for what is still due after the last send.
    #[arg(long, default_value_t = 15)]
    pub drain_s: u64,
    /// Bytes of content.
    #[arg(long, default_value_t = 120)]
    pub body: usize,
    /// Clients that are cut off come back, sync, and send again what was not answered.
    #[arg(long)]
    pub reconnect: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DirectArgs {
    #[arg(long, default_value_t = 200)]
    pub pairs: usize,
    /// Sender and receiver of each pair on different nodes.
    #[arg(long)]
    pub cross: bool,
    #[command(flatten)]
    pub sending: SendingArgs,
}

#[derive(Args, Clone, Debug)]
pub struct GroupArgs {
    #[arg(long, default_value_t = 1)]
    pub groups: usize,
    #[arg(long, default_value_t = 500)]
    pub members: usize,
    /// Members of each group that send.
    #[arg(long, default_value_t = 1)]
    pub senders: usize,
    #[command(flatten)]
    pub sending: SendingArgs,
}

#[derive(Args, Clone, Debug)]
pub struct IdleArgs {
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// Connections of each user (the contract allows 3).
    #[arg(long, default_value_t = 1)]
    pub per_user: usize,
    /// Held after the last has opened; memory is read at the end.
    #[arg(long, default_value_t = 30)]
    pub hold_s: u64,
    /// Tokens of invented users instead of registered ones.
    #[arg(long)]
    pub phantom_users: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// Connects in all.
    #[arg(long, default_value_t = 20_000)]
    pub connects: u64,
    /// At once, over all threads.
    #[arg(long, default_value_t = 64)]
    pub parallel: usize,
    /// Users that take turns; at least as many as `parallel`.
    #[arg(long, default_value_t = 1_000)]
    pub users: usize,
    /// Tokens of invented users instead of registered ones.
    #[arg(long)]
    pub phantom_users: bool,
}

#[derive(Args, Clone, Debug)]
pub struct StormArgs {
    /// Clients of the first node, which all come back.
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// They are invented users instead of registered ones.
    #[arg(long)]
    pub phantom_users: bool,
    /// Pairs that are connected to the second node and write all the time.
    #[arg(long, default_value_t = 20)]
    pub pairs: usize,
    /// Their messages a second.
    #[arg(long, default_value_t = 100.0)]
    pub rate: f64,
    /// That long their messages are measured, from shortly before the kill on.
    #[arg(long, default_value_t = 60)]
    pub duration_s: u64,
    /// From the kill on, the longest wait for all to be back.
    #[arg(long, default_value_t = 60)]
    pub patience_s: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    PerSecond(f64),
    Max,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse() {
            Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(Self::PerSecond(rate)),
            _ => Err("expected messages a second, or max".into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    Even,
    Poisson,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["x", "direct", "--rate", "max", "--cluster", ".herald"]).unwrap();
        let Scenario::Direct(args) = cli.scenario else { panic!("direct") };
        assert_eq!(args.sending.rate, Rate::Max);
        assert!(Cli::try_parse_from(["x", "direct", "--rate", "-1"]).is_err());
        assert!(Cli::try_parse_from(["x", "direct", "--rate", "nan"]).is_err());
    }
}
