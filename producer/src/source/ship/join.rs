//! Continuation lines, such as stack traces, joined to the event they belong to.
//!
//! A line opens an event unless it continues the one before it. It continues when it has no time of its own and
//! is indented, is `Caused by: …`, `Suppressed: …`, `at …(…)` or `... 12 more`, or is an exception's name or a
//! `Traceback` below an event that has a time or level; and within a Python traceback when it is the line that
//! closes it (`ValueError: x` below an indented one) or announces the next. Blank lines count as text only
//! between lines that are joined.
//!
//! Bounded: what exceeds [`Limits`] is cut and counted. Time comes in as an argument.

use chrono::{DateTime, TimeDelta, Utc};

/// Largest joined event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Lines, blank ones among them.
    pub(super) lines: usize,
    /// Bytes of text.
    pub(super) bytes: usize,
}

/// Joins the lines of one stream; `H` is what the caller knows of an event's first line.
#[derive(Debug)]
pub(super) struct Joiner<H> {
    limits: Limits,
    open: Option<Open<H>>,
}

/// An event, complete.
#[derive(Debug, PartialEq)]
pub(super) struct Joined<H> {
    /// What the caller gave with the first line.
    pub(super) head: H,
    /// All lines, with `\n` between them.
    pub(super) text: String,
    /// Bytes of text that were let go.
    pub(super) cut: u64,
}

/// How sure it is that a line is an event of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// It has a time: it always opens an event.
    Timed,
    /// It has a level: a trace below it is its own.
    Levelled,
    /// Nothing was recognised.
    Plain,
}

#[derive(Debug)]
struct Open<H> {
    joined: Joined<H>,
    opening: Opening,
    lines: usize,
    /// Blank lines since the last text: joined only if text follows that is.
    blank: usize,
    last_indented: bool,
    traceback: bool,
    last_read: DateTime<Utc>,
}

impl<H> Joiner<H> {
    pub(super) fn new(limits: Limits) -> Joiner<H> {
        Joiner { limits, open: None }
    }

    /// True when `line` belongs to the open event.
    pub(super) fn continues(&self, line: &str, opening: Opening) -> bool {
        let Some(open) = &self.open else { return false };
        match opening {
            Opening::Timed => false,
            Opening::Levelled => is_indented(line) || (is_traceback(line) && open.opening != Opening::Plain),
            Opening::Plain => {
                is_indented(line)
                    || is_java_trace(line)
                    || (open.opening != Opening::Plain && (is_exception(line) || is_traceback(line)))
                    || (open.traceback && (open.last_indented || announces_traceback(line)))
            }
        }
    }

    /// Adds a line that [continues](Joiner::continues) the open event. `cut`: its bytes already let go.
    pub(super) fn add(&mut self, line: &str, cut: u64, now: DateTime<Utc>) {
        let limits = self.limits;
        let Some(open) = &mut self.open else { return };
        for _ in 0..std::mem::take(&mut open.blank) {
            open.append("", limits);
        }
        open.append(line, limits);
        open.joined.cut += cut;
        open.note(line);
        open.last_read = now;
    }

    /// Opens an event with `line`; the one before it is complete. `cut`: bytes of the line already let go.
    pub(super) fn open(
        &mut self,
        head: H,
        line: &str,
        opening: Opening,
        cut: u64,
        now: DateTime<Utc>,
    ) -> Option<Joined<H>> {
        let kept = line.floor_char_boundary(self.limits.bytes);
        let joined = Joined { head, text: line[..kept].to_owned(), cut: cut + (line.len() - kept) as u64 };
        let mut open = Open {
            joined,
            opening,
            lines: 1,
            blank: 0,
            last_indented: false,
            traceback: false,
            last_read: now,
        };
        open.note(line);
        self.open.replace(open).map(|open| open.joined)
    }

    /// Notes a blank line.
    pub(super) fn blank(&mut self) {
        if let Some(open) = &mut self.open {
            open.blank = (open.blank + 1).min(self.limits.lines);
        }
    }

    /// Gives the open event up: nothing more will come, or what comes does not belong to it.
    pub(super) fn release(&mut self) -> Option<Joined<H>> {
        self.open.take().map(|open| open.joined)
    }

    /// Gives the open event up if nothing was added to it for `idle`.
    pub(super) fn release_idle(&mut self, now: DateTime<Utc>, idle: TimeDelta) -> Option<Joined<H>> {
        // `abs`: a clock set back must not hold an event.
        self.open.take_if(|open| (now - open.last_read).abs() >= idle).map(|open| open.joined)
    }
}

impl<H> Open<H> {
    fn append(&mut self, line: &str, limits: Limits) {
        let joined = &mut self.joined;
        let room = limits.bytes.saturating_sub(joined.text.len() + 1);
        // Once something was cut nothing is added: the text is a beginning, not a selection.
        if joined.cut > 0 || self.lines >= limits.lines || room == 0 {
            joined.cut += line.len() as u64 + 1;
            return;
        }
        let kept = line.floor_char_boundary(room);
        joined.text.push('\n');
        joined.text.push_str(&line[..kept]);
        joined.cut += (line.len() - kept) as u64;
        self.lines += 1;
    }

    fn note(&mut self, line: &str) {
        self.last_indented = is_indented(line);
        self.traceback |= is_traceback(line);
    }
}

fn is_indented(line: &str) -> bool {
    line.starts_with([' ', '\t'])
}

fn is_traceback(line: &str) -> bool {
    line.starts_with("Traceback (most recent call last):")
}

fn announces_traceback(line: &str) -> bool {
    is_traceback(line)
        || line.starts_with("During handling of the above exception, another exception occurred:")
        || line.starts_with("The above exception was the direct cause of the following exception:")
}

/// The lines of a Java trace, where a logger took their indent away.
fn is_java_trace(line: &str) -> bool {
    line.starts_with("Caused by: ")
        || line.starts_with("Suppressed: ")
        || (line.starts_with("at ") && line.ends_with(')'))
        || (line.starts_with("... ") && line.ends_with(" more"))
}

/// `java.lang.IllegalStateException: text`: a dotted name that ends as those of exceptions do.
fn is_exception(line: &str) -> bool {
    let name = line.split([':', ' ']).next().unwrap_or(line);
    name.contains('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._$".contains(&b))
        && ["Exception", "Error", "Throwable"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn opening(line: &str) -> Opening {
        match line.as_bytes().first() {
            Some(b'0'..=b'9') => Opening::Timed,
            _ if line.starts_with("ERROR") || is_traceback(line) => Opening::Levelled,
            _ => Opening::Plain,
        }
    }

    fn join_within(limits: Limits, text: &str) -> Vec<(String, u64)> {
        let mut joiner = Joiner::new(limits);
        let mut events = Vec::new();
        for line in text.lines() {
            if line.trim().is_empty() {
                joiner.blank();
            } else if joiner.continues(line, opening(line)) {
                joiner.add(line, 0, START);
            } else {
                events.extend(joiner.open((), line, opening(line), 0, START));
            }
        }
        events.extend(joiner.release());
        events.into_iter().map(|event| (event.text, event.cut)).collect()
    }

    /// `===` stands between the events that a text should give.
    #[track_caller]
    fn check(text: &str) {
        let expected: Vec<&str> = text.split("\n===\n").collect();
        let events = join_within(Limits { lines: 1000, bytes: 1 << 20 }, &text.replace("\n===\n", "\n"));
        let texts: Vec<&str> = events.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_java_trace_is_one_event() {
        check(
            "1 INFO before\n===\n\
             2 ERROR [main] c.e.App - failed\n\
             java.lang.IllegalStateException: boom\n\
             \tat com.example.App.run(App.java:12)\n\
             \tSuppressed: java.io.IOException: close\n\
             \t\tat com.example.Res.close(Res.java:3)\n\
             Caused by: java.io.IOException: disk full\n\
             \tat com.example.Disk.write(Disk.java:7)\n\
             \t... 12 more\n===\n\
             3 INFO after\n===\n\
             4 ERROR stripped of its indent\n\
             org.example.StorageException\n\
             at com.example.Disk.write(Disk.java:7)\n\
             ... 12 more",
        );
    }

    #[test]
    fn a_python_traceback_is_one_event() {
        check(
            "1 ERROR request failed\n\
             Traceback (most recent call last):\n  File \"app.py\", line 3, in run\n    call()\n\
             KeyError: 'id'\n\
             \n\
             During handling of the above exception, another exception occurred:\n\
             \n\
             Traceback (most recent call last):\n  File \"app.py\", line 5, in run\n    fail()\n\
             ValueError: no id\n===\n\
             2 INFO next",
        );
    }

    #[test]
    fn a_traceback_below_text_that_no_logger_wrote_is_its_own_event() {
        check(
            "starting up\n===\n\
             Traceback (most recent call last):\n  File \"app.py\", line 3, in run\n    call()\n\
             ValueError: x\n===\n\
             starting up again",
        );
    }

    #[test]
    fn unindented_text_is_an_event_and_blank_lines_are_none() {
        check("one\n===\ntwo\n===\n1 three\n===\nfour.py is text\n===\njava.lang.Error: not below an event");
        let events = join_within(Limits { lines: 9, bytes: 99 }, "\n\n1 a\n\n  b\n\n\n2 c\n\n");
        assert_eq!(events, [("1 a\n\n  b".to_owned(), 0), ("2 c".to_owned(), 0)]);
    }

    #[test]
    fn an_indented_line_with_a_time_or_with_nothing_before_it_opens_an_event() {
        let mut joiner = Joiner::new(Limits { lines: 9, bytes: 99 });
        assert!(!joiner.continues("  first", Opening::Plain));
        joiner.open((), "  first", Opening::Plain, 0, START);
        assert!(joiner.continues("  second", Opening::Plain));
        assert!(!joiner.continues("  2026-11-22 timed", Opening::Timed));
    }

    #[test]
    fn what_exceeds_the_limits_is_cut_and_counted() {
        let by_lines = join_within(Limits { lines: 2, bytes: 99 }, "1 a\n b\n c\n d");
        assert_eq!(by_lines, [("1 a\n b".to_owned(), 6)]);
        let by_bytes = join_within(Limits { lines: 9, bytes: 7 }, "1 a\n bcd\n e");
        assert_eq!(by_bytes, [("1 a\n bc".to_owned(), 4)]);
        let in_a_character = join_within(Limits { lines: 9, bytes: 6 }, "1 a\n ßß");
        assert_eq!(in_a_character, [("1 a\n ".to_owned(), 4)]);
    }

    #[test]
    fn an_event_that_is_waiting_is_released_when_idle() {
        let idle = TimeDelta::milliseconds(250);
        let mut joiner = Joiner::new(Limits { lines: 9, bytes: 99 });
        joiner.open((), "1 a", Opening::Timed, 0, START);
        joiner.add(" b", 0, START + idle);
        assert_eq!(joiner.release_idle(START + idle + idle / 2, idle), None);
        let released = joiner.release_idle(START + idle + idle, idle).map(|joined| joined.text);
        assert_eq!(released.as_deref(), Some("1 a\n b"));
        assert_eq!(joiner.release_idle(START + idle * 9, idle), None);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(lines in prop::collection::vec("[ \t1]?[a-zß:.]{1,8}", 0..30), limit in 8usize..60) {
            let text = lines.join("\n");
            let events = join_within(Limits { lines: 5, bytes: limit }, &text);
            let bytes: usize = events.iter().map(|(text, cut)| text.len() + *cut as usize).sum();
            prop_assert_eq!(bytes + events.len().saturating_sub(1), text.len());
            for (event, _) in &events {
                prop_assert!(event.len() <= limit);
                prop_assert!(event.lines().count() <= 5);
            }
        }
    }
}
