//! `consumer rejected replay`: events that can be understood by now go through the topic of the log events once more.

use super::journey::Journey;
use super::reader::{Reader, Record, Rejected, Sources};
use super::{Which, mended};
use crate::sink::dead_letter::source::Source;
use anyhow::{Context, bail};
use common::decode::decode_within;
use common::shutdown::Shutdown;
use common::units::{format_grouped, parse_size};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Without --mended it brings back what can be understood by now, say since --max-event-bytes was raised. \
What was brought back is not brought back again.

Examples:
  consumer rejected replay --reason too_large --max-event-bytes 4MiB
  consumer rejected list --json > rejected.jsonl   then mend each 'payload' in it, and
  consumer rejected replay --mended rejected.jsonl

Leave out of the file what stays as it is: what is in it and still refused is a failure.

Exit codes: 0 done; 1 failed, ended by a signal, or something in --mended was not brought back; \
2 impossible configuration; 130 ended at once by a second signal.";

/// Flags of `consumer rejected replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub(super) which: Which,

    /// Only the events in this file, with their payloads as they are in it: lines as 'rejected list --json' prints them
    #[arg(long, value_name = "FILE")]
    mended: Option<PathBuf>,

    /// A larger event is not brought back; as the consumers have it
    #[arg(long, env = "SLUICE_MAX_EVENT_BYTES", default_value = "1MiB", value_parser = parse_size, value_name = "SIZE")]
    max_event_bytes: u64,

    /// Say what would be brought back, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn max_event_bytes(&self) -> usize {
        usize::try_from(self.max_event_bytes).unwrap_or(usize::MAX)
    }
}

/// What became of the events.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Brought back now, or would be.
    replayed: u64,
    /// Brought back before.
    before: u64,
    /// Only their beginning is kept.
    cut: u64,
    /// Still refused, by the reason.
    refused: BTreeMap<&'static str, u64>,
    /// Mended, but no such event is in the topic.
    unknown: u64,
    dry_run: bool,
}

/// Brings back what can be.
///
/// # Errors
/// When Kafka refuses, or the file of mended events is none.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    let shutdown = Shutdown::on_signals()?;
    let mended = args.mended.as_ref().map(|path| {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        mended::read(BufReader::new(file)).with_context(|| path.display().to_string())
    });
    let mended = mended.transpose()?;
    let reader = Reader::connect(&args.which)?;
    // Before anything is read: from now on nobody else can commit.
    let mut journey = if args.dry_run { None } else { Some(Journey::start(&args.which)?) };
    let replayed = reader.receipts(&shutdown)?;
    let mut sorter = Sorter {
        which: &args.which,
        max_event_bytes: args.max_event_bytes(),
        mended,
        replayed,
        seen: Sources::default(),
        outcome: Outcome { dry_run: args.dry_run, ..Outcome::default() },
    };
    let read = reader.each("bringing back", &shutdown, |record| {
        if let Record::Rejected(rejected) = record
            && let Some(payload) = sorter.sort(&rejected)
            && let Some(journey) = &mut journey
        {
            journey.send(&rejected, &payload)?;
        }
        Ok(())
    });
    match journey {
        None => read?,
        Some(mut journey) => {
            if let Err(error) = read.and_then(|()| journey.commit()) {
                journey.abort();
                let committed = format_grouped(journey.committed());
                return Err(error.context(format!(
                    "only {committed} events were brought back: call it again for the rest"
                )));
            }
        }
    }
    let outcome = sorter.finish();
    print!("{outcome}");
    if shutdown.requested() {
        bail!("ended by a signal before the end of the topic: call it again for the rest");
    }
    Ok(args.mended.is_none() || (outcome.refused.is_empty() && outcome.unknown == 0))
}

/// Decides what comes back.
struct Sorter<'a> {
    which: &'a Which,
    max_event_bytes: usize,
    mended: Option<BTreeMap<Source, Vec<u8>>>,
    replayed: Sources,
    seen: Sources,
    outcome: Outcome,
}

impl Sorter<'_> {
    /// The payload that an event comes back with, if it does.
    fn sort<'r>(&mut self, rejected: &Rejected<'r>) -> Option<Cow<'r, [u8]>> {
        if !self.which.want(rejected) || !self.seen.insert(&rejected.source) {
            return None;
        }
        let payload = match &mut self.mended {
            Some(mended) => Cow::Owned(mended.remove(&rejected.source)?),
            None => Cow::Borrowed(rejected.payload.unwrap_or_default()),
        };
        if self.replayed.contains(&rejected.source) {
            self.outcome.before += 1;
            return None;
        }
        if self.mended.is_none() && rejected.cut_from.is_some() {
            self.outcome.cut += 1;
            return None;
        }
        match decode_within(&payload, self.max_event_bytes).map(drop) {
            Ok(()) => {
                self.outcome.replayed += 1;
                Some(payload)
            }
            Err(reason) => {
                *self.outcome.refused.entry(reason.as_str()).or_default() += 1;
                None
            }
        }
    }

    fn finish(self) -> Outcome {
        Outcome { unknown: self.mended.map_or(0, |left| left.len() as u64), ..self.outcome }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, count: u64, why: &str| {
            if count == 0 { Ok(()) } else { writeln!(f, "{what:<20}{:>10}{why}", format_grouped(count)) }
        };
        let replayed = if self.dry_run { "would be brought back" } else { "brought back" };
        line("brought back before", self.before, "")?;
        line("cut", self.cut, "  only the beginning is kept, so --mended has to bring the whole")?;
        for (reason, &count) in &self.refused {
            line("still refused", count, &format!("  {reason}"))?;
        }
        line("unknown", self.unknown, "  in --mended, and not in the topic of the rejected")?;
        writeln!(f, "{replayed:<20}{:>10}", format_grouped(self.replayed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected<'r>(offset: i64, payload: &'r [u8], cut_from: Option<&'r str>) -> Rejected<'r> {
        Rejected {
            source: Source::of_test(offset),
            reason: "invalid_json",
            payload: Some(payload),
            key: None,
            cut_from,
        }
    }

    fn sorted(mended: Option<BTreeMap<Source, Vec<u8>>>, flags: &[&str]) -> (Vec<Vec<u8>>, Outcome) {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: Args,
        }
        let args = <Cli as clap::Parser>::parse_from(["replay"].iter().chain(flags)).args;
        let mut replayed = Sources::default();
        replayed.insert(&Source::of_test(2));
        let seen = Sources::default();
        let (which, max_event_bytes, outcome) = (&args.which, args.max_event_bytes(), Outcome::default());
        let mut sorter = Sorter { which, max_event_bytes, mended, replayed, seen, outcome };
        let good = br#"{"message":"m"}"#;
        let all = [
            rejected(1, good, None),
            rejected(1, good, None),
            rejected(2, good, None),
            rejected(3, b"{", None),
            rejected(4, good, Some("9000000")),
            rejected(5, &[b'x'; 100], None),
        ];
        let back = all.iter().filter_map(|rejected| sorter.sort(rejected)).map(Cow::into_owned).collect();
        (back, sorter.finish())
    }

    #[test]
    fn what_can_be_understood_comes_back_once() {
        let (back, outcome) = sorted(None, &["--max-event-bytes", "50"]);
        assert_eq!(back, [br#"{"message":"m"}"#.to_vec()]);
        let refused = BTreeMap::from([("invalid_json", 1), ("too_large", 1)]);
        assert_eq!(outcome, Outcome { replayed: 1, before: 1, cut: 1, refused, ..Outcome::default() });
        assert!(sorted(None, &["--reason", "empty"]).0.is_empty(), "refused for another reason");
        assert!(sorted(None, &["--topic", "other"]).0.is_empty(), "of another topic");
    }

    #[test]
    fn only_what_was_mended_comes_back() {
        let new = br#"{"message":"mended"}"#.to_vec();
        let mended = [2, 3, 4, 9].map(|offset| (Source::of_test(offset), new.clone()));
        let still = (Source::of_test(5), b"{".to_vec());
        let (back, outcome) = sorted(Some(mended.into_iter().chain([still]).collect()), &[]);
        assert_eq!(back, [new.clone(), new], "one was cut, and its whole was brought");
        let refused = BTreeMap::from([("invalid_json", 1)]);
        assert_eq!(outcome, Outcome { replayed: 2, before: 1, refused, unknown: 1, ..Outcome::default() });
        let told = outcome.to_string();
        assert!(told.contains("unknown                      1  in --mended"), "{told}");
        assert!(told.ends_with("brought back                 2\n"), "{told}");
    }
}
