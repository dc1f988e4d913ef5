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
    /// The topic, each partition in its order.
    pub records: Vec<Record>,
    /// What producers said that lived to say it.
    pub reports: Vec<Report>,
    /// Of each group of consumers.
    pub kept: Vec<Kept>,
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
    /// The newest in Redis.
    pub newest: Vec<String>,
}

impl Evidence {
    /// Gathers it, once the programs have ended: of so many producers, whose reports are in `folder`.
    ///
    /// # Errors
    /// When the topic, a file, a report or Redis cannot be read.
    pub fn gather(
        stack: &Stack,
        pipelines: &[Pipeline],
        (producers, folder): (usize, &Path),
    ) -> Result<Evidence> {
        let mut evidence = Evidence { records: stack.consume_all("logs")?, ..Evidence::default() };
        for number in 1..=producers {
            // One that was killed has left none.
            if let Ok(report) = fs::read(folder.join(format!("report-{number}.json"))) {
                evidence.reports.push(serde_json::from_slice(&report)?);
            }
        }
        let partitions = stack.high_watermarks("logs")?.len();
        for pipeline in pipelines {
            evidence.kept.push(Kept::gather(stack, pipeline, partitions)?);
        }
        Ok(evidence)
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
        let newest = redis::cmd("LRANGE").arg(format!("{name}:recent")).arg(0).arg(-1).query(&mut redis)?;
        Ok(Kept { name, files, levels, services, positions, newest })
    }
}
