//! How far each sink is, and so what may be committed to Kafka.
//!
//! A pure data structure: completions come in as arguments, in any order; nothing here does I/O or reads a
//! clock. Positions are *next offsets*: everything below is done.

use std::collections::BTreeMap;

/// Positions of the partitions that this consumer has.
#[derive(Debug, Default)]
pub struct Ledger {
    partitions: BTreeMap<i32, Entry>,
    redis_attached: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    file: i64,
    redis: i64,
    committed: i64,
}

impl Ledger {
    /// Takes on a partition whose sinks all stand at `start`. What was `committed` may be less: then the start is still to
    /// be.
    pub fn assign(&mut self, partition: i32, start: i64, committed: i64) {
        let committed = committed.min(start);
        self.partitions.insert(partition, Entry { file: start, redis: start, committed });
    }

    /// Forgets a partition. Completions that still arrive for it change nothing.
    pub fn revoke(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// The file holds everything below `next`, synced and checkpointed.
    pub fn file_durable(&mut self, partition: i32, next: i64) {
        if let Some(entry) = self.partitions.get_mut(&partition) {
            entry.file = entry.file.max(next);
        }
    }

    /// Redis holds everything below `next`. A Redis that lost data says less than before.
    pub fn redis_holds(&mut self, partition: i32, next: i64) {
        if let Some(entry) = self.partitions.get_mut(&partition) {
            entry.redis = next;
        }
    }

    /// Whether Redis keeps up: only then does it hold commits back.
    pub fn set_redis_attached(&mut self, attached: bool) {
        self.redis_attached = attached;
    }

    /// Position of the file, of a partition that we have.
    pub fn file(&self, partition: i32) -> Option<i64> {
        self.partitions.get(&partition).map(|entry| entry.file)
    }

    /// Position of Redis, of a partition that we have.
    pub fn redis(&self, partition: i32) -> Option<i64> {
        self.partitions.get(&partition).map(|entry| entry.redis)
    }

    /// What may be committed: the smallest position among the sinks that keep up, never less than before.
    pub fn committable(&self) -> Vec<(i32, i64)> {
        self.partitions
            .iter()
            .map(|(&partition, entry)| {
                let position = if self.redis_attached { entry.file.min(entry.redis) } else { entry.file };
                (partition, position.max(entry.committed))
            })
            .collect()
    }

    /// The same, of what was not taken before; it counts as committed from now on.
    pub fn take_committable(&mut self) -> Vec<(i32, i64)> {
        let mut positions = self.committable();
        positions.retain(|(partition, position)| {
            let entry = self.partitions.get_mut(partition).expect("it was just listed");
            std::mem::replace(&mut entry.committed, *position) < *position
        });
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Assign(i32, i64, i64),
        Revoke(i32),
        File(i32, i64),
        Redis(i32, i64),
        Attached(bool),
        Commit,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let partition = 0..4_i32;
        let offset = 0..1_000_i64;
        prop::collection::vec(
            prop_oneof![
                (partition.clone(), offset.clone(), offset.clone())
                    .prop_map(|(p, o, c)| Step::Assign(p, o, c)),
                partition.clone().prop_map(Step::Revoke),
                (partition.clone(), offset.clone()).prop_map(|(p, o)| Step::File(p, o)),
                (partition, offset).prop_map(|(p, o)| Step::Redis(p, o)),
                any::<bool>().prop_map(Step::Attached),
                Just(Step::Commit),
            ],
            0..200,
        )
    }

    proptest! {
        /// Whatever the order of completions and rebalances: a commit never passes a sink that keeps up, never
        /// goes back, never names a partition that is not ours, and never says the same thing twice.
        #[test]
        fn commits_are_safe(steps in steps()) {
            let mut ledger = Ledger::default();
            let mut attached = false;
            let mut file: BTreeMap<i32, i64> = BTreeMap::new();
            let mut redis: BTreeMap<i32, i64> = BTreeMap::new();
            let mut committed: BTreeMap<i32, i64> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Assign(p, o, c) => {
                        ledger.assign(p, o, c);
                        file.insert(p, o);
                        redis.insert(p, o);
                        committed.insert(p, c.min(o));
                    }
                    Step::Revoke(p) => {
                        ledger.revoke(p);
                        file.remove(&p);
                    }
                    Step::File(p, o) => {
                        ledger.file_durable(p, o);
                        if let Some(f) = file.get_mut(&p) { *f = o.max(*f) }
                    }
                    Step::Redis(p, o) => {
                        ledger.redis_holds(p, o);
                        redis.insert(p, o);
                    }
                    Step::Attached(a) => {
                        ledger.set_redis_attached(a);
                        attached = a;
                    }
                    Step::Commit => {
                        for (p, position) in ledger.take_committable() {
                            prop_assert!(position <= file[&p]);
                            prop_assert!(!attached || position <= redis[&p]);
                            prop_assert!(position > committed[&p]);
                            committed.insert(p, position);
                        }
                        prop_assert_eq!(ledger.take_committable(), vec![]);
                        let all: BTreeMap<i32, i64> = ledger.committable().into_iter().collect();
                        prop_assert!(all.iter().all(|(p, position)| committed[p] == *position));
                    }
                }
            }
        }
    }

    #[test]
    fn a_detached_redis_holds_nothing_back() {
        let mut ledger = Ledger::default();
        ledger.assign(0, 10, 10);
        ledger.set_redis_attached(true);
        ledger.file_durable(0, 50);
        assert_eq!(ledger.take_committable(), vec![]);
        ledger.redis_holds(0, 30);
        assert_eq!(ledger.take_committable(), vec![(0, 30)]);
        ledger.set_redis_attached(false);
        assert_eq!(ledger.take_committable(), vec![(0, 50)]);
    }

    #[test]
    fn a_start_that_was_not_committed_is() {
        let mut ledger = Ledger::default();
        ledger.assign(0, 10, 7);
        assert_eq!(ledger.take_committable(), vec![(0, 10)]);
        assert_eq!(ledger.take_committable(), vec![]);
    }
}
