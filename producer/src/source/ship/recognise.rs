//! One line of any log → what it says of its time, level, service and host, and the text that remains.
//!
//! One rule for every format: [`Recognised::message`] is a *suffix* of the line. A time, level, host or
//! program name is taken off as long as the line begins with it; the first thing that is none of them starts
//! the message, and everything behind it stays as it was. A level that is found behind other text
//! (`[main] INFO …`) counts, and stays in the message. Lines whose fields lie in the middle (access logs,
//! logfmt) keep the whole line. What was taken off and has no field of its own goes to [`Recognised::extra`].
//!
//! Linear in the length of the line, and total: any text has a result.

mod access;
mod level;
mod logfmt;
mod scan;
mod syslog;
mod time;

pub(crate) use time::{Clock, Zone};

use chrono::{DateTime, Utc};
use common::level::Level;
use scan::Scan;
use serde_json::Value;

/// What a line says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Recognised<'a> {
    /// When it was logged.
    pub(crate) timestamp: Option<DateTime<Utc>>,
    /// Severity.
    pub(crate) level: Option<Level>,
    /// Program that logged it.
    pub(crate) service: Option<&'a str>,
    /// Machine it was logged on.
    pub(crate) host: Option<&'a str>,
    /// The text that remains: a suffix of the line, never empty unless the line is.
    pub(crate) message: &'a str,
    /// Process id, syslog facility and the like: taken off the line, kept as fields.
    pub(crate) extra: Vec<(&'static str, Value)>,
}

/// Labels that stand before the time in logs of Debian's package tools; the line is kept whole.
const LABELS: [&str; 5] =
    ["Start-Date: ", "End-Date: ", "Log started: ", "Log ended: ", "update-alternatives "];

/// Reads one line, without its line end.
pub(crate) fn recognise<'a>(line: &'a str, clock: &Clock) -> Recognised<'a> {
    let text = line.strip_prefix('\u{feff}').unwrap_or(line);
    let mut found = syslog::with_priority(text, clock)
        .or_else(|| with_time(text, clock))
        .or_else(|| whole_line(text, clock))
        .unwrap_or_else(|| {
            let (level, message) = level::alone(text);
            Recognised { level, message, ..Recognised::default() }
        });
    if found.message.trim().is_empty() {
        found.message = line; // a prefix and nothing else: that is the text then
    }
    found
}

/// The line begins with a time.
fn with_time<'a>(text: &'a str, clock: &Clock) -> Option<Recognised<'a>> {
    let mut scan = Scan::new(text);
    let bracket = scan.eat_any("[(");
    let stamp = time::stamp(&mut scan, clock)?;
    let found = Recognised { timestamp: Some(stamp.time), ..Recognised::default() };
    let closed = match bracket {
        Some('[') => scan.eat(']').is_some(),
        Some(_) => scan.eat(')').is_some(),
        None => true,
    };
    if !closed {
        // `[2026-11-22 07:12:19,267: INFO/MainProcess] …`: what the bracket holds stays together.
        return Some(Recognised { level: level::among_fields(scan), message: text, ..found });
    }
    let style = if bracket.is_some() { time::Style::Plain } else { stamp.style };
    match style {
        time::Style::Glog(level) => {
            scan.skip_blanks();
            Some(Recognised { level: Some(level), message: scan.rest(), ..found })
        }
        time::Style::Syslog => Some(syslog::after_time(scan, found)),
        time::Style::Offset if level::direct(scan).0.is_none() && syslog::has_tag(scan) => {
            Some(syslog::after_time(scan, found))
        }
        time::Style::Offset | time::Style::Plain => {
            let (level, rest) = level::direct(scan);
            let level = level.or_else(|| level::among_fields(rest)).or_else(|| logfmt::level(rest.rest()));
            Some(Recognised { level, message: rest.rest(), ..found })
        }
    }
}

/// The line's fields lie in its middle: it is read, and kept whole.
fn whole_line<'a>(text: &'a str, clock: &Clock) -> Option<Recognised<'a>> {
    let (timestamp, level) = access::read(text, clock)
        .or_else(|| logfmt::read(text, clock))
        .or_else(|| redis(text, clock))
        .or_else(|| labelled(text, clock))?;
    Some(Recognised { timestamp, level, message: text, ..Recognised::default() })
}

/// Time and level of a line, where it has them.
type Fields = (Option<DateTime<Utc>>, Option<Level>);

/// Redis: `123:M 22 Nov 2026 07:12:19.267 * Ready to accept connections`.
fn redis(text: &str, clock: &Clock) -> Option<Fields> {
    let mut scan = Scan::new(text);
    scan.number(1..=10)?;
    scan.eat(':')?;
    scan.eat_any("MSXC")?;
    scan.eat(' ')?;
    let time = time::stamp(&mut scan, clock)?.time;
    scan.eat(' ')?;
    let level = match scan.eat_any(".-*#")? {
        '.' | '-' => Level::Debug,
        '*' => Level::Info,
        _ => Level::Warn,
    };
    Some((Some(time), Some(level)))
}

fn labelled(text: &str, clock: &Clock) -> Option<Fields> {
    let rest = LABELS.iter().find_map(|label| text.strip_prefix(label))?;
    Some((Some(time::stamp(&mut Scan::new(rest), clock)?.time), None))
}

#[cfg(test)]
mod tests;
