//! Who takes part: users from a file of tokens, from a file of known users, or registered now and remembered.

use crate::cli::UserArgs;
use crate::cluster::Cluster;
use crate::net::Login;
use crate::numbers::{count, index};
use crate::rest::Rest;
use crate::tokens::Mint;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All users registered here have it; they exist on test clusters only.
const PASSWORD: &str = "loadtest-password";

/// The first `wanted` users, with tokens. Registering costs the server a password hash each, so they are kept in a file.
pub fn find_users(cluster: &Cluster, args: &UserArgs, wanted: usize) -> Result<Vec<Arc<Login>>, String> {
    if let Some(path) = &args.tokens_file {
        return read_tokens(path, wanted);
    }
    let mint = make_mint(cluster, args)?;
    let mut logins = Vec::with_capacity(wanted);
    for (user_id, name) in known_users(cluster, args, wanted)? {
        let token = mint.make(&user_id, &name)?;
        logins.push(Arc::new(Login { user_id, token }));
    }
    Ok(logins)
}

/// `wanted` tokens of users that do not exist: a token is checked without a database, so it may open a socket.
pub fn invent_users(cluster: &Cluster, args: &UserArgs, wanted: usize) -> Result<Vec<Arc<Login>>, String> {
    let mint = make_mint(cluster, args)?;
    (0..wanted)
        .map(|_| {
            let user_id = uuid::Uuid::new_v4().to_string();
            let token = mint.make(&user_id, "phantom")?;
            Ok(Arc::new(Login { user_id, token }))
        })
        .collect()
}

/// Lines of `user_id access_token`.
fn read_tokens(path: &Path, wanted: usize) -> Result<Vec<Arc<Login>>, String> {
    let logins: Vec<_> =
        read_pairs(path)?.into_iter().take(wanted).map(|(user_id, token)| Arc::new(Login { user_id, token })).collect();
    if logins.len() < wanted {
        return Err(format!("{}: {} users, {wanted} are needed", path.display(), logins.len()));
    }
    Ok(logins)
}

fn read_pairs(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(first, second)| (first.to_owned(), second.to_owned()))
        .collect())
}

/// Ids and names from the users file, and as many new ones as are missing, which are added to it.
fn known_users(cluster: &Cluster, args: &UserArgs, wanted: usize) -> Result<Vec<(String, String)>, String> {
    let path = args.users_file.clone().or_else(|| cluster.data_dir.as_ref().map(|dir| dir.join("loadtest-users")));
    let mut known = match &path {
        Some(path) if path.exists() => read_pairs(path)?,
        _ => Vec::new(),
    };
    if known.len() < wanted {
        let fresh = register(cluster, args, wanted - known.len())?;
        if let Some(path) = &path {
            append_pairs(path, &fresh)?;
        }
        known.extend(fresh);
    }
    known.truncate(wanted);
    Ok(known)
}

fn append_pairs(path: &Path, pairs: &[(String, String)]) -> Result<(), String> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    pairs
        .iter()
        .try_for_each(|(id, name)| writeln!(file, "{id} {name}"))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Registers users over several connections at once, spread over the nodes.
fn register(cluster: &Cluster, args: &UserArgs, wanted: usize) -> Result<Vec<(String, String)>, String> {
    eprintln!("registering {wanted} users");
    let run = uuid::Uuid::new_v4().simple().to_string();
    let next = AtomicUsize::new(0);
    let parts: Vec<Result<Vec<(String, String)>, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.register_parallel.max(1))
            .zip(cluster.nodes.iter().cycle())
            .map(|(_, node)| {
                let (run, next) = (&run, &next);
                scope.spawn(move || {
                    let mut rest = Rest::new(node.clone());
                    let mut users = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= wanted {
                            return Ok(users);
                        }
                        let name = format!("lt_{}_{number}", run.get(..10).unwrap_or_default());
                        users.push((register_one(&mut rest, &name)?, name));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a registering thread panicked".into())))
            .collect()
    });
    let mut users = Vec::with_capacity(wanted);
    for part in parts {
        users.extend(part?);
    }
    Ok(users)
}

fn register_one(rest: &mut Rest, name: &str) -> Result<String, String> {
    let response = rest.post("/auth/register", None, &json!({"username": name, "password": PASSWORD}))?;
    response
        .body
        .pointer("/user/id")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| format!("register {name}: {} {}", response.status, response.body))
}

/// Logs in once, to have a token to make others like.
fn make_mint(cluster: &Cluster, args: &UserArgs) -> Result<Mint, String> {
    let secret = cluster
        .jwt_secret
        .as_deref()
        .ok_or("no secret to make tokens with: give --cluster, --jwt-secret or --tokens-file")?;
    let (username, password) = args.login.split_once(':').ok_or("--login takes USERNAME:PASSWORD")?;
    let node = cluster.nodes.first().ok_or("no node")?;
    let response =
        Rest::new(node.clone()).post("/auth/login", None, &json!({"username": username, "password": password}))?;
    let token = response
        .body
        .get("access_token")
        .and_then(Value::as_str)
        .ok_or_else(|| format!("login of {username}: {} {}", response.status, response.body))?;
    Mint::like(token, secret, args.token_life_s)
}

/// Members of one page when a group is made or grows: the contract's bound.
const MEMBERS_A_CALL: usize = 1_000;

/// A group of these users, the first its owner; gives its id.
pub fn create_group(cluster: &Cluster, members: &[Arc<Login>]) -> Result<String, String> {
    let node = cluster.nodes.first().ok_or("no node")?;
    let (owner, others) = members.split_first().ok_or("a group without members")?;
    let mut rest = Rest::new(node.clone());
    let mut pages = others.chunks(MEMBERS_A_CALL);
    let first = ids(pages.next().unwrap_or_default());
    let size = count(members.len()).max(500);
    let body = json!({"name": "load test", "members": first, "max_members": size});
    let created = rest.post("/groups", Some(&owner.token), &body)?;
    let id = created
        .body
        .get("id")
        .and_then(Value::as_str)
        .ok_or_else(|| format!("create a group: {} {}", created.status, created.body))?
        .to_owned();
    for page in pages {
        let body = json!({"user_ids": ids(page)});
        let added = rest.post(&format!("/groups/{id}/members"), Some(&owner.token), &body)?;
        if added.status != 200 {
            return Err(format!("add members: {} {}", added.status, added.body));
        }
    }
    Ok(id)
}

fn ids(members: &[Arc<Login>]) -> Vec<&str> {
    members.iter().map(|member| member.user_id.as_str()).collect()
}

/// The user at a place that may lie beyond the end: they go round.
pub fn pick(users: &[Arc<Login>], place: u64) -> Option<Arc<Login>> {
    let at = index(place.checked_rem(count(users.len()))?);
    users.get(at).cloned()
}
