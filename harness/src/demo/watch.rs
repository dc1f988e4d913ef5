//! What can be seen of the pipeline from outside: the file grows, Redis counts, the lag falls.

use anyhow::{Context, Result};
use common::units::{format_count, format_size};
use harness::{Stack, http};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two status lines.
const EVERY: Duration = Duration::from_secs(1);

/// Looks at file, Redis and metrics, and prints a line a second.
pub(super) struct Watch {
    path: PathBuf,
    // None until the consumer has made the file.
    file: Option<BufReader<File>>,
    lines: u64,
    redis: redis::Connection,
    metrics: SocketAddr,
    start: Instant,
    printed: Instant,
}

impl Watch {
    pub(super) fn new(stack: &Stack, path: &Path, metrics: SocketAddr) -> Result<Watch> {
        let now = Instant::now();
        Ok(Watch {
            path: path.to_owned(),
            file: None,
            lines: 0,
            redis: stack.redis()?,
            metrics,
            start: now,
            printed: now,
        })
    }

    /// Prints the status if a second has passed since the last time.
    pub(super) fn tick(&mut self) -> Result<()> {
        if self.printed.elapsed() >= EVERY { self.print() } else { Ok(()) }
    }

    /// Prints the status.
    pub(super) fn print(&mut self) -> Result<()> {
        self.printed = Instant::now();
        let lines = self.lines()?;
        let bytes = fs::metadata(&self.path).map_or(0, |file| file.len());
        let recent = self.ask_redis("LLEN logs:recent")?;
        let counted = self.counted()?;
        let lag = self.lag().map_or("?".to_owned(), |lag| format_count(lag as f64));
        println!(
            "{:>4.0} s   logs.txt {:>7} lines {:>9}   Redis {:>7} counted, {recent} in logs:recent   lag {lag}",
            self.start.elapsed().as_secs_f64(),
            format_count(lines as f64),
            format_size(bytes),
            format_count(counted as f64),
        );
        Ok(())
    }

    /// Lines in the file so far; each byte is read once.
    pub(super) fn lines(&mut self) -> Result<u64> {
        if self.file.is_none() {
            let Ok(file) = File::open(&self.path) else {
                return Ok(0);
            };
            self.file = Some(BufReader::with_capacity(1 << 20, file));
        }
        if let Some(file) = &mut self.file {
            loop {
                let bytes =
                    file.fill_buf().with_context(|| format!("cannot read {}", self.path.display()))?;
                if bytes.is_empty() {
                    break;
                }
                self.lines += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
                let length = bytes.len();
                file.consume(length);
            }
        }
        Ok(self.lines)
    }

    /// Events that Redis has counted, over all levels.
    pub(super) fn counted(&mut self) -> Result<u64> {
        let levels: HashMap<String, u64> = redis::cmd("HGETALL").arg("logs:levels").query(&mut self.redis)?;
        Ok(levels.values().sum())
    }

    /// What Redis answers to a command line, as `redis-cli` shows it but for quotes.
    pub(super) fn ask_redis(&mut self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let mut command = redis::cmd(words.next().context("an empty command")?);
        words.for_each(|word| {
            command.arg(word);
        });
        let answer: redis::Value =
            command.query(&mut self.redis).with_context(|| format!("Redis refused {line}"))?;
        if let Ok(number) = redis::from_redis_value::<i64>(answer.clone()) {
            return Ok(number.to_string());
        }
        let items: Vec<String> = redis::from_redis_value(answer)?;
        Ok(items
            .iter()
            .enumerate()
            .map(|(n, item)| format!("{}) {item}", n + 1))
            .collect::<Vec<_>>()
            .join("\n"))
    }

    /// Events between the consumer's positions and the ends of the partitions; none while nobody says.
    fn lag(&self) -> Option<u64> {
        let page = http::get(self.metrics, "/metrics")?;
        let partitions = page.lines().filter(|line| line.starts_with("sluice_lag_events{"));
        let lags: Vec<u64> = partitions.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
        (!lags.is_empty()).then(|| lags.iter().sum())
    }
}

/// The end of a file.
pub(super) fn last_lines(path: &Path, count: usize) -> Result<String> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut last = std::collections::VecDeque::with_capacity(count + 1);
    for line in BufReader::new(file).split(b'\n') {
        last.push_back(String::from_utf8_lossy(&line?).into_owned());
        if last.len() > count {
            last.pop_front();
        }
    }
    Ok(Vec::from(last).join("\n"))
}
