//! One partition for many messages without a key, then another.
//!
//! librdkafka does so by itself, but looks for the partition, at the clock and for a lock with each message. Here
//! its partitioner is asked for one message of a batch; the others are sent to the same partition by number.

#![allow(unsafe_code)]

use rdkafka::bindings as sys;
use std::ffi::c_void;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// RD_KAFKA_PARTITION_UA: the partitioner decides, for each message.
pub(crate) const UNASSIGNED: i32 = -1;

/// The partition that messages without a key go to at present.
#[derive(Debug)]
pub(crate) struct Sticky {
    partition: AtomicI32,
    renew: AtomicBool,
    /// Whether the partition was chosen since [`ask`](Sticky::ask).
    chosen: AtomicBool,
}

impl Sticky {
    /// Begins anywhere, so that many producers don't all begin with the same one.
    pub(crate) fn new() -> Sticky {
        let start = RandomState::new().hash_one(()) % 1_000_000;
        Sticky {
            partition: AtomicI32::new(start as i32),
            renew: AtomicBool::new(true),
            chosen: AtomicBool::new(false),
        }
    }

    /// The next message that is asked for goes to another partition.
    pub(crate) fn renew(&self) {
        self.renew.store(true, Ordering::Relaxed);
    }

    /// A message is about to be asked for.
    pub(crate) fn ask(&self) {
        self.chosen.store(false, Ordering::Relaxed);
    }

    /// Where the message went that was asked for; unassigned if none was, because the client refused it before, or does
    /// not know the topic's partitions yet.
    pub(crate) fn partition(&self) -> i32 {
        let chosen = self.chosen.load(Ordering::Relaxed);
        if chosen { self.partition.load(Ordering::Relaxed) } else { UNASSIGNED }
    }

    /// One of `count` partitions: the same as before, if it may be and has a leader, else the next that has one.
    fn choose(&self, count: i32, has_leader: impl Fn(i32) -> bool) -> i32 {
        let before = self.partition.load(Ordering::Relaxed);
        self.chosen.store(true, Ordering::Relaxed);
        if !self.renew.swap(false, Ordering::Relaxed) && before < count && has_leader(before) {
            return before;
        }
        let after = |steps: i32| (before % count + steps) % count;
        // Without any leader, one is as good as another.
        let chosen = (1..=count).map(after).find(|&partition| has_leader(partition)).unwrap_or(after(1));
        self.partition.store(chosen, Ordering::Relaxed);
        chosen
    }
}

/// What librdkafka calls for each message that has no partition yet; `sticky` is its topic's opaque pointer.
///
/// # Safety
/// To be called by librdkafka alone, with a topic whose opaque pointer is null or a living [`Sticky`].
pub(crate) unsafe extern "C" fn partitioner(
    topic: *const sys::rd_kafka_topic_t,
    key: *const c_void,
    key_len: usize,
    count: i32,
    sticky: *mut c_void,
    message: *mut c_void,
) -> i32 {
    // SAFETY: librdkafka's own partitioner gets what librdkafka gave us; whether a partition has a leader may be
    // asked in a partitioner, for any number below the count. `sticky` outlives the client (see `BatchProducer`), and
    // is only shared, from whatever thread.
    unsafe {
        match sticky.cast::<Sticky>().as_ref() {
            Some(sticky) if key.is_null() => sticky
                .choose(count, |partition| sys::rd_kafka_topic_partition_available(topic, partition) != 0),
            _ => sys::rd_kafka_msg_partitioner_consistent_random(topic, key, key_len, count, sticky, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_until_it_is_to_go_on() {
        let sticky = Sticky::new();
        assert_eq!(sticky.partition(), UNASSIGNED, "nothing that may not exist");
        let first = sticky.choose(4, |_| true);
        assert!((0..4).contains(&first));
        assert_eq!([sticky.choose(4, |_| true), sticky.partition()], [first; 2]);
        sticky.ask();
        assert_eq!(sticky.partition(), UNASSIGNED, "not before one was chosen");
        assert_eq!([sticky.choose(4, |_| true), sticky.partition()], [first; 2]);
        let mut visited = vec![first];
        for _ in 1..4 {
            sticky.renew();
            visited.push(sticky.choose(4, |_| true));
        }
        visited.sort_unstable();
        assert_eq!(visited, [0, 1, 2, 3], "each in its turn");
    }

    #[test]
    fn partitions_without_leader_and_of_old_are_left_out() {
        let sticky = Sticky::new();
        for _ in 0..10 {
            sticky.renew();
            assert_eq!(sticky.choose(8, |partition| partition == 6), 6);
        }
        assert_ne!(sticky.choose(8, |partition| partition != 6), 6, "its leader is gone");
        assert!((0..2).contains(&sticky.choose(2, |_| true)), "a topic made anew with fewer");
        assert!((0..3).contains(&sticky.choose(3, |_| false)), "no leader at all");
    }
}
