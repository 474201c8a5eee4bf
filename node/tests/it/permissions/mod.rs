//! The permission matrix: every route and everyone who may come to it. What is refused is asked of one world, which must stay as it is;
//! what is permitted of worlds of their own.

mod cast;
mod lengths;
mod table;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use tokio_postgres::Client;

use crate::support::client::{Answer, call};
use crate::support::{Cluster, Setup};
use cast::{Who, World, ask};
use table::{Cell, Row, nameless, rows};

/// Worlds at once.
const AT_ONCE: usize = 8;
/// Rows between two looks at what is kept.
const ROWS_PER_LOOK: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn every_route_has_a_row_and_every_row_a_route() {
    let cluster = Cluster::start(1).await;
    let url = format!("{}/openapi.json", cluster.url(0));
    let document = call(&cluster.http, reqwest::Method::GET, &url, None, None).await.expect(200);
    let paths = document["paths"].as_object().unwrap().iter();
    let routes: BTreeSet<String> = paths
        .flat_map(|(path, methods)| {
            let name = move |method: &String| format!("{} {}", method.to_uppercase(), nameless(path));
            methods.as_object().unwrap().keys().map(name)
        })
        .collect();
    let in_table: BTreeSet<String> = rows().iter().map(Row::route).collect();
    let lacking: Vec<_> = routes.difference(&in_table).collect();
    let stray: Vec<_> = in_table.difference(&routes).collect();
    assert!(
        lacking.is_empty() && stray.is_empty(),
        "routes without a row: {lacking:#?}\nrows without a route: {stray:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_what_the_matrix_says_and_what_is_refused_changes_nothing() {
    let cluster = Setup::nodes(1)
        .set("max_messages_per_second", 1_000_000)
        .set("friend_requests_per_hour", 1_000)
        .set("group_joins_per_minute_per_user", 0)
        .set("group_invites_per_minute_per_user", 0)
        .start()
        .await;
    let rows = rows();
    let mut faults = unchanged(&cluster, &rows).await;
    let changes = rows.iter().flat_map(worlds_of).map(|(row, callers)| changed(&cluster, row, callers));
    let wrong: Vec<Vec<String>> = stream::iter(changes).buffered(AT_ONCE).collect().await;
    faults.extend(wrong.into_iter().flatten());
    assert!(faults.is_empty(), "{} cells differ:\n{}", faults.len(), faults.join("\n"));
}

fn may_change(row: &Row, who: Who) -> bool {
    row.method != "GET" && row.cell(who).code.is_empty()
}

/// The table as a page, for people; what the tests hold the code against is the same.
#[test]
fn the_page_is_as_the_table() {
    let mut page = "# Who may do what\n\nMade from the table in `tests/it/permissions`, which is asked of a running node cell by cell. \
        A status alone has its usual code: 401 `unauthorized`, 403 `forbidden`, 404 `not_found`. `cast.rs` says who they are.\n\n"
        .to_owned();
    let columns: Vec<&str> = Who::EACH.iter().map(|who| who.name()).collect();
    page.push_str(&format!("| request | {} |\n|---{}|\n", columns.join(" | "), "|---".repeat(columns.len())));
    for row in rows() {
        let cells: Vec<String> = Who::EACH.iter().map(|who| row.cell(*who).said()).collect();
        page.push_str(&format!("| `{}` | {} |\n", row.said().trim().replace('|', "\\|"), cells.join(" | ")));
    }
    let golden = include_str!("../../golden/permissions.md");
    if page != golden {
        let written = std::env::temp_dir().join("permissions.md");
        std::fs::write(&written, &page).unwrap();
        panic!("golden/permissions.md is not what the table says; {} is", written.display());
    }
}

/// Asks for all that is to be refused and all that is only read, row by row, and looks after each row whether anything is different.
async fn unchanged(cluster: &Cluster, rows: &[Row]) -> Vec<String> {
    let mut world = World::new(cluster).await;
    let mut requests = Vec::new();
    for row in rows {
        let mut cells = Vec::new();
        for who in Who::EACH.into_iter().filter(|who| !may_change(row, *who)) {
            cells.push((who, Request::new(&mut world, row, who).await));
        }
        requests.push((row, cells));
    }
    for who in Who::EACH {
        world.prepare(who).await;
    }
    let ledger = Ledger::open(cluster).await;
    let mut faults = Vec::new();
    let mut before = ledger.read().await;
    for some in requests.chunks(ROWS_PER_LOOK) {
        for (row, cells) in some {
            let asked = cells.iter().map(async |(who, request)| fault(row, *who, &request.send(&world).await));
            faults.extend(join_all(asked).await.into_iter().flatten());
        }
        let after = ledger.read().await;
        let is_other = |((_, old), (_, new)): &(&(String, String), &(String, String))| old != new;
        let other: Vec<&str> =
            before.iter().zip(&after).filter(is_other).map(|((table, _), _)| table.as_str()).collect();
        if !other.is_empty() {
            let asked: Vec<String> = some.iter().map(|(row, _)| row.said()).collect();
            faults
                .push(format!("{other:?} changed by what was refused or only read, one of:\n  {}", asked.join("\n  ")));
        }
        before = after;
    }
    faults
}

/// Who asks for what is permitted and changes something, by worlds: those who each do their own share one.
fn worlds_of(row: &Row) -> Vec<(&Row, Vec<Who>)> {
    let callers: Vec<Who> = Who::EACH.into_iter().filter(|who| may_change(row, *who)).collect();
    if row.cells.each_for_themselves && !callers.is_empty() {
        return vec![(row, callers)];
    }
    callers.into_iter().map(|who| (row, vec![who])).collect()
}

async fn changed(cluster: &Cluster, row: &Row, callers: Vec<Who>) -> Vec<String> {
    let mut world = World::new(cluster).await;
    let mut requests = Vec::new();
    for who in callers {
        requests.push((who, Request::new(&mut world, row, who).await));
    }
    for (_, request) in &requests {
        world.prepare(request.caller).await;
    }
    let mut wrong = Vec::new();
    for (who, request) in requests {
        wrong.extend(fault(row, who, &request.send(&world).await));
    }
    wrong
}

struct Request {
    caller: Who,
    method: &'static str,
    path: String,
    body: String,
}

impl Request {
    async fn new(world: &mut World<'_>, row: &Row, who: Who) -> Self {
        let is_dead = who == Who::Deleted && row.is_about_a_thing();
        let caller = if is_dead { row.cells.asks_for_deleted } else { who };
        let path = world.fill(&row.path, caller, is_dead).await;
        let body = world.fill(row.body, caller, is_dead).await;
        Self { caller, method: row.method, path, body }
    }

    async fn send(&self, world: &World<'_>) -> Answer {
        ask(world.cluster, world.caller(self.caller), self.method, &self.path, &self.body).await
    }
}

fn fault(row: &Row, who: Who, answer: &Answer) -> Option<String> {
    let Cell { status, code } = row.cell(who);
    let got = if answer.status < 400 { "" } else { answer.body["code"].as_str().unwrap_or_default() };
    let is_so = answer.status == status && got == code;
    let said = if answer.status < 400 { String::new() } else { format!(": {}", answer.body["detail"]) };
    let who = who.name();
    (!is_so).then(|| format!("{} by {who}: {status} {code} is right, {} {got} came{said}", row.said(), answer.status))
}

/// All that is kept, table by table, as one number each.
struct Ledger(Vec<(String, Client, String)>);

/// What is kept aside and moves by itself, or says only where to look: reports of nodes, the indexes of searches.
const NO_STATE: &[&str] = &["node_report", "search_block", "search_name", "search_state", "search_word"];

impl Ledger {
    async fn open(cluster: &Cluster) -> Self {
        let databases = &cluster.databases;
        let mut clients = vec![("directory".to_owned(), databases.directory().await)];
        for index in 0..databases.shards.len() {
            clients.push((format!("shard {index}"), databases.shard(index).await));
        }
        let mut all = Vec::new();
        for (database, client) in clients {
            let sql = "select relname::text from pg_class where relnamespace = 'public'::regnamespace
                       and relkind in ('r', 'p') and not relispartition order by 1";
            let tables = client.query(sql, &[]).await.unwrap();
            let tables = tables.iter().map(|row| row.get::<_, String>(0));
            let digest = |table: String| {
                format!(
                    "select '{table}', md5(coalesce(string_agg(line, e'\\n' order by line), '')) from
                     (select (to_jsonb(t) - 'is_indexed')::text as line from {table} t {}) lines",
                    // Where to look for a pair's conversation, which may not be there.
                    if table == "listing" { "where kind = 2" } else { "" }
                )
            };
            let digests: Vec<String> = tables.filter(|table| !NO_STATE.contains(&table.as_str())).map(digest).collect();
            all.push((database, client, digests.join(" union all ")));
        }
        Self(all)
    }

    async fn read(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (database, client, sql) in &self.0 {
            let rows = client.query(sql, &[]).await.unwrap();
            all.extend(rows.iter().map(|row| (format!("{database} {}", row.get::<_, &str>(0)), row.get(1))));
        }
        all.sort();
        all
    }
}
