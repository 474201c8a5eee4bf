//! One sender: its frames, and which of them wait for an answer.

use crate::net::{ClientId, Clients};
use crate::oracle::{Answer, SenderLog};
use crate::template::Template;
use std::collections::VecDeque;

pub struct Outgoing {
    pub client: ClientId,
    pub log: SenderLog,
    /// Readers due for each message.
    pub readers: u64,
    template: Template,
    outstanding: VecDeque<u32>,
}

impl Outgoing {
    pub fn new(client: ClientId, sender: u32, template: Template, readers: u64) -> Self {
        Self { client, log: SenderLog::new(sender), readers, template, outstanding: VecDeque::new() }
    }

    /// Sends a new message; while its client is down it is only noted, and leaves when the client is back.
    pub fn send(&mut self, clients: &mut Clients, intended_ns: u64) {
        let number = self.log.send(intended_ns);
        self.outstanding.push_back(number);
        self.write(clients, number);
    }

    /// Sends a message once more, the same byte for byte.
    pub fn write(&mut self, clients: &mut Clients, number: u32) {
        let intended_ns = self.log.intended_ns(number);
        if let Some(out) = clients.outbound(self.client) {
            self.template.write(number, intended_ns, out);
        }
    }

    /// Sends again all that has no answer.
    pub fn write_outstanding(&mut self, clients: &mut Clients) {
        for at in 0..self.outstanding.len() {
            if let Some(&number) = self.outstanding.get(at) {
                self.write(clients, number);
            }
        }
    }

    pub fn awaits(&self, number: u32) -> bool {
        self.outstanding.contains(&number)
    }

    pub fn acknowledge(&mut self, number: u32, seq: u64, message_id: &[u8]) -> Answer {
        self.settle(number);
        self.log.acknowledge(number, seq, message_id)
    }

    /// Notes a final refusal; true if it is the message's first answer.
    pub fn refuse(&mut self, number: u32) -> bool {
        self.settle(number);
        self.log.refuse(number)
    }

    /// Answers come in order, so the search ends at the first place in practice.
    fn settle(&mut self, number: u32) {
        if let Some(at) = self.outstanding.iter().position(|&open| open == number) {
            self.outstanding.remove(at);
        }
    }
}
