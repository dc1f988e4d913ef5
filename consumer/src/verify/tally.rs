//! What the lines of a block say, by themselves: all that can be known of them without those before.

use super::blocks::{Block, Line};
use super::names::Names;
use super::summary::{SHOWN_MALFORMED, shown};
use common::decode::{Event, decode};
use common::level::Level;

/// Made to be filled again and again.
#[derive(Debug, Default)]
pub struct Tally {
    /// Lines of any kind.
    pub lines: u64,
    /// Events by level.
    pub levels: [u64; Level::ALL.len()],
    /// Events without producer and number.
    pub without_identity: u64,
    /// Who sent the others.
    pub producers: Names,
    /// And their numbers in the order of the lines, each behind its producer's index.
    pub numbers: Vec<(usize, u64)>,
    /// Lines that are not events.
    pub malformed: u64,
    /// The first of those: the line, from 0, and what is wrong.
    pub malformed_shown: Vec<(u64, String)>,
    /// The first line is what `--file-format text` writes.
    pub begins_as_text: bool,
}

impl Tally {
    /// Looks at every line, in place of what was seen before.
    pub fn fill(&mut self, block: &Block) {
        self.clear();
        for line in block.lines() {
            self.line(&line);
        }
    }

    /// Looks at one more line.
    pub fn line(&mut self, line: &Line<'_>) {
        match *line {
            Line::Whole(text) => match decode(text) {
                Ok(event) => self.event(&event),
                Err(reject) => self.malformed(text, &reject),
            },
            Line::Torn(text) => self.malformed(text, &"the last line has no newline"),
            Line::TooLong(text) => self.malformed(text, &"the line is longer than any event"),
        }
        self.lines += 1;
    }

    /// Counts an event.
    pub fn event(&mut self, event: &Event<'_>) {
        self.levels[event.level as usize] += 1;
        match (event.producer.as_deref(), event.seq) {
            (Some(producer), Some(seq)) => self.numbers.push((self.producers.index(producer), seq)),
            _ => self.without_identity += 1,
        }
    }

    fn malformed(&mut self, text: &[u8], reason: &dyn std::fmt::Display) {
        self.malformed += 1;
        if self.malformed_shown.len() < SHOWN_MALFORMED {
            let beginning = String::from_utf8_lossy(&text[..text.len().min(400)]);
            self.malformed_shown.push((self.lines, format!("{reason}: {}", shown(&beginning, 80))));
        }
        self.begins_as_text |= self.lines == 0 && is_text_format(text);
    }

    /// As new, but what is allocated is kept.
    fn clear(&mut self) {
        let Tally { mut producers, mut numbers, .. } = std::mem::take(self);
        producers.clear();
        numbers.clear();
        *self = Tally { producers, numbers, ..Tally::default() };
    }
}

/// Whether a line is `timestamp LEVEL service message`.
fn is_text_format(line: &[u8]) -> bool {
    let mut words = line.splitn(3, |&b| b == b' ');
    let timestamp = words.next().is_some_and(|word| word.len() == 27 && word.ends_with(b"Z"));
    let level = words.next().and_then(|word| std::str::from_utf8(word).ok()).and_then(Level::from_name);
    timestamp && level.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.line(&Line::Whole(line.as_bytes())));
        tally
    }

    #[test]
    fn events_are_counted_and_numbered() {
        let mut tally = tally(&[
            r#"{"level":"WARN","producer":"p","seq":7,"message":"m"}"#,
            r#"{"producer":"q","seq":7,"message":"m"}"#,
            r#"{"producer":"p","seq":3,"message":"m"}"#,
            r#"{"producer":"p","message":"m"}"#,
        ]);
        assert_eq!((tally.lines, tally.malformed, tally.without_identity), (4, 0, 1));
        assert_eq!((tally.levels[Level::Info as usize], tally.levels[Level::Warn as usize]), (3, 1));
        assert_eq!(tally.producers.iter().collect::<Vec<_>>(), ["p", "q"]);
        assert_eq!(tally.numbers, [(0, 7), (1, 7), (0, 3)]);

        tally.fill(&Block::default());
        assert_eq!((tally.lines, tally.levels, tally.numbers.len()), (0, [0; 6], 0));
        assert_eq!(tally.producers.iter().count(), 0);
    }

    #[test]
    fn the_first_malformed_lines_are_described() {
        let mut tally = tally(&["", r#"{"message":"m"}"#, "[1]", "x", "x", "x", "x"]);
        tally.line(&Line::Torn(b"{"));
        assert_eq!((tally.lines, tally.malformed), (8, 7));
        let shown: Vec<_> = tally.malformed_shown.iter().map(|(line, what)| (*line, what.as_str())).collect();
        assert_eq!(shown.len(), SHOWN_MALFORMED);
        assert_eq!(shown[..2], [(0, "the payload is empty: "), (2, "the payload is not a JSON object: [1]")]);
    }

    #[test]
    fn text_format_is_seen_in_the_first_line() {
        let text = "2026-11-22T07:12:19.267847Z WARN auth slow login";
        assert!(tally(&[text, ""]).begins_as_text);
        assert!(!tally(&["", text]).begins_as_text);
    }
}
