//! Pairs: the first user sends, the second receives.

use crate::cli::{Cli, DirectArgs};
use crate::cluster::Cluster;
use crate::limits::probe;
use crate::messaging::{ConversationPlan, MemberPlan, Plan};
use crate::report::Report;
use crate::template::Destination;
use crate::users::find_users;

pub fn direct(cli: &Cli, cluster: &Cluster, args: &DirectArgs) -> Result<Report, String> {
    let nodes = cluster.nodes.len();
    if args.cross && nodes < 2 {
        return Err("--cross needs two nodes".into());
    }
    let users = find_users(cluster, &cli.users, args.pairs * 2)?;
    let limits = probe(cluster);
    let conversations = (0_u32..)
        .zip(users.chunks_exact(2))
        .zip((0..nodes).cycle())
        .filter_map(|((number, pair), node)| {
            let [sender, receiver] = pair else {
                return None;
            };
            let receiver_node = if args.cross { (node + 1) % nodes } else { node };
            Some(ConversationPlan {
                name: format!("pair {number}"),
                id: None,
                members: vec![
                    MemberPlan {
                        name: "sender".into(),
                        login: sender.clone(),
                        node,
                        sends: Some((number, Destination::User(receiver.user_id.clone()))),
                        reads: false,
                    },
                    MemberPlan {
                        name: "receiver".into(),
                        login: receiver.clone(),
                        node: receiver_node,
                        sends: None,
                        reads: true,
                    },
                ],
            })
        })
        .collect();
    let plan = Plan { run: crate::new_run_id(), conversations, sending: args.sending.clone() };
    let shape = format!("{} pairs{}", args.pairs, if args.cross { ", each across two nodes" } else { "" });
    crate::report::run_and_report(cli, cluster, "direct", shape, &plan, limits)
}
