//! Messages in batches, apart from the group's events.
//!
//! ```text
//! broker → partition queue ─┐ forwarded
//! broker → partition queue ─┴→ data queue → consume() → Batch (payloads borrowed until it is dropped)
//! broker → group queue → BaseConsumer::poll (rebalances, errors, statistics)
//! ```
//!
//! A rebalance that is met inside `rd_kafka_consume_batch_queue` is answered with a forced unassign, since
//! rust-rdkafka runs its clients in event mode. So only partitions' own queues are forwarded here; the group's
//! events stay on the consumer's queue. Forward a partition ([`DataQueue::attach`]) *before* it is assigned:
//! librdkafka keeps a forwarding that the application made.
//!
//! A topic that is deleted and made anew under a running client is the same to librdkafka, except for one line in
//! its log: it goes on at the old offset, and what the new topic has before that would never be read. So that line
//! is waited for ([`Batch::topic_made_anew`]): the client's log goes to a queue that is looked through behind every
//! batch. It is written before the first message of the new topic can be fetched (fetches name the topic's identity),
//! so it is seen with the first batch that may hold one.

#![allow(unsafe_code)]

use crate::log::{self, says_made_anew};
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

pub use crate::log::watch_topics;

/// The topic's name can't be passed to librdkafka, or the client doesn't know the partition.
#[derive(Debug, thiserror::Error)]
#[error("librdkafka gives no queue for partition {partition} of topic '{topic}'")]
pub struct NoQueue {
    topic: String,
    partition: i32,
}

/// So many times as many messages as are at hand are taken next.
const GROWTH: usize = 15;

/// How much is taken at once.
#[derive(Debug, Clone, Copy)]
pub struct AtMost {
    /// Messages.
    pub messages: usize,
    /// Bytes of payloads; as far as those taken first tell the size of those that follow.
    pub bytes: usize,
}

/// A queue of one worker's own, into which the queues of its partitions are forwarded.
pub struct DataQueue<C: ConsumerContext + 'static> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// The client's log.
    log: NonNull<sys::rd_kafka_queue_t>,
    slots: Vec<*mut sys::rd_kafka_message_t>,
    at_most: AtMost,
    // Last: the client must outlive its queue.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues and messages may be used from any one thread at a time; `consume` takes `&mut
// self` and the batch borrows it, so no two threads can be in the queue or its messages at once. `slots` holds
// pointers only while a `Batch` borrows the queue.
unsafe impl<C: ConsumerContext + 'static> Send for DataQueue<C> where Arc<BaseConsumer<C>>: Send {}

impl<C: ConsumerContext + 'static> DataQueue<C> {
    /// An empty queue that gives up to `at_most` a call, and always a message.
    pub fn new(consumer: Arc<BaseConsumer<C>>, at_most: AtMost) -> DataQueue<C> {
        // SAFETY: the client is alive, it is held by `consumer`; its log may go to any queue of its own, and does so
        // until the queue is destroyed (see `drop`).
        let (queue, log) = unsafe {
            let rk = consumer.client().native_ptr();
            let (queue, log) = (sys::rd_kafka_queue_new(rk), sys::rd_kafka_queue_new(rk));
            sys::rd_kafka_set_log_queue(rk, log);
            (queue, log)
        };
        let [queue, log] =
            [queue, log].map(|queue| NonNull::new(queue).expect("rd_kafka_queue_new allocates or aborts"));
        DataQueue { queue, log, slots: Vec::with_capacity(at_most.messages), at_most, consumer }
    }

    /// Sends a partition's messages to this queue from now on.
    ///
    /// # Errors
    /// [`NoQueue`] when the topic's name is impossible.
    pub fn attach(&self, topic: &str, partition: i32) -> Result<(), NoQueue> {
        self.forward(topic, partition, self.queue.as_ptr())
    }

    /// Ends [`attach`](Self::attach): what the partition still receives stays in its own queue.
    ///
    /// # Errors
    /// [`NoQueue`] when the topic's name is impossible.
    pub fn detach(&self, topic: &str, partition: i32) -> Result<(), NoQueue> {
        self.forward(topic, partition, std::ptr::null_mut())
    }

    fn forward(&self, topic: &str, partition: i32, to: *mut sys::rd_kafka_queue_t) -> Result<(), NoQueue> {
        let no_queue = || NoQueue { topic: topic.to_owned(), partition };
        let name = CString::new(topic).map_err(|_| no_queue())?;
        // SAFETY: the client is alive; `name` is a C string for the time of the call; the queue that is
        // returned is ours to destroy, and destroying the handle leaves the partition's queue itself (and its
        // forwarding) to the client. `to` is null or our own living queue.
        unsafe {
            let rk = self.consumer.client().native_ptr();
            let source = NonNull::new(sys::rd_kafka_queue_get_partition(rk, name.as_ptr(), partition))
                .ok_or_else(no_queue)?;
            sys::rd_kafka_queue_forward(source.as_ptr(), to);
            sys::rd_kafka_queue_destroy(source.as_ptr());
        }
        Ok(())
    }

    /// Waits up to `timeout` for a first message, then takes all that are there, up to the limits.
    ///
    /// Partitions come in runs; within a partition offsets ascend. An empty batch means that time ran out.
    pub fn consume(&mut self, timeout: Duration) -> Batch<'_> {
        // librdkafka waits until the *whole* array is full or time is out; so one message is waited for, and
        // the rest taken without waiting: ever more, as long as their bytes fit.
        let (mut asked, mut bytes) = (1, self.take(1, timeout));
        while self.slots.len() == asked {
            let mean = (bytes / asked).max(1);
            let room = (self.at_most.bytes.saturating_sub(bytes) / mean).min(self.at_most.messages - asked);
            let more = room.min(asked * GROWTH);
            if more == 0 {
                break;
            }
            bytes += self.take(more, Duration::ZERO);
            asked += more;
        }
        let topic_made_anew = self.read_log();
        Batch { slots: &mut self.slots, topic_made_anew }
    }

    /// Whether the client's log says that a topic was made anew.
    fn read_log(&self) -> bool {
        let mut made_anew = false;
        // SAFETY: `log` is a living queue of ours; every event is destroyed once, after it was read.
        unsafe {
            while let Some(event) = NonNull::new(sys::rd_kafka_queue_poll(self.log.as_ptr(), 0)) {
                let event = event.as_ptr();
                made_anew |= log::line(event).is_some_and(|line| says_made_anew(&line));
                sys::rd_kafka_event_destroy(event);
            }
        }
        made_anew
    }

    /// Takes up to `at_most` more; gives their bytes.
    fn take(&mut self, at_most: usize, timeout: Duration) -> usize {
        let filled = self.slots.len();
        let at_most = at_most.min(self.slots.capacity() - filled);
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `slots` has room for `at_most` pointers behind `filled`; librdkafka writes that many at the
        // most and returns how many it wrote (or -1, and wrote none); each is a living message that we must destroy,
        // which `Batch` does.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                timeout_ms,
                self.slots.as_mut_ptr().add(filled),
                at_most,
            );
            let taken = usize::try_from(taken).unwrap_or(0);
            self.slots.set_len(filled + taken);
            self.slots[filled..].iter().map(|&message| (*message).len).sum()
        }
    }

    /// The partition's high watermark (the offset after its last message) as of the last fetch; no request is
    /// made. None until the first fetch.
    pub fn cached_high_watermark(&self, topic: &str, partition: i32) -> Option<i64> {
        let name = CString::new(topic).ok()?;
        let (mut low, mut high) = (-1_i64, -1_i64);
        // SAFETY: the client is alive, `name` is a C string, and both out-parameters are valid.
        let error = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                name.as_ptr(),
                partition,
                &mut low,
                &mut high,
            )
        };
        (error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl<C: ConsumerContext + 'static> Drop for DataQueue<C> {
    fn drop(&mut self) {
        // SAFETY: both queues are ours and destroyed once; the client is still alive, it is dropped after this, and
        // its log goes to its main queue again.
        unsafe {
            sys::rd_kafka_set_log_queue(self.consumer.client().native_ptr(), ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.log.as_ptr());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Messages taken in one call. Their memory goes back to librdkafka when the batch is dropped.
pub struct Batch<'q> {
    slots: &'q mut Vec<*mut sys::rd_kafka_message_t>,
    topic_made_anew: bool,
}

/// What can stand in a batch.
#[derive(Debug)]
pub enum Item<'b> {
    /// A message.
    Message(Message<'b>),
    /// Something about a partition (its end was reached, its offset is out of range …).
    Error {
        /// The partition concerned.
        partition: i32,
        /// The offset concerned; at the end of a partition the next one to come.
        offset: i64,
        /// What librdkafka says.
        code: RDKafkaErrorCode,
    },
}

/// A message whose bytes live in librdkafka's memory, as long as the batch.
#[derive(Debug, Clone, Copy)]
pub struct Message<'b> {
    /// Partition it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its bytes; none for a null payload.
    pub payload: Option<&'b [u8]>,
    /// Its key.
    pub key: Option<&'b [u8]>,
}

impl Batch<'_> {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True when time ran out before anything came.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// True when some message in this batch, or in one after it, may be of a new topic that has the old one's name.
    /// Needs [`watch_topics`], and brokers from Kafka 2.8 on.
    pub fn topic_made_anew(&self) -> bool {
        self.topic_made_anew
    }

    /// The items, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.slots.iter().map(|&slot| {
            // SAFETY: every slot is a living message until the batch is dropped, and the returned item can't
            // outlive the borrow of the batch. Nobody writes to it in the meantime.
            let message = unsafe { &*slot };
            if message.err != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                let (partition, offset) = (message.partition, message.offset);
                return Item::Error { partition, offset, code: message.err.into() };
            }
            Item::Message(Message {
                partition: message.partition,
                offset: message.offset,
                payload: bytes(message.payload, message.len, self),
                key: bytes(message.key, message.key_len, self),
            })
        })
    }
}

/// Bytes of a message in the batch, none when the pointer is null.
fn bytes<'b>(start: *const std::ffi::c_void, len: usize, _batch: &'b Batch<'_>) -> Option<&'b [u8]> {
    // SAFETY: librdkafka gives `len` readable bytes at a non-null payload or key, unchanged until the message
    // is destroyed, which needs the batch that `'b` borrows.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for slot in self.slots.drain(..) {
            // SAFETY: each message was given to us by `take` and is destroyed once, here.
            unsafe { sys::rd_kafka_message_destroy(slot) }
        }
    }
}
