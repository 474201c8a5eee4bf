//! Groups: made over REST, then a few members send and every other member receives.

use crate::cli::{Cli, GroupArgs};
use crate::cluster::Cluster;
use crate::limits::probe;
use crate::messaging::{ConversationPlan, MemberPlan, Plan};
use crate::net::Login;
use crate::report::Report;
use crate::template::Destination;
use crate::users::{create_group, find_users};
use std::sync::Arc;

pub fn group(cli: &Cli, cluster: &Cluster, args: &GroupArgs) -> Result<Report, String> {
    if args.senders > args.members || args.members < 2 {
        return Err("a group needs two members, and no more senders than members".into());
    }
    let users = find_users(cluster, &cli.users, args.groups * args.members)?;
    let limits = probe(cluster);
    let mut conversations = Vec::new();
    let mut next_sender = 0_u32;
    for (number, members) in (0..args.groups).zip(users.chunks_exact(args.members)) {
        let id = create_group(cluster, members)?;
        let mut seats = Vec::with_capacity(members.len());
        for (place, (login, node)) in members.iter().zip((0..cluster.nodes.len()).cycle()).enumerate() {
            let sends = (place < args.senders).then(|| (next_sender, Destination::Group(id.clone())));
            next_sender += u32::from(sends.is_some());
            seats.push(member(place, login, node, sends));
        }
        conversations.push(ConversationPlan { name: format!("group {number}"), id: Some(id), members: seats });
    }
    let plan = Plan { run: crate::new_run_id(), conversations, sending: args.sending.clone() };
    let shape = format!("{} groups of {} members, {} of them sending", args.groups, args.members, args.senders);
    crate::report::run_and_report(cli, cluster, "group", shape, &plan, limits)
}

fn member(place: usize, login: &Arc<Login>, node: usize, sends: Option<(u32, Destination)>) -> MemberPlan {
    MemberPlan { name: format!("member {place}"), login: login.clone(), node, sends, reads: true }
}
