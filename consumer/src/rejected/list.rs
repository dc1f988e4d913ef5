//! `consumer rejected list`: how many wait, why, and what they look like.

use super::Which;
use super::mended::Line;
use super::reader::{Reader, Record, Rejected, Sources};
use common::decode::harmless;
use common::shutdown::Shutdown;
use common::units::format_grouped;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind::BrokenPipe;
use std::io::{self, StdoutLock, Write as _};

/// Of a payload, so much is an example: what fits into a line of a terminal.
const EXAMPLE_CHARS: usize = 60;

const EXAMPLES: &str = "\
Examples:
  consumer rejected list                          how many wait, and why
  consumer rejected list --json > rejected.jsonl  all that wait, a line each, to be mended

To mend an event change its 'payload', and leave the rest of the line. One that is no text stands as 'payload_base64': \
give it a 'payload' instead, or other Base64.

Exit codes: 0 done; 1 failed, or ended by a signal; 2 impossible configuration; 130 ended at once by a second signal.";

/// Flags of `consumer rejected list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub(super) which: Which,

    /// Print every event that waits, a line of JSON each
    #[arg(long)]
    json: bool,
}

/// Those of one reason.
#[derive(Debug, Default)]
struct Group {
    waiting: u64,
    replayed: u64,
    example: Option<String>,
}

/// Reads the topic and prints.
///
/// # Errors
/// When the topic can't be read.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    let shutdown = Shutdown::on_signals()?;
    let shown = show(args, &shutdown);
    let kind = shown.as_ref().err().and_then(|problem| Some(problem.downcast_ref::<io::Error>()?.kind()));
    if kind == Some(BrokenPipe) {
        // Who reads has seen enough, as `head` has.
        return Ok(true);
    }
    shown.map(|()| !shutdown.requested())
}

fn show(args: &Args, shutdown: &Shutdown) -> anyhow::Result<()> {
    let reader = Reader::connect(&args.which)?;
    let replayed = reader.receipts(shutdown)?;
    let (mut groups, mut seen) = (BTreeMap::<String, Group>::new(), Sources::default());
    let mut out = std::io::stdout().lock();
    reader.each("listing", shutdown, |record| {
        let Record::Rejected(rejected) = record else { return Ok(()) };
        if !args.which.want(&rejected) || !seen.insert(&rejected.source) {
            return Ok(());
        }
        let group = match groups.get_mut(rejected.reason) {
            Some(group) => group,
            None => groups.entry(rejected.reason.to_owned()).or_default(),
        };
        if replayed.contains(&rejected.source) {
            group.replayed += 1;
            return Ok(());
        }
        group.waiting += 1;
        if args.json {
            return Ok(print(&mut out, &Line::of(&rejected))?);
        }
        group.example = Some(example(&rejected));
        Ok(())
    })?;
    if !args.json && !shutdown.requested() {
        out.write_all(table(&groups).as_bytes())?;
    }
    Ok(())
}

fn print(out: &mut StdoutLock<'_>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Its place and the beginning of its bytes, without anything that a terminal would obey: whoever may write to the topic
/// makes up its headers, too.
fn example(rejected: &Rejected<'_>) -> String {
    let payload = rejected.payload.unwrap_or_default();
    let start = &payload[..payload.len().min(4 * EXAMPLE_CHARS)];
    let text = String::from_utf8_lossy(start);
    let text = harmless(&text);
    let mut example = format!("{}  ", harmless(&rejected.source.to_string()));
    match text.char_indices().nth(EXAMPLE_CHARS) {
        Some((end, _)) => example.extend([&text[..end], "…"]),
        None => example.push_str(&text),
    }
    example
}

fn table(groups: &BTreeMap<String, Group>) -> String {
    let mut text = String::new();
    if groups.is_empty() {
        return "no event was rejected\n".to_owned();
    }
    let mut row = |reason: &str, waiting: &str, replayed: &str, example: &str| {
        let row = format!("{reason:<16}{waiting:>10}{replayed:>13}  {example}");
        writeln!(text, "{}", row.trim_end()).expect("a string takes everything");
    };
    row("reason", "waiting", "brought back", "the newest that waits");
    for (reason, Group { waiting, replayed, example }) in groups {
        let example = example.as_deref().unwrap_or_default();
        row(&harmless(reason), &format_grouped(*waiting), &format_grouped(*replayed), example);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::dead_letter::source::Source;

    #[test]
    fn an_example_is_harmless_and_short() {
        let example = |payload: &[u8]| {
            example(&Rejected {
                source: Source { partition: 2, ..Source::of_test(5) },
                reason: "x",
                payload: Some(payload),
                key: None,
                cut_from: None,
            })
        };
        assert_eq!(example(b"\x1b[2J\"gone\"\r\n"), "logs/2@5  \\u001b[2J\"gone\"\\r\\n");
        assert_eq!(example(&[b'x'; 500]), format!("logs/2@5  {}…", "x".repeat(60)));
        assert_eq!(example(b"\xff\xfe"), "logs/2@5  \u{fffd}\u{fffd}");
    }

    #[test]
    fn made_up_headers_are_harmless() {
        let topic = "\x1b[2J\u{9b}\u{202e}".to_owned();
        let source = Source { topic, ..Source::of_test(5) };
        let example = example(&Rejected { source, reason: "x", payload: None, key: None, cut_from: None });
        assert_eq!(example, "\\u001b[2J\\u009b\\u202e/0@5  ");
        let table = table(&BTreeMap::from([("\x1b\n\u{7f}".to_owned(), Group::default())]));
        assert!(table.contains(r"\u001b\n\u007f ") && table.lines().count() == 2, "{table}");
    }

    #[test]
    fn the_table_has_a_row_a_reason() {
        let group = Group { waiting: 1_200, replayed: 3, example: Some("logs/0@1  {".to_owned()) };
        let groups = BTreeMap::from([("invalid_json".to_owned(), group)]);
        let expected = "reason             waiting brought back  the newest that waits\n\
                        invalid_json         1,200            3  logs/0@1  {\n";
        assert_eq!(table(&groups), expected);
        assert_eq!(table(&BTreeMap::new()), "no event was rejected\n");
    }
}
