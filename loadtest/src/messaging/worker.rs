//! One thread of a run: its clients, what they send, and what they are told.

use super::outgoing::Outgoing;
use super::plan::{Plan, Share};
use super::schedule::{Schedule, share_of_rate};
use super::shared::{Shared, Tally};
use crate::cli::Rate;
use crate::clock::{Clock, Dice, MILLISECOND_NS, SECOND_NS};
use crate::latency::Latency;
use crate::net::{ClientId, Clients, Opening};
use crate::numbers::count;
use crate::oracle::{Ledger, ReaderLog, SenderLog};
use crate::template::Template;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sends due within this time leave together: it bounds both wake-ups and the delay that they cost.
const TICK_NS: u64 = SECOND_NS / 2_000;
/// Tries to open a client before the run is given up, where it has not begun.
pub(super) const OPENING_TRIES_MAX: u32 = 5;
/// Full jitter between attempts to come back, doubling to the second number.
pub(super) const BACKOFF_NS: (u64, u64) = (100 * MILLISECOND_NS, 2_000 * MILLISECOND_NS);
/// Wait before a retryable refusal is sent again, where the server names none.
pub(super) const RETRY_NS: u64 = 200 * MILLISECOND_NS;

/// When a run measures: sends intended between these times.
#[derive(Clone, Copy)]
pub struct Window {
    pub from_ns: u64,
    pub until_ns: u64,
}

impl Window {
    pub(super) fn holds(self, at_ns: u64) -> bool {
        self.from_ns <= at_ns && at_ns < self.until_ns
    }
}

/// What a thread found.
pub struct Found {
    pub conversations: Vec<FoundConversation>,
    pub ack: Latency,
    pub delivery: Latency,
    /// How late the generator itself was.
    pub lateness: Latency,
    /// Acknowledgements and deliveries that arrived while measuring.
    pub acked_in_window: u64,
    pub delivered_in_window: u64,
    /// Things worth a line each, by name: closes, errors, resyncs, other frames.
    pub notes: BTreeMap<String, u64>,
    /// Connections lost after sending began.
    pub lost_connections: u64,
}

pub struct FoundConversation {
    pub conversation: usize,
    pub senders: Vec<SenderLog>,
    pub readers: Vec<ReaderLog>,
    pub ledger: Ledger,
    pub conflicts: u64,
}

pub(super) struct Conversation {
    pub(super) place: usize,
    pub(super) id: Option<String>,
    /// The smallest seq known to be of this run.
    pub(super) first_seq: Option<u64>,
    pub(super) ledger: Ledger,
    pub(super) conflicts: u64,
}

/// A client's part.
pub(super) struct Seat {
    pub(super) conversation: usize,
    pub(super) outgoing: Option<usize>,
    pub(super) reader: Option<ReaderLog>,
    pub(super) is_live: bool,
    /// Attempts to open since it was last live.
    pub(super) tries: u32,
    /// A page said that there is more behind it.
    pub(super) has_more: bool,
}

pub(super) struct Worker<'a> {
    pub(super) plan: &'a Plan,
    pub(super) clock: Clock,
    pub(super) seats: Vec<Seat>,
    pub(super) conversations: Vec<Conversation>,
    pub(super) outgoings: Vec<Outgoing>,
    pub(super) reopenings: VecDeque<(u64, ClientId)>,
    /// Due time, outgoing, message.
    pub(super) retries: VecDeque<(u64, usize, u32)>,
    pub(super) dice: Dice,
    pub(super) live: u64,
    pub(super) window: Option<Window>,
    pub(super) tally: Tally,
    pub(super) found: Found,
    pub(super) failure: Option<String>,
}

/// Runs one thread's share to the end.
pub fn work(
    plan: &Plan,
    parts: Vec<Share>,
    opening: &Arc<Opening>,
    clock: Clock,
    shared: &Shared,
    seed: u64,
) -> Result<Found, String> {
    let mut clients = Clients::new(clock, opening.clone())?;
    let mut worker = Worker::new(plan, clock, seed)?;
    worker.seat_all(parts, &mut clients);
    let seats = count(worker.seats.len());

    while worker.live < seats && !shared.is_stopped() {
        worker.turn(&mut clients, SECOND_NS, shared)?;
    }
    shared.ready.fetch_add(1, Ordering::Relaxed);
    while shared.start_ns.load(Ordering::Relaxed) == 0 && !shared.is_stopped() {
        worker.turn(&mut clients, SECOND_NS / 100, shared)?;
    }
    let start_ns = shared.start_ns.load(Ordering::Relaxed);
    let window = window_of(plan, start_ns);
    worker.window = Some(window);
    match plan.sending.rate {
        Rate::PerSecond(rate) => {
            worker.send_on_schedule(&mut clients, rate, start_ns, window, shared, seed)?;
        }
        Rate::Max => worker.send_first_windows(&mut clients, start_ns),
    }
    while !shared.is_stopped() {
        worker.turn(&mut clients, SECOND_NS, shared)?;
    }
    Ok(worker.finish())
}

/// The measured time of a run that begins then.
pub fn window_of(plan: &Plan, start_ns: u64) -> Window {
    let from_ns = start_ns + plan.sending.warmup_s * SECOND_NS;
    Window { from_ns, until_ns: from_ns + plan.sending.duration_s * SECOND_NS }
}

impl<'a> Worker<'a> {
    fn new(plan: &'a Plan, clock: Clock, seed: u64) -> Result<Self, String> {
        Ok(Self {
            plan,
            clock,
            seats: Vec::new(),
            conversations: Vec::new(),
            outgoings: Vec::new(),
            reopenings: VecDeque::new(),
            retries: VecDeque::new(),
            dice: Dice::seeded(seed ^ 0x5eed),
            live: 0,
            window: None,
            tally: Tally::default(),
            found: Found {
                conversations: Vec::new(),
                ack: Latency::new()?,
                delivery: Latency::new()?,
                lateness: Latency::new()?,
                acked_in_window: 0,
                delivered_in_window: 0,
                notes: BTreeMap::new(),
                lost_connections: 0,
            },
            failure: None,
        })
    }

    fn seat_all(&mut self, parts: Vec<Share>, clients: &mut Clients) {
        for share in parts {
            let conversation = self.conversations.len();
            self.conversations.push(Conversation {
                place: share.conversation,
                id: share.id,
                first_seq: None,
                ledger: Ledger::default(),
                conflicts: 0,
            });
            for member in share.members {
                let client = clients.add(member.login.clone(), member.node);
                let outgoing = member.sends.as_ref().map(|(sender, destination)| {
                    let template = Template::build(self.plan.run, *sender, destination, self.plan.sending.body);
                    let readers = share.readers - u64::from(member.reads);
                    self.outgoings.push(Outgoing::new(client, *sender, template, readers));
                    self.outgoings.len() - 1
                });
                let own_sender = member.sends.map(|(sender, _)| sender);
                self.seats.push(Seat {
                    conversation,
                    outgoing,
                    reader: member.reads.then(|| ReaderLog::new(member.name, own_sender)),
                    is_live: false,
                    tries: 0,
                    has_more: false,
                });
                clients.open(client);
            }
        }
    }

    /// Lets the clients go on, and what is due beside the schedule.
    fn turn(&mut self, clients: &mut Clients, timeout_ns: u64, shared: &Shared) -> Result<(), String> {
        let now_ns = self.clock.now_ns();
        while let Some(&(due_ns, client)) = self.reopenings.front()
            && due_ns <= now_ns
        {
            self.reopenings.pop_front();
            clients.open(client);
        }
        while let Some(&(due_ns, outgoing, number)) = self.retries.front()
            && due_ns <= now_ns
        {
            self.retries.pop_front();
            if let Some(outgoing) = self.outgoings.get_mut(outgoing)
                && outgoing.awaits(number)
            {
                outgoing.write(clients, number);
            }
        }
        let live_before = self.live;
        clients.turn(timeout_ns, &mut |clients, happening| {
            self.hear(clients, &happening);
        })?;
        shared.live.fetch_add(self.live.wrapping_sub(live_before), Ordering::Relaxed);
        shared.add(&mut self.tally);
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// The open model: every message leaves at its time, whatever the answers do.
    fn send_on_schedule(
        &mut self,
        clients: &mut Clients,
        rate: f64,
        start_ns: u64,
        window: Window,
        shared: &Shared,
        seed: u64,
    ) -> Result<(), String> {
        let senders_in_all =
            self.plan.conversations.iter().flat_map(|one| &one.members).filter(|one| one.sends.is_some());
        let senders = self.outgoings.len();
        let here = share_of_rate(rate, count(senders), count(senders_in_all.count()));
        if senders == 0 {
            return Ok(());
        }
        let phase = Dice::seeded(seed).unit();
        let mut schedule = Schedule::new(start_ns, here, phase, self.plan.sending.arrivals, seed);
        let mut next_sender = 0;
        while schedule.next_ns() < window.until_ns && !shared.is_stopped() {
            let now_ns = self.clock.now_ns();
            while schedule.next_ns() <= now_ns.min(window.until_ns - 1) {
                let intended_ns = schedule.next_ns();
                self.send(clients, next_sender, intended_ns);
                if window.holds(intended_ns) {
                    self.found.lateness.record(now_ns - intended_ns);
                }
                next_sender = (next_sender + 1) % senders;
                schedule.advance();
            }
            let wait_ns = schedule.next_ns().saturating_sub(self.clock.now_ns());
            self.turn(clients, wait_ns.max(TICK_NS), shared)?;
        }
        Ok(())
    }

    /// The closed model begins: each acknowledgement sends the next message from then on.
    fn send_first_windows(&mut self, clients: &mut Clients, start_ns: u64) {
        self.clock.sleep_until(start_ns);
        for sender in 0..self.outgoings.len() {
            for _ in 0..self.plan.sending.window.max(1) {
                let now_ns = self.clock.now_ns();
                self.send(clients, sender, now_ns);
            }
        }
    }

    pub(super) fn send(&mut self, clients: &mut Clients, sender: usize, intended_ns: u64) {
        if let Some(outgoing) = self.outgoings.get_mut(sender) {
            outgoing.send(clients, intended_ns);
            self.tally.sent += 1;
        }
    }

    fn finish(mut self) -> Found {
        let mut conversations: Vec<FoundConversation> = self
            .conversations
            .into_iter()
            .map(|one| FoundConversation {
                conversation: one.place,
                senders: Vec::new(),
                readers: Vec::new(),
                ledger: one.ledger,
                conflicts: one.conflicts,
            })
            .collect();
        let mut logs: Vec<Option<SenderLog>> = self.outgoings.into_iter().map(|outgoing| Some(outgoing.log)).collect();
        for seat in self.seats {
            if let Some(conversation) = conversations.get_mut(seat.conversation) {
                conversation.readers.extend(seat.reader);
                let log = seat.outgoing.and_then(|at| logs.get_mut(at)).and_then(Option::take);
                conversation.senders.extend(log);
            }
        }
        self.found.conversations = conversations;
        self.found
    }
}
