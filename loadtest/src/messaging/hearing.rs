//! What the server says to the clients of a run, and what they do about it.

use super::worker::{BACKOFF_NS, OPENING_TRIES_MAX, RETRY_NS, Worker};
use crate::cli::Rate;
use crate::clock::MILLISECOND_NS;
use crate::net::{ClientId, Clients, Happening};
use crate::oracle::Answer;
use crate::scan::{Fields, number, scan};
use crate::stamp::{Stamp, read_stamp};
use crate::template::number_of_temp_id;
use serde_json::Value;

impl Worker<'_> {
    pub(super) fn hear(&mut self, clients: &mut Clients, happening: &Happening<'_>) {
        match *happening {
            Happening::Text { client, payload } => self.hear_text(clients, client, payload),
            Happening::Live { client, .. } => self.hear_live(clients, client),
            Happening::Down { client, reason } => self.hear_down(clients, client, reason),
        }
    }

    fn hear_live(&mut self, clients: &mut Clients, client: ClientId) {
        self.live += 1;
        let Some(seat) = self.seats.get_mut(client) else {
            return;
        };
        seat.tries = 0;
        seat.is_live = true;
        if let Some(outgoing) = seat.outgoing
            && let Some(outgoing) = self.outgoings.get_mut(outgoing)
        {
            outgoing.write_outstanding(clients);
        }
    }

    fn hear_down(&mut self, clients: &mut Clients, client: ClientId, reason: &str) {
        self.note(&format!("down: {reason}"));
        let has_begun = self.window.is_some();
        let Some(seat) = self.seats.get_mut(client) else {
            return;
        };
        if std::mem::take(&mut seat.is_live) {
            self.live -= 1;
            self.found.lost_connections += u64::from(has_begun);
        }
        seat.tries += 1;
        seat.has_more = false;
        if !has_begun && seat.tries > OPENING_TRIES_MAX {
            self.failure = Some(format!("a client could not be opened: {reason}"));
            return;
        }
        if has_begun && !self.plan.sending.reconnect {
            return;
        }
        if let Some(reader) = seat.reader.as_mut()
            && has_begun
        {
            reader.reconnected();
        }
        let (low_ns, high_ns) = BACKOFF_NS;
        let most_ns = high_ns.min(low_ns << seat.tries.min(8));
        let due_ns = self.clock.now_ns() + self.dice.between(low_ns / 2, most_ns);
        if let Some(sync) = self.sync_request(client) {
            clients.set_auth_sync(client, &sync);
        }
        clients.move_to_next_node(client);
        let at = self.reopenings.partition_point(|&(other_ns, _)| other_ns <= due_ns);
        self.reopenings.insert(at, (due_ns, client));
    }

    fn hear_text(&mut self, clients: &mut Clients, client: ClientId, payload: &[u8]) {
        let Some(fields) = scan(payload) else {
            return self.note("frames that are no JSON object");
        };
        match (fields.kind, fields.action) {
            (b"chat", b"new_message") => self.hear_message(client, &fields),
            (b"chat", b"message_sent") => self.hear_answer(clients, client, &fields),
            (b"error", _) => self.hear_error(clients, client, &fields),
            (b"sync", b"page") => self.hear_page(client, payload),
            (b"sync", b"complete") => self.hear_sync_complete(clients, client),
            (b"resync", _) => self.hear_resync(clients, client, &fields),
            (b"pong", _) => {}
            (b"unread_count_update", _) => self.note("frames: unread_count_update"),
            (kind, action) => {
                let text = format!("frames: {} {}", String::from_utf8_lossy(kind), String::from_utf8_lossy(action));
                self.note(text.trim_end());
            }
        }
    }

    fn hear_message(&mut self, client: ClientId, fields: &Fields<'_>) {
        let (Some(stamp), Some(seq)) = (read_stamp(self.plan.run, fields.content), fields.seq()) else {
            return self.note("messages of other runs");
        };
        self.learn_id(client, fields.conversation_id);
        self.take_message(client, seq, stamp, !fields.is_offline);
    }

    /// A message of this run has reached a reader.
    fn take_message(&mut self, client: ClientId, seq: u64, stamp: Stamp, is_live: bool) {
        let now_ns = self.clock.now_ns();
        let Some(seat) = self.seats.get_mut(client) else {
            return;
        };
        let Some(reader) = seat.reader.as_mut() else {
            return self.note("messages to clients that only send");
        };
        let is_new = if is_live { reader.see_live(seq) } else { reader.see_past(seq) };
        if let Some(conversation) = self.conversations.get_mut(seat.conversation) {
            conversation.first_seq = Some(conversation.first_seq.map_or(seq, |first| first.min(seq)));
            conversation.conflicts += u64::from(!conversation.ledger.note(seq, stamp.key()));
        }
        if !is_new || reader.own_sender == Some(stamp.sender) {
            return;
        }
        self.tally.delivered += 1;
        let Some(window) = self.window else { return };
        self.found.delivered_in_window += u64::from(window.holds(now_ns));
        if window.holds(stamp.intended_ns) {
            self.found.delivery.record(now_ns.saturating_sub(stamp.intended_ns));
        }
    }

    fn hear_answer(&mut self, clients: &mut Clients, client: ClientId, fields: &Fields<'_>) {
        let now_ns = self.clock.now_ns();
        let (Some(number), Some(seq)) = (number_of_temp_id(self.plan.run, fields.temp_id), fields.seq()) else {
            return self.note("acknowledgements of other runs");
        };
        self.learn_id(client, fields.conversation_id);
        let Some(seat) = self.seats.get(client) else {
            return;
        };
        let Some(sender) = seat.outgoing else {
            return self.note("acknowledgements to clients that do not send");
        };
        let Some(outgoing) = self.outgoings.get_mut(sender) else {
            return;
        };
        let Answer::First { intended_ns } = outgoing.acknowledge(number, seq, fields.message_id) else {
            return;
        };
        self.tally.settled += 1;
        self.tally.expected += outgoing.readers;
        if let Some(conversation) = self.conversations.get_mut(seat.conversation) {
            conversation.first_seq = Some(conversation.first_seq.map_or(seq, |first| first.min(seq)));
        }
        let Some(window) = self.window else { return };
        self.found.acked_in_window += u64::from(window.holds(now_ns));
        if window.holds(intended_ns) {
            self.found.ack.record(now_ns.saturating_sub(intended_ns));
        }
        if self.plan.sending.rate == Rate::Max && now_ns < window.until_ns {
            self.send(clients, sender, now_ns);
        }
    }

    fn hear_error(&mut self, clients: &mut Clients, client: ClientId, fields: &Fields<'_>) {
        self.note(&format!("errors: {}", String::from_utf8_lossy(fields.code)));
        let sender = self.seats.get(client).and_then(|seat| seat.outgoing);
        let (Some(message), Some(sender)) = (number_of_temp_id(self.plan.run, fields.temp_id), sender) else {
            return;
        };
        let now_ns = self.clock.now_ns();
        if self.plan.sending.reconnect && fields.retryable == b"true" {
            let wait_ns = number(fields.retry_after_ms).map_or(RETRY_NS, |ms| ms * MILLISECOND_NS);
            let due_ns = now_ns + wait_ns;
            let at = self.retries.partition_point(|&(other_ns, ..)| other_ns <= due_ns);
            return self.retries.insert(at, (due_ns, sender, message));
        }
        let Some(outgoing) = self.outgoings.get_mut(sender) else {
            return;
        };
        if !outgoing.refuse(message) {
            return;
        }
        self.tally.settled += 1;
        let is_open = self.window.is_some_and(|window| now_ns < window.until_ns);
        if self.plan.sending.rate == Rate::Max && is_open {
            self.send(clients, sender, now_ns);
        }
    }

    /// Pages are rare, so they may cost a whole parse.
    fn hear_page(&mut self, client: ClientId, payload: &[u8]) {
        self.note("sync pages");
        let Ok(page) = serde_json::from_slice::<Value>(payload) else {
            return self.note("sync pages that are no JSON");
        };
        let data = page.get("data").unwrap_or(&Value::Null);
        let id = data.get("conversation_id").and_then(Value::as_str).unwrap_or_default();
        let frames = data.get("frames").and_then(Value::as_array);
        for frame in frames.into_iter().flatten() {
            let text = frame.pointer("/data/content").and_then(Value::as_str).unwrap_or_default();
            let seq = frame.pointer("/data/seq").and_then(Value::as_u64);
            if let (Some(stamp), Some(seq)) = (read_stamp(self.plan.run, text.as_bytes()), seq) {
                self.learn_id(client, id.as_bytes());
                self.take_message(client, seq, stamp, false);
            }
        }
        let says = |key: &str| data.get(key).and_then(Value::as_bool).unwrap_or(false);
        let Some(seat) = self.seats.get_mut(client) else {
            return;
        };
        let conversation = self.conversations.get(seat.conversation);
        // Pages of the user's other conversations are none of this run's business.
        if conversation.is_some_and(|one| one.id.as_deref() == Some(id)) {
            seat.has_more = says("has_more") || says("has_gap");
        }
    }

    fn hear_sync_complete(&mut self, clients: &mut Clients, client: ClientId) {
        let has_more = self.seats.get_mut(client).is_some_and(|seat| std::mem::take(&mut seat.has_more));
        if has_more {
            self.ask_for_sync(clients, client);
        }
    }

    fn hear_resync(&mut self, clients: &mut Clients, client: ClientId, fields: &Fields<'_>) {
        self.note(&format!("resync: {}", String::from_utf8_lossy(fields.reason)));
        if let Some(reader) = self.seats.get_mut(client).and_then(|seat| seat.reader.as_mut()) {
            reader.allow_repeats();
            self.ask_for_sync(clients, client);
        }
    }

    fn ask_for_sync(&mut self, clients: &mut Clients, client: ClientId) {
        if let Some(sync) = self.sync_request(client) {
            clients.send_text(client, &format!(r#"{{"type":"sync","data":{sync}}}"#));
        }
    }

    /// What a reader asks for: everything after what it has without holes. Nothing for clients that only send.
    fn sync_request(&self, client: ClientId) -> Option<String> {
        let seat = self.seats.get(client)?;
        let reader = seat.reader.as_ref()?;
        let conversation = self.conversations.get(seat.conversation)?;
        let Some(id) = &conversation.id else {
            return Some("{}".into());
        };
        let before_run = conversation.first_seq.map_or(0, |first| first.saturating_sub(1));
        let after = match (reader.seen.range(), reader.seen.complete_to()) {
            (Some((first, _)), Some(complete)) if first <= before_run + 1 => complete,
            _ => before_run,
        };
        Some(format!(r#"{{"conversations":[{{"conversation_id":"{id}","after_seq":{after}}}]}}"#))
    }

    fn learn_id(&mut self, client: ClientId, id: &[u8]) {
        if let Some(seat) = self.seats.get(client)
            && let Some(conversation) = self.conversations.get_mut(seat.conversation)
            && conversation.id.is_none()
        {
            conversation.id = Some(String::from_utf8_lossy(id).into_owned());
        }
    }

    fn note(&mut self, name: &str) {
        match self.found.notes.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.found.notes.insert(name.to_owned(), 1);
            }
        }
    }
}
