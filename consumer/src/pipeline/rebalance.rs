//! Taking partitions on and giving them up.
//!
//! Every partition comes in by one door, [`Pipeline::start_awaited`], and there alone is decided where its
//! reading begins. A partition that is in doubt while it is read (its offsets are gone, or its topic is) is
//! given up and goes through that door again.

use super::{Partition, Pipeline};
use crate::group::{COMPLAINT_INTERVAL, PartitionOffsets, Rebalance};
use crate::health::State;
use crate::metrics::PartitionLabel;
use crate::sink::file::checkpoint::{Place, Position, same_topic};
use crate::sink::file::lock::LockError;
use crate::sink::file::log_file::FileError;
use anyhow::bail;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// For making durable what a partition's next owner must not do again.
const REVOKE_TIME: Duration = Duration::from_secs(30);
const REVOKE_REDIS_TIME: Duration = Duration::from_secs(2);
/// How often a partition that can't be started yet is tried. A question that Kafka does not answer holds the other
/// partitions up: the next one waits several times as long as that took.
const TRY_INTERVAL: Duration = Duration::from_millis(200);
const TRY_SHARE: u32 = 4;
/// Partitions that fall into doubt again and again begin anew so often.
const AGAIN_INTERVAL: Duration = Duration::from_secs(1);

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
                Rebalance::Revoke(partitions) => self.revoke(&partitions, false)?,
                Rebalance::Lost(partitions) => self.revoke(&partitions, true)?,
            }
            self.health.set(State::Active);
        }
        if !self.awaited.is_empty() && Instant::now() >= self.try_at {
            self.start_awaited(false)?;
        }
        Ok(())
    }

    /// Starts those partitions whose file we can have; the others stay awaited. A rebalance wants its answer
    /// even if there are none.
    fn start_awaited(&mut self, answer: bool) -> anyhow::Result<()> {
        let mut ready = Vec::new();
        let started = Instant::now();
        let say = self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL);
        for id in self.awaited.clone() {
            // First the lock, then the questions: what the last owner still wrote must not look like the
            // position of another topic.
            match self.file.ensure_open(id) {
                Ok(()) => {}
                Err(FileError::Lock(LockError::Held(holder))) => {
                    if say {
                        self.complained = Some(started);
                        warn!(partition = id, holder, "its file is still held, waiting");
                    }
                    continue;
                }
                Err(error) => bail!(error),
            }
            match self.group.offsets(id) {
                Ok(offsets) => ready.push(self.start(id, &offsets)),
                Err(error) => {
                    if say {
                        self.complained = Some(started);
                        warn!(partition = id, %error, "asking Kafka where to start, trying again");
                    }
                    // Next time the others have their turn first.
                    self.awaited.retain(|&awaited| awaited != id);
                    self.awaited.push(id);
                    break;
                }
            }
        }
        self.try_at = Instant::now() + TRY_INTERVAL.max(started.elapsed() * TRY_SHARE);
        if ready.is_empty() && !answer {
            return Ok(());
        }
        let starts: Vec<(i32, i64)> = ready.iter().map(|(id, start, _)| (*id, start.offset)).collect();
        self.group.assign(&starts)?;
        if ready.is_empty() {
            return Ok(());
        }
        self.awaited.retain(|id| ready.iter().all(|(started, ..)| started != id));
        self.tell_partitions();
        for (id, start, committed) in ready {
            self.ledger.assign(id, start.offset, committed);
            self.file.take_on(id, start);
        }
        self.reassign_redis();
        self.await_redis();
        Ok(())
    }

    /// Sets a partition up and says where its reading starts, and what is committed of that.
    fn start(&mut self, id: i32, offsets: &PartitionOffsets) -> (i32, Place, i64) {
        let durable = self.file.durable().get(id);
        let by = offsets.committed.as_ref().and_then(|committed| committed.file.as_deref());
        let follow = self.private_files || by.is_some_and(|file| self.file.name(id) != Some(file));
        let Decision { offset, lost, checkpointed } = start_offset(id, durable.as_ref(), offsets, follow);
        self.metrics.skipped.inc_by(lost);
        let start = Place { offset, topic_id: offsets.topic_id.clone() };
        let totals = durable.map(|position| position.totals(&self.names)).unwrap_or_default();
        let file = self.file.file_id(id);
        let (next, flushed, end) = (offset, offset, offsets.high);
        let partition = Partition {
            next,
            file,
            start: start.clone(),
            checkpointed,
            end,
            totals,
            flushed,
            redis_next: i64::MAX,
        };
        info!(partition = id, offset, end, "reading starts");
        self.partitions.insert(id, partition);
        let committed = offsets.committed.as_ref().map_or(-1, |committed| committed.offset);
        (id, start, if checkpointed { committed } else { offset })
    }

    /// Begins partitions anew whose reading can't go on: what we know of them is no longer so.
    pub(super) fn start_again(&mut self, mut ids: Vec<i32>) -> anyhow::Result<()> {
        ids.retain(|id| self.partitions.contains_key(id));
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(());
        }
        self.revoke(&ids, self.group.assignment_lost())?;
        self.awaited.extend(ids);
        // Not before the group was heard: taking them on would answer a rebalance that came meanwhile.
        let now = Instant::now();
        self.try_at = (now + TRY_INTERVAL).max(self.again_at);
        if now >= self.again_at {
            self.again_at = now + AGAIN_INTERVAL;
        }
        Ok(())
    }

    fn revoke(&mut self, ids: &[i32], lost: bool) -> anyhow::Result<()> {
        self.awaited.retain(|id| !ids.contains(id));
        let ours: Vec<i32> = ids.iter().copied().filter(|id| self.partitions.contains_key(id)).collect();
        self.flush(true);
        self.settle(&ours, REVOKE_TIME, REVOKE_REDIS_TIME)?;
        if lost {
            // Nobody else can have written: the files were locked. Only the commit is no longer ours to make.
            warn!(partitions = ?ours, "the group gave our partitions away: this process was stopped or too slow");
        } else if self.private_files {
            // What it says when it can't is all there is to do about it.
            let _ = self.commit_all();
        } else {
            // Whoever comes next sees our files.
            self.commit();
        }
        self.forget(ids)?;
        self.group.unassign(&ours)?;
        self.reassign_redis();
        info!(partitions = ?ours, "given up");
        Ok(())
    }

    /// Another member of our name has taken the place of this one. Who holds a shared file has its name, so that was
    /// ourselves: while no broker answered, our session ended, and a commit from before it was sent once they were back,
    /// which the broker takes for another one's.
    pub(super) fn fenced(&mut self) -> anyhow::Result<()> {
        if self.private_files {
            bail!(
                "another consumer of the group has the name of this one: give each an --instance of its own"
            );
        }
        warn!("the group takes this member for an earlier one: joining again");
        self.join_again()
    }

    /// Joins the group with a new client, which knows nothing of what this one knew: for good, that it is no member any
    /// more; or of a topic that was made anew, how often its partitions changed their leaders, and all that brokers say
    /// of the new ones would look outdated until those have changed as often.
    pub(super) fn join_again(&mut self) -> anyhow::Result<()> {
        let ids: Vec<i32> = self.partitions.keys().copied().chain(self.awaited.drain(..)).collect();
        self.flush(true);
        self.settle(&ids, REVOKE_TIME, REVOKE_REDIS_TIME)?;
        self.forget(&ids)?;
        self.group.join_again()?;
        self.reassign_redis();
        info!(partitions = ?ids, "given up");
        Ok(())
    }

    /// Lets go of partitions whose events are settled, and of their files.
    fn forget(&mut self, ids: &[i32]) -> anyhow::Result<()> {
        for id in ids {
            if self.partitions.remove(id).is_some() {
                self.ledger.revoke(*id);
                self.metrics.lag.remove(&PartitionLabel { partition: *id });
            }
        }
        self.tell_partitions();
        // Also of those that were never started: their files may be open already.
        for &id in ids {
            self.file.close(id);
        }
        self.settle_closed()
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
                // No longer attached, it holds no commit back.
                self.detach_redis("it did not take all in time");
                break;
            };
            self.heard(told);
        }
        Ok(())
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

/// Where reading starts, and how many events Kafka deleted before they were read.
#[derive(Debug, PartialEq, Eq)]
struct Decision {
    offset: i64,
    lost: u64,
    /// The offset is the checkpoint's.
    checkpointed: bool,
}

/// Where reading starts: at the checkpoint, whatever Kafka says; without one, at the group's offset; without
/// that, at the partition's first. A file knows nothing of what consumers with other ones did with the partition in the
/// meantime: where files are each one's own, or the group's offset is of another file, it counts where it is ahead.
///
/// | found | rule |
/// |---|---|
/// | the topic has another identity than the checkpoint's | made anew: as without a checkpoint |
/// | Kafka has deleted what comes next | from the first that is left; said and counted |
/// | the checkpoint is beyond the partition's end | its broker lost the end: from the end on, since the file has the rest |
/// | the same, but the topic has no identity (before Kafka 2.8) | taken for made anew |
fn start_offset(
    partition: i32,
    durable: Option<&Position>,
    offsets: &PartitionOffsets,
    follow_group: bool,
) -> Decision {
    let &PartitionOffsets { ref topic_id, ref committed, low, high } = offsets;
    // Beyond the end it is of a topic before this one; or the broker lost the end, which some file has.
    let committed = committed.as_ref().filter(|committed| committed.known || committed.offset <= high);
    let committed = committed.map(|committed| committed.offset.min(high));
    let durable = durable.filter(|position| {
        let same = same_topic(topic_id.as_deref(), position.topic_id.as_deref());
        if !same {
            warn!(
                partition,
                position = position.next,
                "the topic was made anew: the file goes on with the new one"
            );
        }
        same
    });
    let mut checkpointed = false;
    let wanted = match (durable.map(|position| position.next), committed) {
        (Some(next), Some(committed)) if follow_group && committed > next => {
            info!(partition, position = next, committed, "another file of the group has what is between");
            committed
        }
        (Some(next), _) => {
            checkpointed = true;
            next
        }
        (None, Some(committed)) => committed,
        (None, None) => low,
    };
    if wanted < low {
        let lost = low.abs_diff(wanted);
        error!(
            partition,
            position = wanted,
            first = low,
            lost,
            "Kafka deleted events before they were read: raise retention"
        );
        return Decision { offset: low, lost, checkpointed: false };
    }
    if wanted <= high {
        return Decision { offset: wanted, lost: 0, checkpointed };
    }
    if topic_id.is_some() && durable.is_some_and(|position| position.topic_id.is_some()) {
        error!(
            partition,
            position = wanted,
            end = high,
            "Kafka lost the partition's end, which the file has: going on behind it"
        );
        return Decision { offset: high, lost: 0, checkpointed: false };
    }
    warn!(
        partition,
        position = wanted,
        end = high,
        "the topic was made anew: the file goes on with the new one"
    );
    Decision { offset: low, lost: 0, checkpointed: false }
}

#[cfg(test)]
mod tests;
