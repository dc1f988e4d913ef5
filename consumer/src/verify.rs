//! `consumer verify`: reads the files back and says what was lost, doubled or reordered.
//!
//! Per producer, by its gapless numbers. *Lost*: acknowledged according to the producer's report and in none of
//! the files; without a report, missing between the lowest and the highest number that is there. *Doubled*:
//! there more than once, in all files together. *Reordered*: against the order of its partition, within a file,
//! see [`sequences`].

mod audit;
mod blocks;
mod names;
mod parallel;
mod sequences;
mod summary;
mod tally;

use crate::sink::file::checkpoint::{self, CheckpointFile, folder_of};
use anyhow::{Context, bail};
use audit::Audit;
use blocks::Blocks;
use common::decode::harmless;
use common::report::ProducerReport;
use indicatif::{ProgressBar, ProgressStyle};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use summary::Summary;

/// Below this many bytes a progress bar would only flash.
const PROGRESS_FROM_BYTES: u64 = 100 << 20;

const EXAMPLES: &str = "\
Examples:
  consumer verify logs.txt --report run.json   is all there that `producer --report run.json` sent?
  consumer verify logs*.txt                    rotated files, too, or those of all partitions
  consumer verify logs.txt --json              for a program to read

Exit codes: 0 nothing lost, nothing doubled, no line malformed; 1 something was, or failed; 2 impossible flags.";

/// Proves that nothing was lost or doubled.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The consumer's files, rotated ones too; their checkpoints and locks are passed over
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// What a producer wrote with its own --report: says what must be there. Once for each producer
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,

    /// How many partitions of the topic a file has, where no checkpoint beside it says so. With more than one, their
    /// events are mixed, and a changed order is seen only where it fits none of the ways to mix them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub partitions: Option<u32>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Reads everything and prints the verdict; whether it is good.
///
/// # Errors
/// When a file or report can't be read, or isn't what it should be.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    let summary = verify(args)?;
    let mut out = std::io::stdout().lock();
    let printed = if args.json {
        serde_json::to_writer_pretty(&mut out, &summary).map_err(Into::into).and_then(|()| writeln!(out))
    } else {
        write!(out, "{summary}")
    };
    printed.context("cannot print the verdict")?;
    if summary.lost() > 0
        && let Some(rotated) = rotated_beside(&args.files)
    {
        eprintln!(
            "note: {} was not given, and may have what is lost here",
            harmless(&rotated.display().to_string())
        );
    }
    Ok(summary.is_ok())
}

fn verify(args: &Args) -> anyhow::Result<Summary> {
    let mut reports: Vec<ProducerReport> = Vec::new();
    for path in &args.reports {
        let report = read_report(path)?;
        if reports.iter().any(|other| other.producer == report.producer) {
            bail!(
                "{}: a report on producer {} was given already: of two runs with one name (or one --seed) the numbers \
                 are the same, so give each its own --producer",
                path.display(),
                report.producer
            );
        }
        reports.push(report);
    }
    let mut files = Vec::new();
    for path in args.files.iter().filter(|path| !is_companion(path)) {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let metadata = file.metadata().with_context(|| format!("cannot read {}", path.display()))?;
        if metadata.is_dir() {
            bail!("{} is a directory: name the files in it", path.display());
        }
        if files.iter().any(|(_, other, _)| *other == path) {
            bail!("{} was given twice", path.display());
        }
        files.push((file, path, metadata.len()));
    }
    if files.is_empty() {
        bail!("only checkpoints and locks were given: name the log files beside them");
    }
    let total = files.iter().map(|(_, _, bytes)| bytes).sum();
    let progress = progress_bar(total);
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut audit = Audit::new(reports);
    for (file, path, _) in files {
        let partitions = partitions_of(path).or(args.partitions.map(|n| n as usize));
        audit.next_file(partitions);
        audit_file(Blocks::new(progress.wrap_read(file)), workers, path, &mut audit)?;
    }
    let bytes = progress.position();
    progress.finish_and_clear();
    Ok(Summary { bytes, ..audit.finish() })
}

/// Tells the audit what every line of a file says.
fn audit_file(
    blocks: Blocks<impl Read + Send>,
    workers: usize,
    path: &Path,
    audit: &mut Audit,
) -> anyhow::Result<()> {
    let mut number = 1;
    parallel::for_each_tally(blocks, workers, |tally| {
        let tally = tally.with_context(|| format!("cannot read {}", path.display()))?;
        if number == 1 && tally.begins_as_text {
            bail!(
                "{} was written with --file-format text, which keeps no identity: verify needs --file-format json",
                path.display()
            );
        }
        audit.add(tally, |line, what| format!("{}:{}: {what}", path.display(), number + line));
        number += tally.lines;
        Ok(())
    })
}

fn read_report(path: &Path) -> anyhow::Result<ProducerReport> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the report {}", path.display()))?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is not a report that `producer --report` wrote", path.display()))
}

/// What lies beside a file and `logs*` in a shell catches too.
fn is_companion(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "checkpoint" || extension == "lock" || extension == "cut")
}

/// What looks as if it had been rotated away from one of these, and is not among them.
fn rotated_beside(files: &[PathBuf]) -> Option<PathBuf> {
    files.iter().find_map(|path| {
        let beside = std::fs::read_dir(folder_of(path)).ok()?.flatten();
        let mut beside = beside.map(|entry| path.with_file_name(entry.file_name()));
        beside.find(|other| is_rotated(path, other) && !is_companion(other) && !files.contains(other))
    })
}

/// True for `logs.2026-11-22T071219.267847Z.txt` of `logs.txt`, which is ours, and logrotate's `logs.txt.1` and
/// `logs.txt-20261122`.
fn is_rotated(path: &Path, other: &Path) -> bool {
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, name, other) = (text(path.file_stem()), text(path.file_name()), text(other.file_name()));
    [format!("{stem}."), format!("{name}."), format!("{name}-")].iter().any(|start| {
        other.strip_prefix(start).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// How many partitions a file merges, from the checkpoint beside it: the most that any of its records names.
fn partitions_of(file: &Path) -> Option<usize> {
    let bytes = checkpoint::read(&CheckpointFile::path_of(file)).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let count = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line.get(line.find('{')?..)?.trim_end()).ok()?;
        Some(record.get("partitions")?.as_object()?.len())
    };
    text.lines().filter_map(count).max().filter(|&partitions| partitions > 0)
}

fn progress_bar(total: u64) -> ProgressBar {
    if total < PROGRESS_FROM_BYTES || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {eta}")
        .expect("the template is constant and valid");
    ProgressBar::new(total).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use blocks::Line;
    use proptest::prelude::*;
    use tally::Tally;
    use tempfile::TempDir;

    fn line(seq: u64) -> String {
        format!(
            r#"{{"timestamp":"2026-11-22T07:12:19.267847Z","level":"INFO","producer":"p","seq":{seq},"message":"m"}}"#
        ) + "\n"
    }

    /// A file of that content in `folder`.
    fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn args(files: &[&PathBuf]) -> Args {
        Args {
            files: files.iter().map(|p| p.to_path_buf()).collect(),
            reports: vec![],
            partitions: None,
            json: false,
        }
    }

    #[test]
    fn whole_files_are_good() {
        let folder = TempDir::new().unwrap();
        let one = file(&folder, "logs-0.txt", line(1) + &line(3));
        let two = file(&folder, "logs-1.txt", line(2) + &line(4));
        let summary = verify(&args(&[&one, &two])).unwrap();
        assert!(summary.is_ok());
        assert_eq!((summary.files, summary.events), (2, 4));
        assert_eq!(summary.bytes, 4 * line(1).len() as u64);
        assert_eq!(summary.producers[0].sequences, 1);
        assert!(run(&args(&[&one, &two])).unwrap());
        assert!(!run(&args(&[&one])).unwrap(), "2 is missing");
    }

    #[test]
    fn malformed_lines_are_named() {
        let folder = TempDir::new().unwrap();
        let torn = file(&folder, "logs.txt", line(1) + "\n{\"a\":\u{7}1\n" + line(2).trim_end());
        let summary = verify(&args(&[&torn])).unwrap();
        assert!(!summary.is_ok());
        assert_eq!((summary.events, summary.malformed), (1, 3));
        for (shown, expected) in summary.malformed_shown.iter().zip([
            "logs.txt:2: the payload is empty: ",
            "logs.txt:3: the payload is not valid JSON: {\"a\":\\u{7}1",
            "logs.txt:4: the last line has no newline: {",
        ]) {
            assert!(shown.contains(expected), "{shown}");
        }
    }

    #[test]
    fn the_checkpoint_knows_the_partitions() {
        let folder = TempDir::new().unwrap();
        let merged = file(&folder, "logs.txt", [3, 1, 4, 2].map(line).concat());
        assert_eq!(verify(&args(&[&merged])).unwrap().producers[0].sequences, 2, "not known: what it takes");
        let one = r#"0badc0de {"generation":1,"partitions":{"0":{"next":4}}}"#;
        let blank = " ".repeat(100);
        let checkpoint = file(&folder, "logs.txt.checkpoint", format!("{one}{blank}\n{blank}torn \u{0}"));
        let summary = verify(&args(&[&merged, &checkpoint])).unwrap();
        assert_eq!((summary.files, summary.producers[0].reordered), (1, 2));
        assert!(summary.is_ok(), "reordered is no loss");
        let two = r#"0badc0de {"generation":2,"partitions":{"0":{},"1":{}}}"#;
        file(&folder, "logs.txt.checkpoint", format!("{one}{blank}\n{two}{blank}\n"));
        assert_eq!(verify(&args(&[&merged])).unwrap().producers[0].reordered, 0);
        let told =
            Args { partitions: Some(1), ..args(&[&file(&folder, "old.txt", [2, 1].map(line).concat())]) };
        assert_eq!(verify(&told).unwrap().producers[0].reordered, 1);
    }

    #[test]
    fn a_report_says_what_must_be_there() {
        let folder = TempDir::new().unwrap();
        let logs = file(&folder, "logs.txt", line(1) + &line(2));
        let report = r#"{"producer":"p","topic":"logs","partitions":1,"started":"","finished":"","sent":4,
            "acknowledged":3,"failed":1,"first_acknowledged_seq":1,"last_acknowledged_seq":4,
            "unacknowledged":[[3,3]],"bytes":0,"seconds":1.0,"events_per_second":3.0,
            "ack_latency_ms":{"n":0,"p50":0,"p90":0,"p99":0,"p999":0,"max":0}}"#;
        let report = file(&folder, "producer.json", report);
        let with_report = |reports: &[&PathBuf]| {
            verify(&Args { reports: reports.iter().map(|p| p.to_path_buf()).collect(), ..args(&[&logs]) })
        };
        let summary = with_report(&[&report]).unwrap();
        assert_eq!(summary.producers[0].lost_ranges, [(4, 4)]);
        assert!(with_report(&[&report, &report]).unwrap_err().to_string().contains("was given already"));
        assert!(with_report(&[&logs]).unwrap_err().to_string().contains("is not a report"));
    }

    #[test]
    fn what_can_not_be_verified_is_a_clear_error() {
        let folder = TempDir::new().unwrap();
        let text = file(&folder, "text.txt", "2026-11-22T07:12:19.267847Z WARN auth slow login\n");
        let good = file(&folder, "logs.txt", line(1));
        let missing = folder.path().join("missing.txt");
        for (files, expected) in [
            (vec![&text], "--file-format text"),
            (vec![&missing], "cannot open"),
            (vec![&good, &good], "given twice"),
            (vec![&folder.path().to_path_buf()], "is a directory"),
            (vec![&folder.path().join("logs.txt.lock")], "only checkpoints and locks"),
        ] {
            let error = verify(&args(&files)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_was_rotated_away_and_not_given_is_named() {
        let folder = TempDir::new().unwrap();
        let logs = file(&folder, "logs.txt", line(3));
        for other in ["logs.txt.checkpoint", "logs-7.txt", "logs.txt.lock", "logs.txt.1.cut", "other.txt"] {
            file(&folder, other, "");
        }
        assert_eq!(rotated_beside(std::slice::from_ref(&logs)), None);
        for rotated in ["logs.2026-11-22T071219.267847Z.txt", "logs.txt.1", "logs.txt-20261122"] {
            let rotated = file(&folder, rotated, line(1));
            assert_eq!(rotated_beside(std::slice::from_ref(&logs)), Some(rotated.clone()));
            assert_eq!(rotated_beside(&[logs.clone(), rotated.clone()]), None);
            std::fs::remove_file(rotated).unwrap();
        }
    }

    /// A file, line by line: no blocks, no threads.
    fn audit_plainly(bytes: &[u8], max_line_bytes: usize, path: &Path, audit: &mut Audit) {
        for (number, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
            let text = line.strip_suffix(b"\n");
            let mut tally = Tally::default();
            tally.line(&match text {
                _ if text.unwrap_or(line).len() > max_line_bytes => Line::TooLong(line),
                Some(text) => Line::Whole(text),
                None => Line::Torn(line),
            });
            audit.add(&tally, |_, what| format!("{}:{}: {what}", path.display(), number + 1));
        }
    }

    /// Mostly good lines of a few producers; all that can be wrong with the others.
    fn some_line() -> impl Strategy<Value = String> {
        let event = |(producer, seq, level): (&str, u64, &str)| {
            format!(
                r#"{{"timestamp":"2026-11-22T07:12:19.267847Z","level":"{level}","producer":"{producer}","seq":{seq},"message":"m"}}"#
            )
        };
        let names = prop::sample::select(vec!["a", "b", r"\u0062", "c"]);
        let level = prop::sample::select(vec!["INFO", "WARN", "shout"]);
        prop_oneof![
            20 => (names, 0..40_u64, level).prop_map(event),
            1 => Just(r#"{"message":"nobody's"}"#.to_owned()),
            1 => "[a{}\"\u{7}é]{0,10}",
            1 => (100_usize..1500).prop_map(|length| format!(r#"{{"message":"{}"}}"#, "x".repeat(length))),
        ]
    }

    /// Any file is verified, or said to be of the other format; each of its lines is an event or malformed, and what
    /// is printed for people can't be forged by it.
    #[test]
    fn fuzz_verify() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let path = Path::new("logs.txt");
            let (mut parallel, mut plain) = (Audit::new(vec![]), Audit::new(vec![]));
            parallel.next_file(None);
            plain.next_file(None);
            // Text is what no event begins with.
            if audit_file(Blocks::sized(bytes, 64, 600), 1, path, &mut parallel).is_err() {
                assert!(bytes.len() > 27 && bytes[26] == b'Z');
                return;
            }
            audit_plainly(bytes, 600, path, &mut plain);
            let summary = parallel.finish();
            assert_eq!(summary, plain.finish());
            let lines = bytes.split_inclusive(|&byte| byte == b'\n').count() as u64;
            assert_eq!(summary.events + summary.malformed, lines);
            let numbered: u64 = summary.producers.iter().map(|p| p.unique + p.doubled).sum();
            assert_eq!(numbered + summary.without_identity, summary.events);
            assert_eq!(summary.levels.iter().sum::<u64>(), summary.events);
            assert!(
                !summary.to_string().contains(|c: char| c != '\n' && common::decode::forges(c)),
                "{summary}"
            );
            serde_json::to_vec(&summary).unwrap();
        });
    }

    proptest! {
        #[test]
        fn many_threads_say_what_a_plain_loop_says(
            files in prop::collection::vec((prop::collection::vec(some_line(), 0..60), "[{}a]{0,9}", 0..3_usize), 1..4),
            workers in 1..5_usize,
            block_bytes in 1..600_usize,
            more in 0..1000_usize,
        ) {
            // No less than is shown of a line.
            let max_line_bytes = block_bytes + 400 + more;
            let (mut parallel, mut plain) = (Audit::new(vec![]), Audit::new(vec![]));
            for (i, (lines, last, partitions)) in files.iter().enumerate() {
                // The file may end within a line.
                let bytes = lines.iter().map(|line| format!("{line}\n")).collect::<String>() + last;
                let (bytes, path) = (bytes.as_bytes(), PathBuf::from(i.to_string()));
                let partitions = Some(*partitions).filter(|&n| n > 0);
                parallel.next_file(partitions);
                plain.next_file(partitions);
                audit_file(Blocks::sized(bytes, block_bytes, max_line_bytes), workers, &path, &mut parallel).unwrap();
                audit_plainly(bytes, max_line_bytes, &path, &mut plain);
            }
            prop_assert_eq!(parallel.finish(), plain.finish());
        }
    }
}
