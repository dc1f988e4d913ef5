//! Taking partitions on and giving them up.

use super::{Partition, Pipeline};
use crate::group::{PartitionOffsets, Rebalance};
use crate::health::State;
use crate::metrics::PartitionLabel;
use crate::sink::file::checkpoint::Position;
use crate::sink::file::lock::LockError;
use crate::sink::file::log_file::FileError;
use crate::sink::redis::Told;
use crate::sink::redis::session::Claim;
use anyhow::bail;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// For making durable what a partition's next owner must not do again.
const REVOKE_TIME: Duration = Duration::from_secs(30);
const REVOKE_REDIS_TIME: Duration = Duration::from_secs(2);
/// How long new partitions wait for Redis to say where it is, before the file goes on without it.
const CLAIM_TIME: Duration = Duration::from_millis(500);
/// How often a partition that can't be started yet is tried.
const TRY_INTERVAL: Duration = Duration::from_millis(200);

impl Pipeline {
    pub(super) fn answer_rebalances(&mut self) -> anyhow::Result<()> {
        while let Ok(rebalance) = self.group.rebalances.try_recv() {
            self.metrics.rebalances.inc();
            match rebalance {
                Rebalance::Assign(partitions) => {
                    info!(?partitions, "assigned");
                    self.awaited.extend(partitions);
                    self.start_awaited(true)?;
                }
                Rebalance::Revoke(partitions) => self.revoke(&partitions)?,
            }
            self.metrics.partitions.set(i64::try_from(self.partitions.len()).unwrap_or(i64::MAX));
            self.health.set(State::Active);
        }
        if !self.awaited.is_empty() && self.tried.elapsed() >= TRY_INTERVAL {
            self.start_awaited(false)?;
        }
        Ok(())
    }

    /// Starts those partitions whose file we can have; the others stay awaited. A rebalance wants its answer
    /// even if there are none.
    fn start_awaited(&mut self, answer: bool) -> anyhow::Result<()> {
        let mut ready = Vec::new();
        for id in self.awaited.clone() {
            // First the lock, then the questions: what the last owner still wrote must not look like the
            // position of another topic.
            match self.file.ensure_open(id) {
                Ok(()) => {}
                Err(FileError::Lock(LockError::Held(holder))) => {
                    warn!(partition = id, holder, "its file is still held, waiting");
                    continue;
                }
                Err(error) => bail!(error),
            }
            match self.group.offsets(id) {
                Ok(offsets) => ready.push((id, self.start(id, offsets))),
                Err(error) => warn!(partition = id, %error, "asking Kafka where to start, trying again"),
            }
        }
        self.tried = Instant::now();
        if ready.is_empty() && !answer {
            return Ok(());
        }
        self.group.assign(&ready)?;
        if ready.is_empty() {
            return Ok(());
        }
        self.awaited.retain(|id| ready.iter().all(|(started, _)| started != id));
        for (id, start) in ready {
            self.ledger.assign(id, start);
            self.file.take_on(id, start);
        }
        self.reassign_redis();
        self.await_redis();
        Ok(())
    }

    /// Sets a partition up and says where its reading starts.
    fn start(&mut self, id: i32, offsets: PartitionOffsets) -> i64 {
        let durable = self.file.durable().get(id);
        let start = start_offset(id, durable.as_ref(), offsets, self.private_files);
        let totals = durable.map(|position| position.totals(&self.names)).unwrap_or_default();
        let file = self.file.file_id(id);
        let (next, flushed, end) = (start, start, offsets.high);
        let partition = Partition { next, file, start, end, totals, flushed, redis_next: i64::MAX };
        info!(partition = id, offset = start, end, "reading starts");
        self.partitions.insert(id, partition);
        start
    }

    fn reassign_redis(&mut self) {
        let Some(redis) = &mut self.redis else { return };
        let claims = self.partitions.iter().map(|(&id, partition)| Claim {
            partition: id,
            start: partition.start,
            end: partition.end.max(partition.next),
            durable: None,
        });
        redis.set_front(self.partitions.iter().map(|(&id, partition)| (id, partition.next)));
        redis.reassign(claims.collect());
        self.note_redis(false);
    }

    /// Gives Redis a moment to say where it is: if it answers, it is fed from the first event on and need not
    /// catch up.
    fn await_redis(&mut self) {
        let deadline = Instant::now() + CLAIM_TIME;
        while let Some(redis) = self.redis.as_ref().filter(|redis| !redis.attached()) {
            let Ok(told) = redis.told().recv_deadline(deadline) else {
                return;
            };
            let lost = matches!(told, Told::Lost(_));
            self.heard(told);
            if lost {
                return;
            }
        }
    }

    fn revoke(&mut self, ids: &[i32]) -> anyhow::Result<()> {
        self.awaited.retain(|id| !ids.contains(id));
        let ours: Vec<i32> = ids.iter().copied().filter(|id| self.partitions.contains_key(id)).collect();
        self.flush(true);
        self.settle(&ours, REVOKE_TIME, REVOKE_REDIS_TIME)?;
        if self.group.assignment_lost() {
            // Nobody else can have written: the files were locked. Only the commit is no longer ours to make.
            warn!(partitions = ?ours, "the group gave our partitions away: this process was stopped or too slow");
        } else {
            self.commit(true);
        }
        for &id in &ours {
            self.partitions.remove(&id);
            self.ledger.revoke(id);
            self.metrics.lag.remove(&PartitionLabel { partition: id });
        }
        // Also of those that were never started: their files may be open already.
        for &id in ids {
            self.file.close(id);
        }
        self.settle_closed()?;
        self.group.unassign(&ours)?;
        self.reassign_redis();
        info!(partitions = ?ours, "given up");
        Ok(())
    }

    /// Waits until all that was read of these partitions is durable in the file, and, for a shorter time, in
    /// Redis as far as it was fed.
    pub(super) fn settle(
        &mut self,
        ids: &[i32],
        file_time: Duration,
        redis_time: Duration,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + file_time;
        while ids.iter().any(|id| self.ledger.file(*id) < self.partitions.get(id).map(|p| p.next)) {
            match self.file.done().recv_deadline(deadline) {
                Ok(done) => self.written(done)?,
                Err(_) => bail!(
                    "the file was not checkpointed within {file_time:?}: the disk hangs, or the topic of the \
                     rejected takes nothing; what is missing is read again at the next start"
                ),
            }
        }
        let deadline = Instant::now() + redis_time;
        while self.redis_is_behind(ids) {
            let told = self.redis.as_ref().and_then(|redis| redis.told().recv_deadline(deadline).ok());
            let Some(told) = told else {
                warn!("Redis did not take all in time: whoever has the partitions next catches it up");
                break;
            };
            self.heard(told);
        }
        Ok(())
    }

    /// True while Redis is attached and has not applied all that it was fed.
    fn redis_is_behind(&self, ids: &[i32]) -> bool {
        let attached = self.redis.as_ref().is_some_and(|redis| redis.attached());
        attached
            && ids.iter().any(|id| self.ledger.redis(*id) < self.partitions.get(id).map(|p| p.redis_next))
    }

    fn settle_closed(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + REVOKE_TIME;
        while self.file.is_closing() {
            match self.file.done().recv_deadline(deadline) {
                Ok(done) => self.written(done)?,
                Err(_) => bail!("a file was not closed within {REVOKE_TIME:?}: the disk hangs"),
            }
        }
        Ok(())
    }
}

/// Where reading starts: at the checkpoint, whatever Kafka says; without one, at the group's offset; without
/// that, at the partition's first. Files that only we see know nothing of what other consumers did with the
/// partition in the meantime, so there the group's offset counts where it is ahead.
fn start_offset(id: i32, durable: Option<&Position>, offsets: PartitionOffsets, private_files: bool) -> i64 {
    let committed = offsets.committed.filter(|&committed| committed <= offsets.high);
    let start = match (durable.map(|position| position.next), committed) {
        (Some(next), Some(committed)) if private_files => next.max(committed),
        (Some(next), _) => next,
        (None, Some(committed)) => committed,
        (None, None) => offsets.low,
    };
    if start > offsets.high {
        let (position, end) = (start, offsets.high);
        error!(partition = id, position, end, "the topic was made anew: starting from its beginning");
        return offsets.low;
    }
    if start < offsets.low {
        let (position, first, lost) = (start, offsets.low, offsets.low - start);
        warn!(
            partition = id,
            position, first, lost, "Kafka deleted events before they were read: raise retention"
        );
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSETS: PartitionOffsets = PartitionOffsets { committed: Some(50), low: 10, high: 100 };

    fn at(next: i64) -> Position {
        Position { next, ..Position::default() }
    }

    #[test]
    fn the_checkpoint_counts() {
        assert_eq!(start_offset(0, Some(&at(40)), OFFSETS, false), 40);
        assert_eq!(start_offset(0, Some(&at(60)), OFFSETS, false), 60);
        assert_eq!(start_offset(0, None, OFFSETS, false), 50);
        assert_eq!(start_offset(0, None, PartitionOffsets { committed: None, ..OFFSETS }, false), 10);
    }

    #[test]
    fn private_files_follow_the_group() {
        assert_eq!(start_offset(0, Some(&at(40)), OFFSETS, true), 50);
        assert_eq!(start_offset(0, Some(&at(60)), OFFSETS, true), 60);
    }

    #[test]
    fn a_topic_made_anew_is_read_from_its_beginning() {
        assert_eq!(start_offset(0, Some(&at(1_000)), OFFSETS, false), 10);
        let committed_beyond = PartitionOffsets { committed: Some(1_000), ..OFFSETS };
        assert_eq!(start_offset(0, None, committed_beyond, false), 10);
    }
}
