//! The verdict, for people and as JSON.

use common::decode::{forges, harmless};
use common::level::Level;
use common::units::{format_counted, format_grouped, format_size};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};
use std::fmt;

/// Malformed lines that are shown; all are counted.
pub(super) const SHOWN_MALFORMED: usize = 5;

/// Producers that are listed for people; all count.
const SHOWN_PRODUCERS: usize = 50;

/// What all files hold together.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Summary {
    /// Files read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Lines that are events.
    pub events: u64,
    /// Events without producer and number: nothing can be said of them.
    pub without_identity: u64,
    /// Lines that are not.
    pub malformed: u64,
    /// The first of those: file, line and what is wrong.
    pub malformed_shown: Vec<String>,
    /// Events by level.
    pub levels: [u64; Level::ALL.len()],
    /// By name.
    pub producers: Vec<ProducerSummary>,
}

/// What the files hold of one producer.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ProducerSummary {
    /// The producer's run.
    pub producer: String,
    /// Whether a report says what was acknowledged. Without one, what is missing at the ends can't be known.
    pub reported: bool,
    /// Lowest number in the files.
    pub first: Option<u64>,
    /// Highest number in the files.
    pub last: Option<u64>,
    /// Different numbers in the files.
    pub unique: u64,
    /// Acknowledged events that kept an identity of their own (shipped JSON lines): they can't be told apart here.
    pub unnumbered: u64,
    /// Numbers that must be there and are not.
    pub lost: u64,
    /// The first of those, as ranges.
    pub lost_ranges: Vec<(u64, u64)>,
    /// Events beyond the first of each number.
    pub doubled: u64,
    /// The first of those numbers, as ranges.
    pub doubled_ranges: Vec<(u64, u64)>,
    /// Events that prove a changed order within a partition.
    pub reordered: u64,
    /// The fewest ascending sequences that a file can be made of: no more than it has partitions.
    pub sequences: usize,
}

impl Summary {
    /// Something there, nothing lost, nothing doubled, no line that isn't an event.
    pub fn is_ok(&self) -> bool {
        let anything = self.events > 0 || self.producers.iter().any(|producer| producer.reported);
        anything && self.lost() == 0 && self.total(|p| p.doubled) == 0 && self.malformed == 0
    }

    /// Numbers of all producers that must be there and are not.
    pub fn lost(&self) -> u64 {
        self.total(|p| p.lost)
    }

    fn total(&self, of: impl Fn(&ProducerSummary) -> u64) -> u64 {
        self.producers.iter().map(of).fold(0, u64::saturating_add)
    }

    /// One line that says it all.
    fn verdict(&self) -> String {
        let counts =
            [(self.lost(), "lost"), (self.total(|p| p.doubled), "doubled"), (self.malformed, "malformed")];
        let reordered = match self.total(|p| p.reordered) {
            0 => String::new(),
            n => format!(" ({} reordered)", format_grouped(n)),
        };
        if self.is_ok() {
            let unchecked = if self.producers.is_empty() { ": no event says who sent it" } else { "" };
            return format!("OK: nothing lost, nothing doubled{reordered}{unchecked}");
        }
        if counts.iter().all(|(n, _)| *n == 0) {
            return "FAILED: no event to verify".to_owned();
        }
        let bad =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", format_grouped(*n)));
        format!("FAILED: {}{reordered}", bad.collect::<Vec<_>>().join(", "))
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Levels<'a>(&'a [u64; Level::ALL.len()]);
        impl Serialize for Levels<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                for (level, count) in Level::ALL.iter().zip(self.0) {
                    map.serialize_entry(level.as_str(), count)?;
                }
                map.end()
            }
        }
        let mut object = serializer.serialize_struct("Summary", 12)?;
        object.serialize_field("ok", &self.is_ok())?;
        object.serialize_field("verdict", &self.verdict())?;
        object.serialize_field("files", &self.files)?;
        object.serialize_field("bytes", &self.bytes)?;
        object.serialize_field("events", &self.events)?;
        object.serialize_field("unique", &self.total(|p| p.unique))?;
        object.serialize_field("lost", &self.lost())?;
        object.serialize_field("doubled", &self.total(|p| p.doubled))?;
        object.serialize_field("reordered", &self.total(|p| p.reordered))?;
        object.serialize_field("without_identity", &self.without_identity)?;
        object.serialize_field("malformed", &self.malformed)?;
        object.serialize_field("malformed_shown", &self.malformed_shown)?;
        object.serialize_field("levels", &Levels(&self.levels))?;
        object.serialize_field("producers", &self.producers)?;
        object.end()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const COLUMNS: [&str; 8] =
            ["producer", "first", "last", "events", "lost", "doubled", "reordered", "sequences"];
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), format_grouped);
        let row = |p: &ProducerSummary| {
            let name = shown(&p.producer, 40);
            let counts = [p.first, p.last, Some(p.unique.saturating_add(p.doubled)), Some(p.lost)];
            let order = [Some(p.doubled), Some(p.reordered), Some(p.sequences as u64)];
            std::iter::once(name).chain(counts.into_iter().chain(order).map(number)).collect::<Vec<_>>()
        };
        let mut table = vec![COLUMNS.map(str::to_owned).to_vec()];
        table.extend(self.producers.iter().take(SHOWN_PRODUCERS).map(row));
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
        for row in &table {
            write!(f, "{:<width$}", row[0], width = widths[0])?;
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        if self.producers.len() > SHOWN_PRODUCERS {
            writeln!(
                f,
                "… and {} producers more (--json lists all)",
                self.producers.len() - SHOWN_PRODUCERS
            )?;
        }
        writeln!(f)?;
        for p in self.producers.iter().filter(|p| p.lost > 0 || p.doubled > 0).take(SHOWN_PRODUCERS) {
            for (what, ranges, of) in
                [("lost", &p.lost_ranges, p.lost), ("doubled", &p.doubled_ranges, p.doubled)]
            {
                if of > 0 {
                    writeln!(f, "{what} of {}: {}", shown(&p.producer, 40), numbers(ranges, of))?;
                }
            }
        }
        for line in &self.malformed_shown {
            // With the name of a file.
            writeln!(f, "malformed: {}", harmless(line))?;
        }
        if self.malformed > self.malformed_shown.len() as u64 {
            writeln!(
                f,
                "malformed: … and {} lines more",
                format_grouped(self.malformed - self.malformed_shown.len() as u64)
            )?;
        }
        for p in self.producers.iter().filter(|p| p.unnumbered > 0).take(SHOWN_PRODUCERS) {
            writeln!(
                f,
                "not checked of {}: {} acknowledged events that kept an identity of their own",
                shown(&p.producer, 40),
                format_grouped(p.unnumbered)
            )?;
        }
        let mut unreported = self.producers.iter().filter(|p| !p.reported);
        if let Some(first) = unreported.next() {
            let others = unreported.count();
            writeln!(
                f,
                "no report on {}{}: what is missing before a first and behind a last event can't be known (--report)",
                shown(&first.producer, 40),
                if others > 0 { format!(" and {others} other producers") } else { String::new() }
            )?;
        }
        let levels = Level::ALL.iter().zip(self.levels).filter(|(_, n)| *n > 0);
        let levels: Vec<_> = levels.map(|(level, n)| format!("{level} {}", format_grouped(n))).collect();
        writeln!(f, "levels: {}", if levels.is_empty() { "-".to_owned() } else { levels.join("  ") })?;
        writeln!(
            f,
            "total: {} in {} of {}, {} without identity, {} malformed",
            format_counted(self.events, "event"),
            format_size(self.bytes),
            format_counted(self.files, "file"),
            format_grouped(self.without_identity),
            format_grouped(self.malformed)
        )?;
        writeln!(f, "{}", self.verdict())
    }
}

/// `3, 10–20, …`: so many of them as are named.
fn numbers(ranges: &[(u64, u64)], of: u64) -> String {
    let mut named = 0_u64;
    let mut texts = Vec::new();
    for &(from, to) in ranges {
        named = named.saturating_add((to - from).saturating_add(1));
        texts.push(match from == to {
            true => format_grouped(from),
            false => format!("{}–{}", format_grouped(from), format_grouped(to)),
        });
    }
    texts.join(", ") + if named < of { ", …" } else { "" }
}

/// Text of somebody's making, safe to print on one line.
pub(super) fn shown(text: &str, length: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(length) {
        match forges(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    if text.chars().nth(length).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(name: &str) -> ProducerSummary {
        ProducerSummary {
            producer: name.to_owned(),
            reported: true,
            first: Some(1),
            last: Some(1_234_567),
            unique: 1_234_567,
            unnumbered: 0,
            lost: 0,
            lost_ranges: vec![],
            doubled: 0,
            doubled_ranges: vec![],
            reordered: 0,
            sequences: 3,
        }
    }

    #[test]
    fn good() {
        let summary =
            Summary { files: 1, events: 1_234_567, producers: vec![producer("p")], ..Summary::default() };
        assert!(summary.is_ok());
        let text = summary.to_string();
        assert!(text.starts_with("producer  first       last     events  lost"), "{text}");
        assert!(text.contains("p             1  1,234,567  1,234,567     0"), "{text}");
        assert!(text.ends_with("\nOK: nothing lost, nothing doubled\n"), "{text}");
    }

    #[test]
    fn each_failing_alone_is_enough() {
        let with = |change: fn(&mut Summary)| {
            let mut summary = Summary { producers: vec![producer("p")], ..Summary::default() };
            change(&mut summary);
            (summary.is_ok(), summary.verdict())
        };
        assert_eq!(with(|s| s.producers[0].lost = 2), (false, "FAILED: 2 lost".to_owned()));
        assert_eq!(with(|s| s.producers[0].doubled = 1000), (false, "FAILED: 1,000 doubled".to_owned()));
        assert_eq!(with(|s| s.malformed = 1), (false, "FAILED: 1 malformed".to_owned()));
        assert_eq!(with(|s| s.producers.clear()), (false, "FAILED: no event to verify".to_owned()));
        assert_eq!(
            with(|s| s.producers[0].reordered = 7),
            (true, "OK: nothing lost, nothing doubled (7 reordered)".to_owned())
        );
    }

    #[test]
    fn numbers_are_named_as_far_as_they_are_known() {
        assert_eq!(numbers(&[(3, 3), (1_000, 1_019)], 21), "3, 1,000–1,019");
        assert_eq!(numbers(&[(3, 3)], 2), "3, …");
    }

    #[test]
    fn json_says_the_same() {
        let mut summary = Summary { producers: vec![producer("p")], ..Summary::default() };
        summary.producers[0].lost = 2;
        summary.producers[0].lost_ranges = vec![(3, 4)];
        summary.levels[Level::Warn as usize] = 9;
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!((&json["ok"], &json["lost"]), (&false.into(), &2.into()));
        assert_eq!(json["levels"]["WARN"], 9);
        assert_eq!(json["producers"][0]["lost_ranges"], serde_json::json!([[3, 4]]));
    }

    #[test]
    fn names_can_not_forge_the_output() {
        let malformed_shown = vec!["a\r\nOK\u{1b}[2J\u{202e}:1: the payload is empty: ".to_owned()];
        let text = Summary { malformed: 1, malformed_shown, ..Summary::default() }.to_string();
        assert!(text.contains(r"malformed: a\r\nOK\u001b[2J\u202e:1: the payload"), "{text}");
        assert!(!text.contains(|c| c != '\n' && forges(c)), "{text:?}");
        assert_eq!(shown("{\"é\"}", 40), "{\"é\"}");
        assert_eq!(shown("a\nOK\u{1b}[2J", 40), "a\\nOK\\u{1b}[2J");
        assert_eq!(shown("abcdef", 3), "abc…");
    }
}
