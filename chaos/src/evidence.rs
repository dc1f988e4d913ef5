//! What there is at the end: in the topic, in the reports of producers, in the files and in Redis.

use crate::pipeline::Pipeline;
use anyhow::{Context, Result};
use harness::{Record, Stack};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// All of it.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What the topic held.
    pub history: History,
    /// What producers said that lived to say it.
    pub reports: Vec<Report>,
    /// Of each group of consumers.
    pub kept: Vec<Kept>,
}

/// What was in the topic, also what is no longer there: it is looked at before something is deleted.
#[derive(Debug, Default)]
pub struct History {
    /// Topics of that name, the present one last.
    generations: Vec<Generation>,
    /// Whether Redis lost everything once.
    pub redis_was_emptied: bool,
}

/// A topic from its creation to its deletion.
#[derive(Debug, Default)]
pub struct Generation {
    /// By partition and offset.
    pub records: BTreeMap<(i32, i64), Record>,
    /// By partition: Kafka has deleted everything below.
    pub deleted: Vec<i64>,
}

impl History {
    /// Reads what is there; gives the end of each partition.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub fn look(&mut self, stack: &Stack) -> Result<Vec<i64>> {
        self.add(stack.consume_all("logs")?)
    }

    /// Adds records of the present topic.
    pub fn add(&mut self, records: Vec<Record>) -> Result<Vec<i64>> {
        let present = self.present();
        present.records.extend(records.into_iter().map(|record| ((record.partition, record.offset), record)));
        let mut ends = Vec::new();
        for &(partition, offset) in present.records.keys() {
            let partition = usize::try_from(partition).context("a partition below 0")?;
            ends.resize(ends.len().max(partition + 1), 0);
            ends[partition] = offset + 1;
        }
        Ok(ends)
    }

    /// Kafka has deleted everything below these offsets, one of each partition.
    pub fn deleted(&mut self, below: Vec<i64>) {
        self.present().deleted = below;
    }

    /// The topic is gone; what follows is of another one.
    pub fn end_generation(&mut self) {
        self.generations.push(Generation::default());
    }

    /// Events of topics that are gone.
    pub fn events_before(&self) -> u64 {
        let gone = self.generations.len().saturating_sub(1);
        self.generations[..gone].iter().map(|generation| generation.records.len() as u64).sum()
    }

    /// All of them, the present one last.
    pub fn generations(&self) -> &[Generation] {
        &self.generations
    }

    fn present(&mut self) -> &mut Generation {
        if self.generations.is_empty() {
            self.generations.push(Generation::default());
        }
        self.generations.last_mut().expect("it was just made")
    }
}

/// As far as it is of use here.
#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the report")]
pub struct Report {
    pub producer: String,
    pub acknowledged: u64,
    pub first_acknowledged_seq: Option<u64>,
    pub last_acknowledged_seq: Option<u64>,
    pub unacknowledged: Vec<(u64, u64)>,
}

/// What a group of consumers has kept.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Its name, and its prefix in Redis.
    pub name: String,
    /// Its files, the oldest first.
    pub files: Vec<Vec<u8>>,
    /// Events in Redis, by level.
    pub levels: BTreeMap<String, u64>,
    /// And by service.
    pub services: BTreeMap<String, u64>,
    /// By partition: Redis has everything below.
    pub positions: BTreeMap<i32, i64>,
    /// By minute, as in its key: fields and their counts.
    pub minutes: BTreeMap<String, BTreeMap<String, u64>>,
    /// The newest in Redis, newest first.
    pub newest: Vec<String>,
    /// Events that Kafka did not give out, as the consumers said.
    pub skipped: u64,
}

impl Evidence {
    /// Gathers it, once the programs have ended: of so many producers, whose reports are in `folder`.
    ///
    /// # Errors
    /// When the topic, a file, a report or Redis cannot be read.
    pub fn gather(
        stack: &Stack,
        mut history: History,
        pipelines: &[Pipeline],
        (producers, folder): (usize, &Path),
    ) -> Result<Evidence> {
        history.look(stack)?;
        let mut reports = Vec::new();
        for number in 1..=producers {
            // One that was killed has left none.
            if let Ok(report) = fs::read(folder.join(format!("report-{number}.json"))) {
                reports.push(serde_json::from_slice(&report)?);
            }
        }
        let partitions = stack.high_watermarks("logs")?.len();
        let kept = pipelines
            .iter()
            .map(|pipeline| Kept::gather(stack, pipeline, partitions))
            .collect::<Result<_>>()?;
        Ok(Evidence { history, reports, kept })
    }
}

impl Kept {
    fn gather(stack: &Stack, pipeline: &Pipeline, partitions: usize) -> Result<Kept> {
        let name = pipeline.name().to_owned();
        let read = |path: PathBuf| fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
        let files = pipeline.files()?.into_iter().map(read).collect::<Result<_>>()?;
        let mut redis = stack.redis()?;
        let mut counted = |key: &str| redis::cmd("HGETALL").arg(format!("{name}:{key}")).query(&mut redis);
        let (levels, services) = (counted("levels")?, counted("services")?);
        let mut positions = BTreeMap::new();
        for partition in 0..i32::try_from(partitions)? {
            let position: Option<String> =
                redis::cmd("GET").arg(format!("{name}:position:logs:{partition}")).query(&mut redis)?;
            let next = position.as_deref().and_then(|text| text.split(' ').next()?.parse().ok());
            positions.extend(next.map(|next: i64| (partition, next)));
        }
        let mut minutes = BTreeMap::new();
        let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{name}:minute:*")).query(&mut redis)?;
        for key in keys {
            let fields = redis::cmd("HGETALL").arg(&key).query(&mut redis)?;
            minutes.insert(key.replace(&format!("{name}:minute:"), ""), fields);
        }
        let newest = redis::cmd("LRANGE").arg(format!("{name}:recent")).arg(0).arg(-1).query(&mut redis)?;
        Ok(Kept { name, files, levels, services, positions, minutes, newest, skipped: pipeline.skipped() })
    }
}
