//! Commits whose answers are waited for, or not.
//!
//! rust-rdkafka's asynchronous commit has no answer: in event mode librdkafka calls no callback, so a refusal is
//! known to nobody but its log. Its synchronous one waits without a deadline, for minutes where a broker is silent. Here
//! the answers go to a queue of their own, apart from the group's events.

#![allow(unsafe_code)]

use crate::guard::Guard;
use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use std::sync::Arc;
use std::time::Duration;

/// Commits of one consumer.
pub struct Commits<C: ConsumerContext + 'static> {
    answers: Guard<sys::rd_kafka_queue_t>,
    unanswered: usize,
    // Last: the client must outlive its queue.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any one thread at a time; whatever uses this one takes `&mut self`.
unsafe impl<C: ConsumerContext + 'static> Send for Commits<C> where Arc<BaseConsumer<C>>: Send {}

impl<C: ConsumerContext + 'static> Commits<C> {
    /// None was sent yet.
    pub fn new(consumer: Arc<BaseConsumer<C>>) -> Commits<C> {
        // SAFETY: the client is alive, it is held by `consumer`; the new queue is ours, and dropped before it.
        let answers = unsafe {
            Guard::new(sys::rd_kafka_queue_new(consumer.client().native_ptr()), sys::rd_kafka_queue_destroy)
        };
        Commits { answers, unanswered: 0, consumer }
    }

    /// Sends offsets to be committed; [`answer`](Self::answer) says what became of them.
    ///
    /// # Errors
    /// When the client is in no group.
    pub fn send(&mut self, offsets: &TopicPartitionList) -> KafkaResult<()> {
        // SAFETY: client, list and queue are alive for the time of the call; librdkafka copies the list, and counts
        // its own reference to the queue until it has answered.
        let error = unsafe {
            let rk = self.consumer.client().native_ptr();
            sys::rd_kafka_commit_queue(rk, offsets.ptr(), self.answers.get(), None, std::ptr::null_mut())
        };
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::ConsumerCommit(error.into()));
        }
        self.unanswered += 1;
        Ok(())
    }

    /// How many of those sent have no answer yet.
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Waits up to `timeout` for the next answer: an error if any of its partitions was refused.
    pub fn answer(&mut self, timeout: Duration) -> Option<KafkaResult<()>> {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive and gets nothing but answers to commits; the event is read before it is destroyed,
        // once.
        let error = unsafe {
            let event = sys::rd_kafka_queue_poll(self.answers.get(), timeout_ms);
            if event.is_null() {
                return None;
            }
            sys::rd_kafka_event_error(Guard::new(event, sys::rd_kafka_event_destroy).get())
        };
        self.unanswered -= 1;
        Some(match error {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            error => Err(KafkaError::ConsumerCommit(error.into())),
        })
    }
}
