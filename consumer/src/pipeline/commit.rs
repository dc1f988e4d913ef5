//! Committing what the sinks have, with the names of topic and file beside each offset.

use super::{Partition, Pipeline};
use crate::group::{COMPLAINT_INTERVAL, Commit};
use crate::sink::file::checkpoint::Place;
use rdkafka::error::KafkaResult;
use std::time::{Duration, Instant};
use tracing::{error, warn};

/// For a last commit. While the group rebalances it takes none, which may last a session (10 s).
const COMMIT_TIME: Duration = Duration::from_secs(12);

impl Pipeline {
    pub(super) fn commit(&mut self) {
        // Without new events nothing else would say it again.
        let positions = match self.group.refusal() {
            // Not fatal: what counts is the checkpoint.
            Some(error) => {
                if self.refused.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
                    self.refused = Some(Instant::now());
                    warn!(%error, "committing offsets, trying again");
                }
                self.ledger.committable()
            }
            None => self.ledger.take_committable(),
        };
        let commits = self.commits(positions);
        if let Err(error) = self.group.commit(&commits) {
            warn!(%error, "committing offsets");
        }
    }

    /// Commits for the last time, all of it once more, since an earlier commit may have failed. If the group does not
    /// take it in time, the checkpoint still says where reading goes on, but not to who can't see our files.
    pub(super) fn commit_all(&mut self) -> KafkaResult<()> {
        let commits = self.commits(self.ledger.committable());
        let committed = self.group.commit_surely(&commits, COMMIT_TIME);
        committed.inspect_err(|error| {
            if self.private_files {
                error!(%error, "offsets are not committed: others may write what our files have once more");
            } else {
                warn!(%error, "offsets are not committed: the checkpoint says where reading goes on");
            }
        })
    }

    fn commits(&self, positions: Vec<(i32, i64)>) -> Vec<Commit> {
        let commit = |(partition, offset)| {
            let Partition { start, checkpointed, .. } = self.partitions.get(&partition)?;
            if !checkpointed && offset == start.offset {
                // In our file's name it would say that this one has what another one has.
                return None;
            }
            let topic_id = start.topic_id.clone();
            let file = self.file.name(partition)?.to_owned();
            Some(Commit { partition, place: Place { offset, topic_id }, file })
        };
        positions.into_iter().filter_map(commit).collect()
    }
}
