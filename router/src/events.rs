//! The way of events to the node: one bounded channel, in order, that never holds up the keeper of the lease.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};

use crate::event::{Event, RoutesGoneReason};

/// News that may wait while the node does not read. Past it they become one: start over.
const NEWS_MAX: usize = 1_024;

pub(crate) struct EventQueue {
    /// From the keeper, which does not wait.
    news: Mutex<VecDeque<Event>>,
    has_news: Notify,
    node: AsyncMutex<mpsc::Sender<Event>>,
}

impl EventQueue {
    pub(crate) fn new(node: mpsc::Sender<Event>) -> Self {
        Self { news: Mutex::new(VecDeque::new()), has_news: Notify::new(), node: AsyncMutex::new(node) }
    }

    /// Puts it in line without waiting.
    pub(crate) fn tell(&self, event: Event) {
        let mut news = self.news.lock();
        if news.len() >= NEWS_MAX {
            let well_at = news.iter().filter_map(well_at).min();
            news.clear();
            if let Some(well_at) = well_at {
                news.push_back(Event::RoutesGone { reason: RoutesGoneReason::RedisLostData, well_at });
            }
        }
        news.push_back(event);
        drop(news);
        self.has_news.notify_one();
    }

    /// Hands it to the node after all news, waiting while the node is busy. False if the node no longer listens.
    pub(crate) async fn send(&self, event: Event) -> bool {
        let node = self.node.lock().await;
        self.send_news(&node).await && node.send(event).await.is_ok()
    }

    /// Brings news to the node when there is nothing else to bring.
    pub(crate) async fn carry_news(&self) {
        loop {
            self.has_news.notified().await;
            let node = self.node.lock().await;
            if !self.send_news(&node).await {
                return;
            }
        }
    }

    async fn send_news(&self, node: &mpsc::Sender<Event>) -> bool {
        loop {
            let Some(event) = self.news.lock().pop_front() else {
                return true;
            };
            if node.send(event).await.is_err() {
                return false;
            }
        }
    }
}

fn well_at(event: &Event) -> Option<crate::clock::Moment> {
    match event {
        Event::RoutesGone { well_at, .. } | Event::Lost { well_at, .. } => Some(*well_at),
        _ => None,
    }
}
