//! What finding a user by name costs among very many. Prints percentiles of the time of one page, by kind of query.
//!
//! `cargo run --release -p herald-node --example search_users -- postgres://user@host:port/database [users] [queries]`
//! The database is a migrated directory (`herald migrate`); it is filled up to that many users first.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::time::{Duration, Instant};

use herald_node::domain::UserId;
use herald_node::domain::account::fold;
use herald_node::domain::search_name::SearchQuery;
use herald_node::storage::directory::search_names::{find_beginning, find_similar, index_some};
use herald_node::storage::{Database, Directory};
use herald_node::tasks::Tasks;
use tokio_postgres::NoTls;

const PAGE: usize = 51;
/// Accounts of one statement.
const BATCH: usize = 10_000;
const INDEXED_AT_ONCE: i64 = 1_000;

const SYLLABLES: [&str; 40] = [
    "al", "an", "ar", "ba", "be", "bo", "ca", "chi", "da", "de", "el", "en", "fa", "ga", "ha", "is", "jo", "ka", "la",
    "le", "li", "ma", "me", "mi", "na", "ne", "no", "ol", "pe", "ra", "ri", "ro", "sa", "so", "ta", "to", "va", "vi",
    "ya", "zo",
];
const CYRILLIC: [&str; 20] = [
    "ма", "ри", "на", "та", "ли", "са", "ша", "и", "ва", "но", "ко", "пе", "тр", "ов", "ев", "ин", "ла", "ди", "ми",
    "ро",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("the first argument is the URL of a directory")?;
    let users: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let queries: u64 = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let tasks = Tasks::default();
        let directory = Directory::new(Database::new("directory", &url, 2, &tasks)?);
        fill(&url, &directory, users).await?;
        println!("{:>24} {:>8} {:>8} {:>8} {:>8}   found", "query", "p50 ms", "p90 ms", "p99 ms", "max ms");
        for kind in KINDS {
            measure(&directory, kind, users, queries).await?;
        }
        tasks.shutdown(Duration::from_secs(2)).await;
        Ok(())
    })
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let index = usize::try_from(self.below(u64::try_from(from.len()).unwrap_or(1))).unwrap_or(0);
        from.get(index).copied().unwrap_or_default()
    }

    /// The first are much more frequent than the last, as names are.
    fn ideograph(&mut self) -> char {
        let range = match self.below(3) {
            0 => 100,
            1 => 600,
            _ => 3_000,
        };
        u32::try_from(0x4e00 + self.below(range) * 7).ok().and_then(char::from_u32).unwrap_or('李')
    }

    fn word(&mut self, of: &[&str]) -> String {
        (0..2 + self.below(3)).map(|_| self.pick(of)).collect()
    }
}

/// Username and display name of a user.
fn person(number: u64) -> (String, String) {
    let mut numbers = Numbers(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    numbers.below(2);
    let display_name = match numbers.below(10) {
        0..6 => format!("{} {}", numbers.word(&SYLLABLES), numbers.word(&SYLLABLES)),
        6..9 => (0..2 + numbers.below(2)).map(|_| numbers.ideograph()).collect(),
        _ => format!("{} {}", numbers.word(&CYRILLIC), numbers.word(&CYRILLIC)),
    };
    (format!("{}{number}", numbers.word(&SYLLABLES)), display_name)
}

async fn fill(url: &str, directory: &Directory, users: u64) -> Result<(), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = async {
        let _ = connection.await;
    };
    let filling = async {
        let there: i64 = client.query_one("select count(*) from account", &[]).await?.try_get(0)?;
        let missing: Vec<u64> = (u64::try_from(there)?..users).collect();
        for batch in missing.chunks(BATCH) {
            let (names, shown): (Vec<String>, Vec<String>) = batch.iter().map(|number| person(*number)).unzip();
            let keys: Vec<String> = names.iter().map(|name| fold(name)).collect();
            let sql = "insert into account (id, username, username_key, display_name) \
                       select gen_random_uuid(), * from unnest($1::text[], $2::text[], $3::text[]) on conflict do nothing";
            client.execute(sql, &[&names, &keys, &shown]).await?;
        }
        while index_some(directory, INDEXED_AT_ONCE).await? > 0 {}
        client.batch_execute("analyze account; analyze search_name").await?;
        let rows = "select count(*), pg_size_pretty(pg_total_relation_size('search_name')) from search_name";
        let row = client.query_one(rows, &[]).await?;
        let (names, size): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        println!("{users} users, {names} names in {size}, filled in {:.0} s", begun.elapsed().as_secs_f64());
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    tokio::select! {
        filled = filling => filled,
        () = driver => Err("the database has gone".into()),
    }
}

/// A kind of query, and how to make one from somebody's names.
type Kind = (&'static str, fn(&mut Numbers, &str, &str) -> String);

const KINDS: [Kind; 9] = [
    ("one letter", |_, name, _| name.chars().take(1).collect()),
    ("two letters", |_, name, _| name.chars().take(2).collect()),
    ("four letters", |_, name, _| name.chars().take(4).collect()),
    ("whole username", |_, name, _| name.to_owned()),
    ("display name", |_, _, shown| shown.to_owned()),
    ("second word", |_, _, shown| shown.rsplit(' ').next().unwrap_or_default().to_owned()),
    ("last character", |_, _, shown| shown.chars().last().into_iter().collect()),
    ("username, a typo", |numbers, name, _| typo(numbers, name)),
    ("word, a typo", |numbers, _, shown| typo(numbers, shown.split(' ').next().unwrap_or_default())),
];

/// One character is another.
fn typo(numbers: &mut Numbers, text: &str) -> String {
    let length = u64::try_from(text.chars().count()).unwrap_or(1);
    let at = usize::try_from(numbers.below(length.max(1))).unwrap_or(0);
    text.chars().enumerate().map(|(index, character)| if index == at { 'x' } else { character }).collect()
}

async fn measure(
    directory: &Directory,
    (label, make): Kind,
    users: u64,
    queries: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let reader = UserId::random();
    let (mut times, mut count) = (Vec::new(), 0);
    for round in 0..queries + 10 {
        let (name, shown) = person(numbers.below(users));
        let text = make(&mut numbers, &name, &shown);
        let Some(query) = SearchQuery::parse("query", &text).ok().flatten() else { continue };
        let begun = Instant::now();
        let mut found = find_beginning(directory, reader, &query, None, i64::try_from(PAGE)?).await?.len();
        if found < PAGE {
            found += find_similar(directory, reader, &query, None, i64::try_from(PAGE - found)?).await?.len();
        }
        // The first ones prepare the statements.
        if round >= 10 {
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
            count += found;
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).copied().unwrap_or_default();
    let average = count / times.len().max(1);
    println!("{label:>24} {:>8.1} {:>8.1} {:>8.1} {:>8.1}   {average}", at(50), at(90), at(99), at(100));
    Ok(())
}
