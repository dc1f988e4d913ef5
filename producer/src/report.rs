//! The closing report: for people on standard output, for an audit as JSON.

use crate::publish::{Accounts, Publisher};
use crate::source::ship::Counters;
use anyhow::Context;
use chrono::DateTime;
use common::event::format_timestamp;
use common::report::ProducerReport;
use common::units::{format_count, format_counted, format_grouped, format_size};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// What the accounts say at the end.
pub(crate) fn report(producer: &str, publisher: &Publisher) -> ProducerReport {
    let accounts: &Accounts = publisher.accounts();
    let (topic, partitions) = publisher.topic();
    let started = publisher.clock().started();
    let finished = accounts.last_acknowledged_at.unwrap_or_else(|| publisher.clock().now());
    let seconds = finished.saturating_sub(started) as f64 / 1e6;
    ProducerReport {
        producer: producer.to_owned(),
        topic: topic.to_owned(),
        partitions,
        started: rfc3339(started),
        finished: rfc3339(finished),
        sent: accounts.sent,
        acknowledged: accounts.acknowledged,
        failed: accounts.failed,
        first_acknowledged_seq: accounts.acknowledged_seqs.map(|(first, _)| first),
        last_acknowledged_seq: accounts.acknowledged_seqs.map(|(_, last)| last),
        unacknowledged: accounts.unacknowledged(),
        bytes: accounts.bytes,
        seconds,
        events_per_second: if seconds > 0.0 { accounts.acknowledged as f64 / seconds } else { 0.0 },
        ack_latency_ms: accounts.latency_percentiles(),
    }
}

fn rfc3339(micros: u64) -> String {
    let time = i64::try_from(micros).ok().and_then(DateTime::from_timestamp_micros);
    format_timestamp(time.unwrap_or_default())
}

/// The report for people.
pub(crate) fn text(report: &ProducerReport, accounts: &Accounts, shipped: Option<Counters>) -> String {
    let partitions = format_counted(report.partitions as u64, "partition");
    let mut text = format!("{} → {} ({partitions})\n", report.producer, report.topic);
    let mut line = |name: &str, value: String| {
        writeln!(text, "  {name:<13}{value}").expect("a string takes everything");
    };
    if let Some(counters) = shipped {
        line("read", read(counters));
    }
    line("sent", format_grouped(report.sent));
    let seqs = report.first_acknowledged_seq.zip(report.last_acknowledged_seq);
    let seqs = seqs.map_or_else(String::new, |(first, last)| format!("  (seq {first} to {last})"));
    line("acknowledged", format_grouped(report.acknowledged) + &seqs);
    let reasons: Vec<String> = accounts
        .reasons
        .iter()
        .map(|(reason, events)| format!("{} {reason}", format_grouped(*events)))
        .collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!("  ({})", reasons.join("; ")) };
    line("failed", format_grouped(report.failed) + &reasons);
    let bytes_per_second = if report.seconds > 0.0 { report.bytes as f64 / report.seconds } else { 0.0 };
    line(
        "rate",
        format!(
            "{}/s, {}/s, over {:.1} s",
            format_count(report.events_per_second),
            format_size(bytes_per_second as u64),
            report.seconds
        ),
    );
    let latency = &report.ack_latency_ms;
    line(
        "latency",
        format!(
            "p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1} ms, from due to acknowledged",
            latency.p50, latency.p90, latency.p99, latency.p999, latency.max
        ),
    );
    text
}

fn read(counters: Counters) -> String {
    let mut text = format_counted(counters.lines, "line");
    for (count, what) in [
        (counters.blank, "blank"),
        (counters.joined, "joined to the one before"),
        (counters.json, "JSON"),
        (counters.unrecognised, "without a time or level"),
        (counters.invalid_utf8, "not UTF-8"),
        (counters.truncated, "cut"),
    ] {
        if count > 0 {
            write!(text, ", {} {what}", format_grouped(count)).expect("a string takes everything");
        }
    }
    for (count, what) in [
        (counters.rotations, "rotation"),
        (counters.truncations, "truncation"),
        (counters.read_errors, "read error"),
    ] {
        if count > 0 {
            write!(text, ", {}", format_counted(count, what)).expect("a string takes everything");
        }
    }
    text
}

/// Writes the report as JSON: to a file beside it first, so that whoever reads sees all of it or nothing.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn write(report: &ProducerReport, path: &Path) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", report.producer));
    let beside = Path::new(&beside);
    let written = (|| {
        let mut file = File::create(beside)?;
        file.write_all(&serde_json::to_vec_pretty(report)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(beside, path)
    })();
    if written.is_err() {
        // It failed already: what is left behind is no further error.
        let _ = std::fs::remove_file(beside);
    }
    written.with_context(|| format!("the report can't be written to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (ProducerReport, Accounts) {
        let mut accounts = Accounts::default();
        accounts.sent(1_234_567, 200_000_000);
        accounts.failed(3, 100, "Broker: Message size too large");
        let report = ProducerReport {
            producer: "k3x9q2".to_owned(),
            topic: "logs".to_owned(),
            partitions: 4,
            started: rfc3339(1_795_331_539_267_847),
            finished: rfc3339(1_795_331_551_267_847),
            sent: 1_234_567,
            acknowledged: 1_234_566,
            failed: 1,
            first_acknowledged_seq: Some(1),
            last_acknowledged_seq: Some(1_234_567),
            unacknowledged: vec![(3, 3)],
            bytes: 199_999_900,
            seconds: 12.0,
            events_per_second: 102_880.5,
            ack_latency_ms: accounts.latency_percentiles(),
        };
        (report, accounts)
    }

    #[test]
    fn people_read_it() {
        let (report, accounts) = example();
        assert_eq!(
            text(&report, &accounts, Some(Counters { lines: 2_000, blank: 3, ..Counters::default() })),
            "k3x9q2 → logs (4 partitions)\n  \
               read         2,000 lines, 3 blank\n  \
               sent         1,234,567\n  \
               acknowledged 1,234,566  (seq 1 to 1234567)\n  \
               failed       1  (1 Broker: Message size too large)\n  \
               rate         102.9k/s, 15.9 MiB/s, over 12.0 s\n  \
               latency      p50 0.0  p90 0.0  p99 0.0  p99.9 0.0  max 0.0 ms, from due to acknowledged\n"
        );
    }

    #[test]
    fn the_file_is_all_there_and_nothing_is_left_beside_it() {
        let (report, _) = example();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        std::fs::write(&path, "older").expect("a file");
        write(&report, &path).expect("a report");
        let read: ProducerReport =
            serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("a report");
        assert_eq!(read, report);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
        let error = write(&report, &folder.path().join("no/such/report.json")).expect_err("no folder");
        assert!(error.to_string().contains("the report can't be written to"), "{error}");
    }
}
