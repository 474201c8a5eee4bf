//! One batch: from its locks to its commit.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::create::create;
use super::link::Link;
use super::read::{Found, Wants, lock_and_read};
use super::recover::{Unclear, raise_epoch};
use super::write::{Changes, write};
use super::{Lane, Mode, Queued};
use crate::domain::command::{Command, GroupCommand};
use crate::domain::judge::{Asked, judge};
use crate::domain::{ConversationRef, Refusal};
use crate::storage::StorageError;
use crate::storage::error::cause;
use crate::storage::shard::crash::Point;

/// Longest round trip one. Locks and statements have limits of their own below it, so a server that takes longer is away.
const READ_LIMIT: Duration = Duration::from_millis(1_500);
/// Times that one request's conversation row may be made before it is given up.
const CREATE_TRIES: u8 = 3;
/// Times that a batch is run again after a deadlock.
const AGAIN_TRIES: u8 = 5;

/// What came of a batch, apart from its answers.
pub(super) enum After {
    /// Committed and handed on, or put back to wait: go on.
    GoOn,
    /// The connection is of no use any more.
    Disconnected,
}

/// What a database error means for a batch that was not committed.
enum Meaning {
    /// Some conversation is locked by others.
    Locked,
    /// Lost a race with another lane.
    Again,
    /// Nothing of this batch can be written now.
    Overloaded,
    /// This server does not write.
    Away,
    /// Some request of it is bad.
    Poison,
}

fn meaning_of(error: &tokio_postgres::Error) -> Meaning {
    let Some(code) = error.code() else {
        // Not from the server: the connection, or a value that could not be sent.
        let is_lost = error.is_closed()
            || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        return if is_lost { Meaning::Away } else { Meaning::Poison };
    };
    match code {
        code if *code == SqlState::LOCK_NOT_AVAILABLE => Meaning::Locked,
        code if *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE => {
            Meaning::Again
        }
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Meaning::Away,
        code => match code.code().get(..2) {
            Some("53") => Meaning::Overloaded,
            // A statement that took too long: of a smaller batch it may not.
            _ if *code == SqlState::QUERY_CANCELED => Meaning::Poison,
            Some("08" | "25" | "57") => Meaning::Away,
            _ => Meaning::Poison,
        },
    }
}

impl Lane {
    /// Runs one batch. Whatever happens, every request of it is answered, waits again, or is unclear.
    pub(super) async fn run_batch(&mut self, link: &Link, mut batch: Vec<Queued>, mode: Mode) -> After {
        if batch.is_empty() {
            return After::GoOn;
        }
        let unknown = self.unknown_of(&batch);
        if !unknown.is_empty()
            && let Err(error) = self.make_rows(link, unknown, &mut batch).await
        {
            return self.failed(link, batch, mode, error).await;
        }
        let begun = Instant::now();
        let wants = Wants::of(&batch);
        let policy = (self.context.providers.policy)();
        // Boxed, as all that follows: a dozen statements in flight are a large future.
        let reading = lock_and_read(link, &wants, mode, policy).boxed();
        let found = match timeout(READ_LIMIT, reading).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return self.failed(link, batch, mode, error).await,
            Err(_) => {
                self.waiting.put_back(batch, mode);
                return After::Disconnected;
            }
        };
        self.context.crash.reach(Point::AfterLock);
        self.context.shard.xmins.note(begun, found.xmin);
        if found.timelines.0 != found.timelines.1 {
            return self.meet_timeline(link, batch, mode, &found).await;
        }
        self.context.shard.note_epoch(found.model.book.epoch);
        let batch = self.sort_out(batch, mode, &found);
        self.judge_and_write(link, batch, found, begun).boxed().await
    }

    async fn judge_and_write(&mut self, link: &Link, batch: Vec<Queued>, found: Found, begun: Instant) -> After {
        let mut model = found.model;
        let verdicts = judge(&mut model, batch.iter().enumerate().map(|(index, queued)| queued.asked(index)));
        let subscribed = (self.context.providers.subscribed)();
        let changes = match Changes::of(&model, &subscribed) {
            Ok(changes) => changes,
            Err(error) => return self.failed(link, batch, Mode::Waiting, error).await,
        };
        let boot = (self.context.providers.boot)();
        link.take_warning();
        let mut batch = batch;
        let written = if self.context.crash.is_armed(Point::BeforeCommit) {
            let written = write(link, &changes, boot, async { Ok(()) }).boxed().await;
            self.context.crash.reach(Point::BeforeCommit);
            match written {
                Ok(()) => self.wait_for(link.client.batch_execute("COMMIT"), &mut batch).await,
                Err(error) => Err(error),
            }
        } else {
            self.wait_for(write(link, &changes, boot, link.client.batch_execute("COMMIT")).boxed(), &mut batch).await
        };
        drop(changes);
        let unclear = Unclear { batch, verdicts, model, boot, begun };
        match written {
            Ok(()) if !link.take_warning() => {
                self.context.crash.reach(Point::AfterCommit);
                self.hand_on(unclear).await;
                After::GoOn
            }
            Ok(()) => {
                self.unclear = Some(unclear);
                After::GoOn
            }
            Err(error) if matches!(meaning_of(&error), Meaning::Away) => {
                tracing::warn!(
                    shard = self.context.shard.name,
                    error = cause(&error),
                    "connection lost while a commit was out"
                );
                self.unclear = Some(unclear);
                After::Disconnected
            }
            Err(error) => self.failed(link, unclear.batch, Mode::Waiting, error.into()).await,
        }
    }

    /// Conversations that a batch may begin and that are not known to have a row.
    fn unknown_of(&self, batch: &[Queued]) -> Vec<ConversationRef> {
        let mut unknown: Vec<ConversationRef> = batch
            .iter()
            .filter(|queued| may_create(queued.request.conversation, &queued.request.command))
            .map(|queued| queued.request.conversation)
            .filter(|reference| !self.known.contains(&reference.id()))
            .collect();
        unknown.sort_unstable_by_key(ConversationRef::id);
        unknown.dedup();
        unknown
    }

    /// Makes those rows, where they are not there.
    async fn make_rows(
        &mut self,
        link: &Link,
        mut unknown: Vec<ConversationRef>,
        batch: &mut [Queued],
    ) -> Result<(), StorageError> {
        let away = StorageError::Unavailable(None);
        let ids: Vec<_> = unknown.iter().map(ConversationRef::id).collect();
        // A look first: after a start nearly all are there, and making them would cost a commit.
        let looking = async { link.client.query(&link.statements.existing, &[&ids]).await };
        let Ok(rows) = self.wait_for(timeout(READ_LIMIT, looking), batch).await else { return Err(away) };
        for row in rows? {
            self.known.insert(row.try_get(0)?);
        }
        unknown.retain(|reference| !self.known.contains(&reference.id()));
        if !unknown.is_empty() {
            // Its one statement has the server's own limit; a COMMIT that waits for a standby may take longer than a read.
            let making = create(link, unknown.clone()).boxed();
            let Ok(made) = self.wait_for(timeout(READ_LIMIT * 2, making), batch).await else { return Err(away) };
            made?;
        }
        self.known.extend(unknown.iter().map(ConversationRef::id));
        Ok(())
    }

    /// Takes out what is not to be judged now: of slots held elsewhere, locked by others, or with a row still to be made.
    fn sort_out(&mut self, batch: Vec<Queued>, mode: Mode, found: &Found) -> Vec<Queued> {
        let mut kept = Vec::with_capacity(batch.len());
        let mut skipped = Vec::new();
        let mut unmade = Vec::new();
        let has_locked = self.waiting.has_locked();
        for mut queued in batch {
            let id = queued.request.conversation.id();
            if i16::try_from(id.slot().0).is_ok_and(|slot| found.not_held.contains(&slot)) {
                self.known.remove(&id);
                if let Err(error) = self.context.misdirected.try_send(queued) {
                    error.into_inner().refuse(Refusal::Unavailable);
                }
            } else if found.model.conversations.contains_key(&id) {
                if has_locked {
                    self.waiting.release(id);
                }
                kept.push(queued);
            } else if mode == Mode::Free && found.existing.contains(&id) {
                skipped.push(queued);
            } else if !may_create(queued.request.conversation, &queued.request.command) {
                kept.push(queued);
            } else if queued.tries < CREATE_TRIES {
                queued.tries += 1;
                self.known.remove(&id);
                unmade.push(queued);
            } else {
                queued.refuse(Refusal::Unavailable);
            }
        }
        self.waiting.put_back(unmade, Mode::Waiting);
        self.waiting.put_locked(skipped, Instant::now());
        kept
    }

    /// Rolls back and decides what becomes of a batch of which nothing was committed.
    async fn failed(&mut self, link: &Link, mut batch: Vec<Queued>, mode: Mode, error: StorageError) -> After {
        let meaning = match &error {
            StorageError::Unavailable(_) | StorageError::Misconfigured(_) => Meaning::Away,
            StorageError::Overloaded(Some(source)) | StorageError::Failed(source) => {
                source.downcast_ref::<tokio_postgres::Error>().map_or(Meaning::Poison, meaning_of)
            }
            StorageError::Overloaded(None) => Meaning::Overloaded,
        };
        if !matches!(meaning, Meaning::Away) {
            let rolled_back = timeout(READ_LIMIT, link.client.batch_execute("ROLLBACK")).await;
            if !matches!(rolled_back, Ok(Ok(()))) {
                self.waiting.put_back(batch, mode);
                return After::Disconnected;
            }
        }
        match meaning {
            Meaning::Away => {
                tracing::warn!(
                    shard = self.context.shard.name,
                    error = cause(&error),
                    "a lane's connection is of no use"
                );
                self.waiting.put_back(batch, mode);
                return After::Disconnected;
            }
            Meaning::Locked if mode == Mode::Waiting => {
                metrics::counter!("herald_lane_lock_timeouts_total").increment(1);
                let first = batch.first().map(|queued| queued.request.conversation.id());
                let is_alone = batch.iter().all(|queued| Some(queued.request.conversation.id()) == first);
                if is_alone {
                    self.waiting.put_locked(batch, Instant::now());
                } else {
                    self.waiting.put_back(batch, Mode::Free);
                }
            }
            Meaning::Locked | Meaning::Again => {
                for queued in &mut batch {
                    queued.tries = queued.tries.saturating_add(1);
                }
                super::waiting::refuse_some(&mut batch, |queued| queued.tries > AGAIN_TRIES);
                self.waiting.put_back(batch, mode);
            }
            Meaning::Overloaded => {
                tracing::error!(shard = self.context.shard.name, error = cause(&error), "a database has no room");
                for queued in batch {
                    queued.refuse(Refusal::Overloaded { retry_after_ms: 1_000 });
                }
            }
            Meaning::Poison if batch.len() > 1 => {
                metrics::counter!("herald_lane_batches_split_total").increment(1);
                self.waiting.split(batch, mode);
            }
            Meaning::Poison => {
                tracing::error!(
                    shard = self.context.shard.name,
                    conversation = ?batch.first().map(|queued| queued.request.conversation.id()),
                    error = cause(&error),
                    "a database refused a request"
                );
                for queued in batch {
                    queued.refuse(Refusal::Internal);
                }
            }
        }
        After::GoOn
    }

    /// The server is on a timeline that the epoch does not know: what was committed before may be lost. The epoch is raised
    /// before anything more is written.
    async fn meet_timeline(&mut self, link: &Link, batch: Vec<Queued>, mode: Mode, found: &Found) -> After {
        let (known, present) = &found.timelines;
        let is_synchronous = self.context.shard.is_synchronous;
        let raising = async {
            link.client.batch_execute("ROLLBACK").await?;
            raise_epoch(link, is_synchronous, known, present).await
        };
        let raised = timeout(READ_LIMIT, raising).await;
        self.context.shard.xmins.clear();
        self.known.clear();
        self.waiting.put_back(batch, mode);
        tracing::warn!(shard = self.context.shard.name, known, present, is_synchronous, "another timeline");
        if matches!(raised, Ok(Ok(()))) { After::GoOn } else { After::Disconnected }
    }
}

/// Whether a command may begin a conversation: the first message of a pair, a pair's state or what one of it sets for it, a group's
/// creation. A pair's row is made only for whom the id was computed from; a group is never begun by a message to it.
const fn may_create(conversation: ConversationRef, command: &Command) -> bool {
    match conversation {
        ConversationRef::Direct { .. } => {
            matches!(
                command,
                Command::Send { .. } | Command::CheckSend { .. } | Command::Settings { .. } | Command::Pair(_)
            )
        }
        ConversationRef::Group { .. } => matches!(command, Command::Group(GroupCommand::Create { .. })),
    }
}

impl Queued {
    fn asked(&self, index: usize) -> Asked<'_> {
        Asked {
            conversation: self.request.conversation,
            actor: &self.request.actor,
            command: &self.request.command,
            client_key: self.client_key,
            index,
        }
    }
}
