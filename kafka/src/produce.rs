//! Messages sent in batches, and acknowledgements counted in batches.
//!
//! librdkafka reports a delivery for each message, but hands the reports over a whole broker request at a time.
//! [`BatchProducer::poll`] takes them as they come: one call an acknowledged request, exact counts, and the
//! caller's number of each message for those who want it.
//!
//! An idempotent producer sends nothing before a broker has given it an id, and librdkafka asks for that in steps of
//! half a second. It tells nobody but its log when it has one: see [`BatchProducer::may_send`].
//!
//! Nor does it tell of a topic that is deleted and made anew under it. It keeps what it knew of the old one's leaders, and
//! takes what brokers say of the new ones for outdated until those have changed as often: see [`Event::TopicMadeAnew`].

#![allow(unsafe_code)]

use crate::log::{self, says_made_anew, watch_topics};
use crate::sticky::{self, Sticky, UNASSIGNED};
use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer, PurgeConfig};
use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

/// One message to send. `number` comes back in its delivery.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its bytes; copied by [`BatchProducer::send`].
    pub payload: &'a [u8],
    /// Its key, which decides the partition; none spreads over all of them.
    pub key: Option<&'a [u8]>,
    /// The caller's number for it.
    pub number: usize,
}

/// What became of the records of one [`BatchProducer::send`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Records dealt with, from the first on: accepted or refused for good. The rest found the queue full.
    pub taken: usize,
    /// Which of those, by position, can never be sent, and why (too large, say).
    pub refused: Vec<(usize, RDKafkaErrorCode)>,
}

/// What [`BatchProducer::poll`] tells.
#[derive(Debug)]
pub enum Event<'a> {
    /// The broker took all of these, or none of them.
    Delivery {
        /// None when acknowledged.
        error: Option<RDKafkaErrorCode>,
        /// The messages concerned.
        messages: Deliveries<'a>,
    },
    /// Something about the client as a whole (a broker is down, all are …); librdkafka goes on by itself
    /// unless it is fatal.
    Client {
        /// What kind of trouble.
        code: RDKafkaErrorCode,
        /// In words.
        reason: String,
        /// True when this producer can't send any more.
        fatal: bool,
    },
    /// The topic was deleted and made anew. This client may never find the leaders of the new one: what it has is to be
    /// [taken back](BatchProducer::take_back) and sent by another one.
    TopicMadeAnew,
}

/// The messages of one delivery.
#[derive(Debug)]
pub struct Deliveries<'a> {
    messages: &'a [*const sys::rd_kafka_message_t],
}

impl Deliveries<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// True for a delivery of nothing.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Number of the message at `index`. Those of one partition stand in the order they were sent.
    pub fn number(&self, index: usize) -> Option<usize> {
        self.message(index).map(|message| message._private as usize)
    }

    /// Bytes of the message at `index`, as they were sent.
    pub fn payload(&self, index: usize) -> Option<&[u8]> {
        let message = self.message(index)?;
        if message.payload.is_null() {
            return Some(&[]);
        }
        // SAFETY: librdkafka keeps `len` readable bytes at a non-null payload until the message is destroyed,
        // which is after `self` has ended (see `message`).
        Some(unsafe { std::slice::from_raw_parts(message.payload.cast::<u8>(), message.len) })
    }

    /// Key of the message at `index`, if it has one.
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        let message = self.message(index).filter(|message| !message.key.is_null())?;
        // SAFETY: as for the payload.
        Some(unsafe { std::slice::from_raw_parts(message.key.cast::<u8>(), message.key_len) })
    }

    /// Whether the broker may have the message at `index`, although it was not acknowledged.
    pub fn may_be_there(&self, index: usize) -> bool {
        // SAFETY: the message lives as long as `self` (see `message`).
        self.message(index).is_some_and(|message| unsafe {
            sys::rd_kafka_message_status(message)
                != sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
        })
    }

    fn message(&self, index: usize) -> Option<&sys::rd_kafka_message_t> {
        // SAFETY: the event that owns these messages lives until the handler has returned, and `Deliveries`
        // can't outlive that call.
        self.messages.get(index).map(|&message| unsafe { &*message })
    }
}

/// So long messages without a key go to the same partition: as librdkafka does it.
const STICK: Duration = Duration::from_millis(10);

/// A producer of one topic.
pub struct BatchProducer {
    topic: NonNull<sys::rd_kafka_topic_t>,
    events: NonNull<sys::rd_kafka_queue_t>,
    slots: Vec<sys::rd_kafka_message_t>,
    reports: Vec<*const sys::rd_kafka_message_t>,
    stuck_since: Instant,
    /// False while the client waits for its idempotent id.
    may_send: bool,
    producer: BaseProducer,
    // Behind the client, and so dropped after it: until then its own threads may look there.
    /// Where messages without a key go, unless the configuration says how that is to be decided.
    sticky: Option<Box<Sticky>>,
}

// SAFETY: librdkafka's client, topic and queue handles may be used from any thread; the pointers in `slots` and
// `reports` are only meaningful within one call that has `&mut self`.
unsafe impl Send for BatchProducer {}

impl BatchProducer {
    /// Connects (in the background) with `config`.
    ///
    /// # Errors
    /// What librdkafka says of an impossible configuration or topic name.
    pub fn new(config: &ClientConfig, topic: &str) -> Result<BatchProducer, KafkaError> {
        let mut config = config.clone();
        let idempotent = config.get("enable.idempotence").is_some_and(|value| value == "true");
        let partitioning = ["partitioner", "sticky.partitioning.linger.ms"];
        let sticky =
            partitioning.iter().all(|key| config.get(key).is_none()).then(|| Box::new(Sticky::new()));
        if sticky.is_some() {
            // Else librdkafka would not ask our partitioner.
            config.set("sticky.partitioning.linger.ms", "0");
        }
        watch_topics(&mut config);
        if idempotent {
            // `eos` is the context of the line that counts; few others have it. The client's log comes to its
            // main queue.
            log::listen(&mut config, "eos");
        }
        let producer: BaseProducer = config.create_with_context(DefaultProducerContext)?;
        let name = CString::new(topic)?;
        let rk = producer.client().native_ptr();
        // SAFETY: the client is alive and `name` is a C string. The topic's configuration is a copy of the client's
        // own, and the topic takes it over. The partitioner keeps to what is asked of one; its opaque pointer is to
        // memory that stays where it is and is freed after the client.
        let topic = unsafe {
            let topic_config = sys::rd_kafka_default_topic_conf_dup(rk);
            if let Some(sticky) = &sticky {
                sys::rd_kafka_topic_conf_set_partitioner_cb(topic_config, Some(sticky::partitioner));
                let opaque = ptr::from_ref(&**sticky).cast_mut().cast::<c_void>();
                sys::rd_kafka_topic_conf_set_opaque(topic_config, opaque);
            }
            sys::rd_kafka_topic_new(rk, name.as_ptr(), topic_config)
        };
        let topic = NonNull::new(topic).ok_or_else(|| {
            KafkaError::ClientCreation(format!("'{}' is not a topic name", name.to_string_lossy()))
        })?;
        // SAFETY: the client is alive; the handle is ours to destroy.
        let events = unsafe { sys::rd_kafka_queue_get_main(rk) };
        let events = NonNull::new(events).expect("every client has a main queue");
        Ok(BatchProducer {
            topic,
            events,
            slots: Vec::new(),
            reports: Vec::new(),
            sticky,
            stuck_since: Instant::now(),
            may_send: !idempotent,
            producer,
        })
    }

    /// False until an idempotent producer has the id that it needs to send anything; [`poll`](Self::poll) finds out.
    pub fn may_send(&self) -> bool {
        self.may_send
    }

    /// The client, for metadata and the like. Don't poll or flush it: deliveries are taken by [`poll`](Self::poll).
    pub fn client(&self) -> &BaseProducer {
        &self.producer
    }

    /// Gives up all messages that are not delivered yet, also those on their way (which may arrive all the
    /// same): each comes back through [`poll`](Self::poll) as a delivery that failed.
    pub fn give_up(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }

    /// Takes back all messages that are not on their way: each comes back through [`poll`](Self::poll) as a delivery that
    /// failed with `PurgeQueue`. What is on its way is acknowledged, fails, or can be taken back later.
    pub fn take_back(&self) {
        self.producer.purge(PurgeConfig::default().queue());
    }

    /// Hands `records` to librdkafka, in order, until its queue is full.
    pub fn send<'r>(&mut self, records: impl Iterator<Item = Record<'r>>) -> Sent {
        self.slots.clear();
        self.slots.extend(records.map(|record| sys::rd_kafka_message_t {
            err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition: 0,
            payload: record.payload.as_ptr().cast_mut().cast::<c_void>(),
            len: record.payload.len(),
            key: record.key.map_or(ptr::null_mut(), |key| key.as_ptr().cast_mut().cast::<c_void>()),
            key_len: record.key.map_or(0, <[u8]>::len),
            offset: 0,
            _private: record.number as *mut c_void,
        }));
        if let Some(sticky) = self.sticky.as_deref().filter(|_| self.stuck_since.elapsed() >= STICK) {
            self.stuck_since = Instant::now();
            sticky.renew();
        }
        // SAFETY: the topic belongs to the living client, and the slots hold messages whose payloads and keys `records`
        // lend until this call returns.
        let produce = |slots: &mut [_], partition| unsafe { produce(self.topic, slots, partition) };
        let (mut tried, mut accepted, mut partition) = (0, 0, UNASSIGNED);
        let keyed = self.slots.iter().any(|slot| !slot.key.is_null());
        if let Some(sticky) = self.sticky.as_deref().filter(|_| !keyed) {
            // One that is refused for good (too large, say) may not have had its partition chosen.
            while tried < self.slots.len() && accepted == 0 {
                sticky.ask();
                accepted = produce(&mut self.slots[tried..=tried], UNASSIGNED);
                tried += 1;
                if RDKafkaErrorCode::from(self.slots[tried - 1].err) == RDKafkaErrorCode::QueueFull {
                    // By now there may be room again, but the others must not overtake this one.
                    break;
                }
            }
            partition = sticky.partition();
        }
        if tried == 0 || accepted > 0 {
            accepted += produce(&mut self.slots[tried..], partition);
        }
        let mut sent = Sent { taken: self.slots.len(), refused: Vec::new() };
        if accepted == self.slots.len() {
            return sent;
        }
        // Once the queue is full librdkafka refuses all that follow; anything else concerns one message.
        for (index, slot) in self.slots.iter().enumerate() {
            match RDKafkaErrorCode::from(slot.err) {
                RDKafkaErrorCode::NoError => {}
                RDKafkaErrorCode::QueueFull => {
                    sent.taken = index;
                    break;
                }
                code => sent.refused.push((index, code)),
            }
        }
        sent
    }

    /// Waits up to `timeout` for an event, then serves all that are there. Times below a millisecond count as
    /// none.
    pub fn poll(&mut self, timeout: Duration, mut handler: impl FnMut(Event<'_>)) {
        let mut wait_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `events` is a living queue of ours; every event is destroyed exactly once, after the handler
        // has returned, and the messages and strings it owns are used only before that. An event of type DR
        // fills at most as many pointers as it says it has messages.
        unsafe {
            while let Some(event) = NonNull::new(sys::rd_kafka_queue_poll(self.events.as_ptr(), wait_ms)) {
                let event = event.as_ptr();
                wait_ms = 0;
                match sys::rd_kafka_event_type(event) {
                    sys::RD_KAFKA_EVENT_DR => {
                        let count = sys::rd_kafka_event_message_count(event);
                        self.reports.clear();
                        self.reports.reserve(count);
                        let filled =
                            sys::rd_kafka_event_message_array(event, self.reports.as_mut_ptr(), count);
                        self.reports.set_len(filled);
                        let error = match RDKafkaErrorCode::from(sys::rd_kafka_event_error(event)) {
                            RDKafkaErrorCode::NoError => None,
                            code => Some(code),
                        };
                        handler(Event::Delivery { error, messages: Deliveries { messages: &self.reports } });
                    }
                    sys::RD_KAFKA_EVENT_ERROR => {
                        let reason = CStr::from_ptr(sys::rd_kafka_event_error_string(event));
                        handler(Event::Client {
                            code: sys::rd_kafka_event_error(event).into(),
                            reason: reason.to_string_lossy().into_owned(),
                            fatal: sys::rd_kafka_event_error_is_fatal(event) != 0,
                        });
                    }
                    sys::RD_KAFKA_EVENT_LOG => {
                        if let Some(line) = log::line(event) {
                            self.may_send |= says_may_send(&line);
                            if says_made_anew(&line) {
                                handler(Event::TopicMadeAnew);
                            }
                        }
                    }
                    // Statistics and token refreshes, which nobody here asked for.
                    _ => {}
                }
                sys::rd_kafka_event_destroy(event);
            }
        }
    }
}

/// Hands messages to librdkafka; gives the number that it accepted.
///
/// # Safety
/// The topic's client lives, and every payload and key can be read as long as this call lasts.
unsafe fn produce(
    topic: NonNull<sys::rd_kafka_topic_t>,
    slots: &mut [sys::rd_kafka_message_t],
    partition: i32,
) -> usize {
    let count = i32::try_from(slots.len()).expect("a batch has fewer than 2^31 records");
    // SAFETY: `slots` holds `count` messages, which the caller vouches for; RD_KAFKA_MSG_F_COPY makes librdkafka copy
    // their bytes, so it never writes to or frees them, and keeps no pointer.
    let accepted = unsafe {
        let messages = slots.as_mut_ptr();
        sys::rd_kafka_produce_batch(topic.as_ptr(), partition, sys::RD_KAFKA_MSG_F_COPY, messages, count)
    };
    usize::try_from(accepted).unwrap_or(0)
}

/// True for `Idempotent producer state change WaitPID -> Assigned`.
fn says_may_send(log_line: &str) -> bool {
    log_line.contains("Idempotent producer state change") && log_line.ends_with("-> Assigned")
}

impl Drop for BatchProducer {
    fn drop(&mut self) {
        // SAFETY: both handles are ours, destroyed once, before the client that is dropped after this.
        unsafe {
            sys::rd_kafka_queue_destroy(self.events.as_ptr());
            sys::rd_kafka_topic_destroy(self.topic.as_ptr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_id_that_came() {
        let line = |change: &str| format!("[thrd:main]: Idempotent producer state change {change}");
        assert!(says_may_send(&line("WaitPID -> Assigned")));
        assert!(!says_may_send(&line("Assigned -> DrainReset")));
        assert!(!says_may_send("[thrd:main]: Acquired PID{Id:1,Epoch:0}"));
    }
}
