//! Where users are: `route:{user}` holds one record of 40 bytes for each of the user's sessions, see `scripts/route_add.lua`.

use std::collections::HashMap;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use smallvec::SmallVec;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::ids::{BootId, Route, SessionId};
use crate::keeper::USERS_TTL_MS;
use crate::peers::{ask_leases, read_renewals};
use crate::scripts::call;
use crate::shared::pack_boots;
use crate::{Router, RouterError, value};

const RECORD_BYTES: usize = 40;
/// Routes are compared every 30 s, which prolongs them; what nobody prolongs is of nodes that are gone.
const ROUTE_TTL_MS: u64 = 10 * 60 * 1_000;
/// A boot renews every 0.5 s; one that does not within this long is not there to be counted.
const RENEWAL_PATIENCE: Duration = Duration::from_millis(600);
const RENEWAL_POLL: Duration = Duration::from_millis(50);
/// Many commands in one round trip, but not so many that others wait long behind them.
const PIPELINE_MAX: usize = 500;

/// What [`Router::register`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Sessions that lost their route, oldest first. The one being registered may be among them, where all others are newer.
    pub evicted: Vec<Route>,
    /// The user's other routes, as they are now.
    pub others: Vec<Route>,
    /// True if the user had no other route before.
    pub is_first: bool,
}

/// What [`Router::restore`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Were missing and have been put back: their sessions need repair.
    pub put_back: Vec<(Uuid, SessionId)>,
    /// Lost their route to the limit meanwhile, this node's or others': to be closed as replaced.
    pub evicted: Vec<(Uuid, Route)>,
}

impl Router {
    /// Adds a session's route. Above `limit` the oldest lose theirs; before that it waits, for 0.6 s at most, for a renewal of each
    /// foreign boot counted, and those that do not renew do not count.
    pub async fn register(
        &self,
        user: Uuid,
        session: SessionId,
        connected_at_ms: i64,
        limit: usize,
    ) -> Result<Registered, RouterError> {
        let route = Route { session, boot: self.boot(), connected_at_ms };
        let mut pipeline = Pipeline::with_capacity(3);
        let users = self.shared.keys.users(route.boot);
        pipeline.cmd("SADD").arg(&users).arg(user_member(user, session).as_slice());
        pipeline.cmd("PEXPIRE").arg(&users).arg(USERS_TTL_MS);
        pipeline.add_command(self.add(user, route, limit, None));
        let answers = self.shared.run(&pipeline).await?;
        match read_added(answers.get(2))? {
            Added::Done(registered) => Ok(registered),
            Added::IsFull(counted) => {
                let silent = self.silent_boots(&counted).await?;
                let command = self.add(user, route, limit, Some(&silent));
                match read_added(Some(&self.shared.run_one(command).await?))? {
                    Added::Done(registered) => Ok(registered),
                    Added::IsFull(_) => Err(RouterError::Unexpected("route")),
                }
            }
        }
    }

    /// Removes a session's route if it is one of this node's. Answers what is left.
    pub async fn unregister(&self, user: Uuid, session: SessionId) -> Result<Vec<Route>, RouterError> {
        let mut pipeline = Pipeline::new();
        self.drop_route(&mut pipeline, user, session, &self.shared.own_boots());
        let answers = self.shared.run(&pipeline).await?;
        Ok(answers
            .first()
            .map(|rest| parse_records(value::bytes(rest).unwrap_or_default()))
            .unwrap_or_default()
            .to_vec())
    }

    /// Removes many routes of this node, pipelined: for leaving.
    pub async fn unregister_many(&self, sessions: &[(Uuid, SessionId)]) -> Result<(), RouterError> {
        let own = self.shared.own_boots();
        for some in sessions.chunks(PIPELINE_MAX) {
            let mut pipeline = Pipeline::with_capacity(2 * some.len());
            for (user, session) in some {
                self.drop_route(&mut pipeline, *user, *session, &own);
            }
            self.shared.run(&pipeline).await?;
        }
        Ok(())
    }

    /// The routes of each user, in one round trip. Those of boots that this node has seen die are left out.
    pub async fn routes(&self, users: &[Uuid]) -> Result<Vec<SmallVec<[Route; 2]>>, RouterError> {
        let answers = self.get_many(users.iter().map(|user| self.shared.keys.route(*user))).await?;
        let mut routes: Vec<_> =
            answers.iter().map(|answer| parse_records(value::bytes(answer).unwrap_or_default())).collect();
        let peers = self.shared.peers.lock();
        for routes in &mut routes {
            routes.retain(|route| !peers.is_gone(route.boot));
        }
        Ok(routes)
    }

    /// Compares sessions of this node with their routes, and puts back what is missing. For every 30 s, and after
    /// [`crate::Event::RoutesGone`].
    pub async fn restore(&self, sessions: &[(Uuid, SessionId, i64)], limit: usize) -> Result<Restored, RouterError> {
        let mut restored = Restored::default();
        for some in sessions.chunks(PIPELINE_MAX) {
            let boot = self.boot();
            let users = self.shared.keys.users(boot);
            let gone = pack_boots(&self.shared.gone_boots());
            let mut pipeline = Pipeline::with_capacity(2 * some.len());
            for (user, session, connected_at_ms) in some {
                let route = Route { session: *session, boot, connected_at_ms: *connected_at_ms };
                pipeline.cmd("SADD").arg(&users).arg(user_member(*user, *session).as_slice());
                let mut command = call(&self.shared.scripts.route_check, &self.shared.keys.route(*user));
                command.arg(encode_record(route).as_slice()).arg(limit.max(1)).arg(ROUTE_TTL_MS).arg(gone.as_slice());
                pipeline.add_command(command);
            }
            pipeline.cmd("PEXPIRE").arg(&users).arg(USERS_TTL_MS);
            let answers = self.shared.run(&pipeline).await?;
            let found = answers.iter().skip(1).step_by(2);
            for ((user, session, connected_at_ms), found) in some.iter().zip(found) {
                match found {
                    Value::Int(1) => {}
                    Value::Int(2) => restored.put_back.push((*user, *session)),
                    _ => {
                        let registered = self.register(*user, *session, *connected_at_ms, limit).await?;
                        if registered.evicted.iter().all(|route| route.session != *session) {
                            restored.put_back.push((*user, *session));
                        }
                        restored.evicted.extend(registered.evicted.into_iter().map(|route| (*user, route)));
                    }
                }
            }
        }
        Ok(restored)
    }

    /// The users that had a session on this boot.
    pub async fn users_of(&self, boot: BootId) -> Result<Vec<Uuid>, RouterError> {
        let key = self.shared.keys.users(boot);
        let mut users = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut command = redis::cmd("SSCAN");
            command.arg(&key).arg(&cursor).arg("COUNT").arg(1_000);
            let answer = self.shared.run_one(command).await?;
            let unexpected = RouterError::Unexpected("SSCAN");
            let Some([next, members]) = value::array(&answer) else {
                return Err(unexpected);
            };
            let members = value::array(members).unwrap_or_default();
            users.extend(members.iter().filter_map(|member| Uuid::from_slice(value::bytes(member)?.get(..16)?).ok()));
            match value::text(next) {
                Some("0") => break,
                Some(next) => next.clone_into(&mut cursor),
                None => return Err(unexpected),
            }
        }
        users.sort_unstable();
        users.dedup();
        Ok(users)
    }

    pub async fn forget_users_of(&self, boot: BootId) -> Result<(), RouterError> {
        let mut command = redis::cmd("UNLINK");
        command.arg(self.shared.keys.users(boot));
        self.shared.run_one(command).await.map(drop)
    }

    /// With `silent` the oldest may be evicted; those boots do not count.
    fn add(&self, user: Uuid, route: Route, limit: usize, silent: Option<&[BootId]>) -> Cmd {
        let mut command = call(&self.shared.scripts.route_add, &self.shared.keys.route(user));
        command
            .arg(encode_record(route).as_slice())
            .arg(limit.max(1))
            .arg(i32::from(silent.is_some()))
            .arg(ROUTE_TTL_MS);
        command.arg(pack_boots(&self.shared.gone_boots())).arg(pack_boots(silent.unwrap_or_default()));
        command
    }

    fn drop_route(&self, pipeline: &mut Pipeline, user: Uuid, session: SessionId, own: &[BootId]) {
        let mut command = call(&self.shared.scripts.route_drop, &self.shared.keys.route(user));
        command.arg(session.0.as_bytes().as_slice()).arg(pack_boots(own));
        pipeline.add_command(command);
        for boot in own.iter().take(2) {
            // The boot before too: a session may end between a pause and its new route.
            pipeline.cmd("SREM").arg(self.shared.keys.users(*boot)).arg(user_member(user, session).as_slice());
        }
    }

    /// Waits for the next renewal of each foreign boot, and answers those that did not renew in time.
    async fn silent_boots(&self, routes: &[Route]) -> Result<Vec<BootId>, RouterError> {
        let own = self.boot();
        let mut waited: Vec<BootId> = routes.iter().map(|route| route.boot).filter(|boot| *boot != own).collect();
        waited.sort_unstable();
        waited.dedup();
        if waited.is_empty() {
            return Ok(waited);
        }
        let first = self.renewals(&waited).await?;
        let deadline = Instant::now() + RENEWAL_PATIENCE;
        loop {
            let now = self.renewals(&waited).await?;
            // No renewal counter at all: no lease, so nothing to wait for.
            waited.retain(|boot| first.get(boot).is_none_or(|counter| now.get(boot) <= Some(counter)));
            let may_come = waited.iter().any(|boot| first.contains_key(boot));
            if !may_come || Instant::now() >= deadline {
                return Ok(waited);
            }
            sleep(RENEWAL_POLL).await;
        }
    }

    /// The renewal counter of each boot that is in the table of leases.
    async fn renewals(&self, boots: &[BootId]) -> Result<HashMap<BootId, u64>, RouterError> {
        let answer = self.shared.run_one(ask_leases(&self.shared.keys, boots)).await?;
        Ok(read_renewals(boots, &answer))
    }
}

enum Added {
    Done(Registered),
    /// These others would have to be counted.
    IsFull(Vec<Route>),
}

fn read_added(answer: Option<&Value>) -> Result<Added, RouterError> {
    let unexpected = RouterError::Unexpected("route");
    let Some([done, others, evicted]) = answer.and_then(value::array) else {
        return Err(unexpected);
    };
    let others = parse_records(value::bytes(others).ok_or(unexpected)?).to_vec();
    if value::int(done) != Some(1) {
        return Ok(Added::IsFull(others));
    }
    let evicted = parse_records(value::bytes(evicted).unwrap_or_default()).to_vec();
    let is_first = others.is_empty() && evicted.is_empty();
    Ok(Added::Done(Registered { evicted, others, is_first }))
}

fn user_member(user: Uuid, session: SessionId) -> [u8; 32] {
    let mut member = [0; 32];
    let (first, second) = member.split_at_mut(16);
    first.copy_from_slice(user.as_bytes());
    second.copy_from_slice(session.0.as_bytes());
    member
}

fn encode_record(route: Route) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    let (session, rest) = record.split_at_mut(16);
    let (boot, connected_at) = rest.split_at_mut(16);
    session.copy_from_slice(route.session.0.as_bytes());
    boot.copy_from_slice(route.boot.0.as_bytes());
    connected_at.copy_from_slice(&route.connected_at_ms.to_be_bytes());
    record
}

fn parse_records(records: &[u8]) -> SmallVec<[Route; 2]> {
    records
        .chunks_exact(RECORD_BYTES)
        .filter_map(|record| {
            let (session, rest) = record.split_first_chunk::<16>()?;
            let (boot, rest) = rest.split_first_chunk::<16>()?;
            let (connected_at_ms, _) = rest.split_first_chunk::<8>()?;
            Some(Route {
                session: SessionId(Uuid::from_bytes(*session)),
                boot: BootId(Uuid::from_bytes(*boot)),
                connected_at_ms: i64::from_be_bytes(*connected_at_ms),
            })
        })
        .collect()
}
