//! A topic that is deleted and made anew under a running producer: what waits goes to the new one, by a new client.
//!
//! The old one may never find the new topic's leaders (see [`Event::TopicMadeAnew`](kafka::produce::Event)).

use super::{Accounts, LOOK_AROUND, Publisher, note_one_failed};
use crate::batch::Batch;
use kafka::produce::{BatchProducer, Deliveries};
use rdkafka::error::RDKafkaErrorCode;
use std::time::{Duration, Instant};
use tracing::warn;

/// How long the brokers may take to answer for what is on its way to them.
const TAKING_BACK: Duration = Duration::from_secs(5);

impl Publisher {
    /// Takes back what waits, and sends it by a new client. What the broker may have and does not answer for fails: sent
    /// once more, it could be there twice.
    pub(super) fn begin_anew(&mut self) {
        let next = match BatchProducer::new(&self.client, &self.topic) {
            Ok(next) => next,
            Err(error) => {
                self.fatal = Some(error.to_string());
                return;
            }
        };
        let mut batch = Batch::default();
        let deadline = Instant::now() + TAKING_BACK;
        while self.accounts.in_flight() > 0 && Instant::now() < deadline {
            // Again and again: what was on its way to a broker that does not lead the partition comes back to the queue.
            self.producer.take_back();
            self.take_news(LOOK_AROUND, |accounts, messages, code| {
                keep(&mut batch, accounts, messages, code)
            });
        }
        self.give_up();
        self.producer = next;
        self.made_anew = false;
        batch.sort();
        let events = batch.len();
        self.progress.suspend(|| warn!(events, "the topic was made anew: what waits is sent to the new one"));
        self.send(&batch, || {});
    }
}

fn keep(batch: &mut Batch, accounts: &mut Accounts, messages: &Deliveries<'_>, code: RDKafkaErrorCode) {
    let reason = code.to_string();
    for index in 0..messages.len() {
        match (messages.number(index), messages.payload(index)) {
            (Some(number), Some(payload))
                if code == RDKafkaErrorCode::PurgeQueue && !messages.may_be_there(index) =>
            {
                batch.push(number as u64, messages.key(index), |bytes| bytes.extend_from_slice(payload));
                accounts.taken_back(1, payload.len() as u64);
            }
            _ => note_one_failed(accounts, messages, index, &reason),
        }
    }
}
