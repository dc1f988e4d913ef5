//! What can go wrong, and what a seed makes of it.

use clap::ValueEnum;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt;
use std::time::Duration;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Fault {
    /// A consumer is killed (SIGKILL) and started again
    ConsumerKilled,
    /// A consumer is killed, and one bit of its checkpoint flips before it is started again
    CheckpointFlipped,
    /// A consumer is frozen for longer than its session with Kafka, then goes on as if nothing had been
    ConsumerFrozen,
    /// A consumer is asked to end (SIGTERM) and started again
    ConsumerStopped,
    /// A further consumer comes and goes
    ConsumerJoins,
    /// Syncs to disk fail with EIO
    SyncFails,
    /// Writes to disk fail with ENOSPC
    DiskFull,
    /// A file may grow no further: a write is cut short, and the next one fails with EFBIG
    WriteLimited,
    /// The disk hangs: a sync takes seconds
    DiskHangs,
    /// The power fails: all consumers of a group are gone, and so is what they had written and not synced
    PowerLost,
    /// Somebody moves a file away under the writer
    FileMoved,
    /// All consumers of a group are killed, and a file is moved away before they are started again
    KilledAndMoved,
    /// The clock of the consumers jumps by an hour, ahead or back, and later to where it was
    ClockJumps,
    /// The producer is killed; another one goes on
    ProducerKilled,
    /// A broker is killed and started again
    BrokerKilled,
    /// A broker is restarted in order: its partitions change their leader
    BrokerRestarted,
    /// The broker that is the controller is killed and started again
    ControllerKilled,
    /// All brokers are killed, and started again half a minute later
    BrokersKilled,
    /// ZooKeeper is killed and started again
    ZookeeperKilled,
    /// The topic is given more partitions
    PartitionsAdded,
    /// The topic is deleted and made anew, once everything was read
    TopicAnew,
    /// Kafka deletes what a frozen consumer has not read yet, as retention does: it says how much
    RecordsDeleted,
    /// Redis' master is killed, a replica takes over, the old one comes back as a replica
    RedisKilled,
    /// Redis' master hangs, a replica takes over, the old one wakes up
    RedisFrozen,
    /// All of Redis is killed and comes back empty
    RedisEmptied,
    /// Redis has no memory left (maxmemory, noeviction)
    RedisFull,
    /// In the place of Redis' master a read-only replica answers
    RedisReadOnly,
    /// The network to brokers and Redis is slow
    NetworkSlow,
    /// The network delivers nothing and tells nobody: half-open connections
    NetworkSilent,
    /// The network closes all connections
    NetworkDown,
    /// All connections are reset
    NetworkReset,
}

impl Fault {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What happens, for people.
    pub fn what(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// For how long it holds, at least and at most, s; zero: it is over at once.
    fn holds(self) -> (f64, f64) {
        match self {
            Fault::ConsumerKilled
            | Fault::CheckpointFlipped
            | Fault::ConsumerStopped
            | Fault::FileMoved
            | Fault::KilledAndMoved
            | Fault::PartitionsAdded
            | Fault::ProducerKilled
            | Fault::TopicAnew
            | Fault::NetworkReset => (0.0, 0.0),
            Fault::SyncFails
            | Fault::DiskFull
            | Fault::WriteLimited
            | Fault::PowerLost
            | Fault::BrokerRestarted
            | Fault::RecordsDeleted => (0.5, 1.5),
            Fault::DiskHangs
            | Fault::ClockJumps
            | Fault::NetworkSlow
            | Fault::RedisFull
            | Fault::RedisReadOnly => (2.0, 6.0),
            // Longer than a session.
            Fault::ConsumerFrozen | Fault::ConsumerJoins => (4.0, 6.0),
            Fault::BrokerKilled | Fault::ControllerKilled | Fault::ZookeeperKilled => (1.0, 5.0),
            Fault::BrokersKilled => (30.0, 30.0),
            // Longer than Sentinels wait.
            Fault::RedisKilled | Fault::RedisFrozen | Fault::RedisEmptied => (2.0, 6.0),
            Fault::NetworkSilent | Fault::NetworkDown => (2.0, 8.0),
        }
    }

    /// Whether a consumer may end with an error; in all others it has to go on by itself.
    pub fn may_end_a_consumer(self) -> bool {
        matches!(self, Fault::SyncFails | Fault::DiskFull | Fault::WriteLimited)
    }

    /// Whether the producer ends in order first, and everything is read.
    pub fn wants_quiet(self) -> bool {
        self == Fault::TopicAnew
    }
}

/// A fault of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// Its kind.
    pub fault: Fault,
    /// From the steady state to the fault.
    pub after: Duration,
    /// From the fault to its end, if it does not end by itself.
    pub holds: Duration,
    /// Decides which of several things it befalls.
    pub which: usize,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault.name())?;
        if self.holds > Duration::ZERO {
            write!(f, " for {:.1} s", self.holds.as_secs_f64())?;
        }
        Ok(())
    }
}

/// The rounds of a seed: always the same, and every fault once before any comes again.
pub fn schedule(seed: u64, rounds: usize, faults: &[Fault]) -> Vec<Round> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut bag = Vec::new();
    let mut schedule = Vec::with_capacity(rounds);
    while schedule.len() < rounds && !faults.is_empty() {
        if bag.is_empty() {
            bag = faults.to_vec();
            bag.shuffle(&mut random);
        }
        let Some(fault) = bag.pop() else { break };
        let (least, most) = fault.holds();
        schedule.push(Round {
            fault,
            after: Duration::from_secs_f64(random.random_range(0.5..2.0)),
            holds: Duration::from_secs_f64(least + (most - least) * random.random::<f64>()),
            which: random.random_range(0..60),
        });
    }
    schedule
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_seed_gives_the_same_rounds_and_each_fault_comes_in_turn(seed: u64, rounds in 0_usize..100) {
            let all = Fault::value_variants();
            let made = schedule(seed, rounds, all);
            prop_assert_eq!(&made, &schedule(seed, rounds, all));
            prop_assert_eq!(made.len(), rounds);
            for turn in made.chunks(all.len()) {
                let mut faults: Vec<Fault> = turn.iter().map(|round| round.fault).collect();
                faults.sort_by_key(|fault| *fault as usize);
                faults.dedup();
                prop_assert_eq!(faults.len(), turn.len());
            }
            // More rounds of the same seed begin alike.
            prop_assert_eq!(&made[..], &schedule(seed, rounds + 7, all)[..rounds]);
        }
    }

    #[test]
    fn every_fault_says_what_it_is() {
        for fault in Fault::value_variants() {
            assert!(fault.what().len() > 10, "{fault:?}");
        }
    }
}
