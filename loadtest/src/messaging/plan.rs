//! Who takes part in a run, and on which thread.

use crate::cli::SendingArgs;
use crate::net::Login;
use crate::stamp::RunId;
use crate::template::Destination;
use std::sync::Arc;

pub struct Plan {
    pub run: RunId,
    pub conversations: Vec<ConversationPlan>,
    pub sending: SendingArgs,
}

pub struct ConversationPlan {
    pub name: String,
    /// Known from the start for a group; a pair's is learnt from its first message.
    pub id: Option<String>,
    pub members: Vec<MemberPlan>,
}

#[derive(Clone)]
pub struct MemberPlan {
    pub name: String,
    pub login: Arc<Login>,
    pub node: usize,
    /// Sends to it, under a number that is unique in the run.
    pub sends: Option<(u32, Destination)>,
    pub reads: bool,
}

/// The members that one thread serves, of the conversation at that place of the plan.
pub struct Share {
    pub conversation: usize,
    pub id: Option<String>,
    pub readers: u64,
    pub members: Vec<MemberPlan>,
}

/// Splits the plan over threads: pairs stay together, the members of a group are dealt out.
pub fn share_out(plan: &Plan, threads: usize) -> Vec<Vec<Share>> {
    let mut shares: Vec<Vec<Share>> = (0..threads).map(|_| Vec::new()).collect();
    for (at, conversation) in plan.conversations.iter().enumerate() {
        for (thread, share) in shares.iter_mut().enumerate() {
            let is_pair = conversation.members.len() <= 2;
            let members: Vec<_> = conversation
                .members
                .iter()
                .enumerate()
                .filter(|(place, _)| (if is_pair { at } else { at + place }) % threads == thread)
                .map(|(_, member)| member.clone())
                .collect();
            if !members.is_empty() {
                share.push(Share {
                    conversation: at,
                    id: conversation.id.clone(),
                    readers: crate::numbers::count(conversation.members.iter().filter(|member| member.reads).count()),
                    members,
                });
            }
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arrivals, Rate};

    fn plan(sizes: &[usize]) -> Plan {
        let login = Arc::new(Login { user_id: "u".into(), token: "t".into() });
        let conversations = sizes
            .iter()
            .map(|&size| ConversationPlan {
                name: String::new(),
                id: None,
                members: (0..size)
                    .map(|_| MemberPlan {
                        name: String::new(),
                        login: login.clone(),
                        node: 0,
                        sends: None,
                        reads: true,
                    })
                    .collect(),
            })
            .collect();
        let sending = SendingArgs {
            rate: Rate::Max,
            window: 1,
            arrivals: Arrivals::Even,
            warmup_s: 0,
            duration_s: 0,
            drain_s: 0,
            body: 0,
            reconnect: false,
        };
        Plan { run: *b"cafe0123", conversations, sending }
    }

    #[test]
    fn pairs_stay_together_and_groups_are_dealt_out_evenly() {
        let shares = share_out(&plan(&[2, 2, 2, 2]), 2);
        for share in &shares {
            assert_eq!(share.len(), 2);
            assert!(share.iter().all(|conversation| conversation.members.len() == 2));
        }
        let shares = share_out(&plan(&[10, 11]), 2);
        let seats: Vec<usize> = shares.iter().map(|share| share.iter().map(|one| one.members.len()).sum()).collect();
        assert_eq!(seats.iter().sum::<usize>(), 21);
        assert!(seats.iter().all(|&seats| seats >= 10));
        assert!(shares.iter().flatten().all(|share| share.readers >= 10));
    }
}
