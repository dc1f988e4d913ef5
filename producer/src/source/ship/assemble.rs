//! Bytes of a stream → events: lines, what they say, which belong together. No input or output of its own.

use super::Counters;
use super::event::{Bounds, Head, ShippedLine};
use super::join::{Joined, Joiner, Limits, Opening};
use super::lines::{Line, LineSplitter};
use super::recognise::{self, Clock, Zone};
use chrono::{DateTime, TimeDelta, Utc};
use common::level::Level;
use serde_json::{Map, Value};

/// Most lines of one event.
const LINES_MAX: usize = 1_000;

/// How long an event waits for a further line. In a trace the lines come together.
const IDLE: TimeDelta = TimeDelta::milliseconds(250);

/// What holds for all streams of a run.
#[derive(Debug)]
pub(super) struct Settings {
    /// Service of every event; none: as recognised, else the stream's.
    pub(super) service: Option<String>,
    /// Host of every event; none: as recognised, else `this_host`.
    pub(super) host: Option<String>,
    /// Name of this machine.
    pub(super) this_host: String,
    /// Zone of times that name none.
    pub(super) zone: Zone,
    pub(super) bounds: Bounds,
}

/// One input's state between two chunks.
#[derive(Debug)]
pub(super) struct Stream {
    /// Service of lines that name none.
    service: Option<String>,
    /// Bytes of a line, and of an event's text, that are kept.
    limit: usize,
    splitter: LineSplitter,
    joiner: Joiner<Known>,
}

impl Stream {
    fn new(service: Option<String>, limit: usize) -> Stream {
        let limits = Limits { lines: LINES_MAX, bytes: limit };
        Stream { service, limit, splitter: LineSplitter::new(limit), joiner: Joiner::new(limits) }
    }

    /// The stream of a file that takes this one's place.
    pub(super) fn successor(&self) -> Stream {
        Stream::new(self.service.clone(), self.limit)
    }
}

/// An event's head, and where its message begins in its text.
#[derive(Debug)]
struct Known {
    head: Head,
    message_at: usize,
}

/// Makes events; one for all streams.
#[derive(Debug)]
pub(super) struct Assembler {
    settings: Settings,
    pub(super) counters: Counters,
}

impl Assembler {
    pub(super) fn new(settings: Settings) -> Assembler {
        Assembler { settings, counters: Counters::default() }
    }

    /// A stream's start. `service`: that of its lines that name none.
    pub(super) fn stream(&self, service: Option<String>) -> Stream {
        Stream::new(service, self.settings.bounds.event_bytes)
    }

    /// Takes the next bytes of a stream; complete events go to `out`.
    pub(super) fn push(
        &mut self,
        stream: &mut Stream,
        chunk: &[u8],
        now: DateTime<Utc>,
        out: &mut Vec<ShippedLine>,
    ) {
        let Stream { service, splitter, joiner, limit: _ } = stream;
        splitter.push(chunk, |line| self.line(service.as_deref(), joiner, line, now, out));
    }

    /// Nothing more comes from this stream, or what comes does not follow on: its last line is complete.
    pub(super) fn finish(&mut self, stream: &mut Stream, now: DateTime<Utc>, out: &mut Vec<ShippedLine>) {
        let Stream { service, splitter, joiner, limit: _ } = stream;
        splitter.finish(|line| self.line(service.as_deref(), joiner, line, now, out));
        self.emit(joiner.release(), out);
    }

    /// Releases the stream's event, so that those of another stream follow it.
    pub(super) fn release(&mut self, stream: &mut Stream, out: &mut Vec<ShippedLine>) {
        self.emit(stream.joiner.release(), out);
    }

    /// Releases the stream's event if it has waited long enough for a further line.
    pub(super) fn release_idle(
        &mut self,
        stream: &mut Stream,
        now: DateTime<Utc>,
        out: &mut Vec<ShippedLine>,
    ) {
        self.emit(stream.joiner.release_idle(now, IDLE), out);
    }

    fn line(
        &mut self,
        service: Option<&str>,
        joiner: &mut Joiner<Known>,
        line: Line<'_>,
        now: DateTime<Utc>,
        out: &mut Vec<ShippedLine>,
    ) {
        self.counters.lines += 1;
        let Line { bytes, cut } = whole_characters(line);
        let text = String::from_utf8_lossy(bytes);
        self.counters.invalid_utf8 += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
        if cut == 0 && text.trim().is_empty() {
            self.counters.blank += 1;
            joiner.blank();
            return;
        }
        let due = u64::try_from(now.timestamp_micros()).unwrap_or(0);
        let settings = &self.settings;
        if cut == 0 && text.starts_with('{') {
            let service = settings.service.as_deref().or(service);
            let host = settings.host.as_deref().unwrap_or(&settings.this_host);
            if let Some(event) = ShippedLine::json(&text, service, host, due, settings.bounds) {
                self.emit(joiner.release(), out);
                self.counters.events += 1;
                self.counters.json += 1;
                out.push(event);
                return;
            }
        }
        let found = recognise::recognise(&text, &Clock { now, zone: settings.zone });
        let opening = match (found.timestamp, found.level) {
            (Some(_), _) => Opening::Timed,
            (None, Some(_)) => Opening::Levelled,
            (None, None) => Opening::Plain,
        };
        if joiner.continues(&text, opening) {
            self.counters.joined += 1;
            joiner.add(&text, cut, now);
            return;
        }
        self.counters.unrecognised += u64::from(opening == Opening::Plain);
        let mut extra: Map<String, Value> =
            found.extra.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        // A name given for all events takes the place of the recognised one, which is not lost for it.
        let named = overridden(&settings.service, found.service, "program", &mut extra);
        let host = overridden(&settings.host, found.host, "origin", &mut extra);
        let head = Head {
            timestamp: found.timestamp.unwrap_or(now),
            level: found.level.unwrap_or(Level::Info),
            service: named.or_else(|| service.map(str::to_owned)),
            host: host.unwrap_or_else(|| settings.this_host.clone()),
            extra,
            due,
        };
        let message_at = text.len() - found.message.len();
        let complete = joiner.open(Known { head, message_at }, &text, opening, cut, now);
        self.emit(complete, out);
    }

    fn emit(&mut self, joined: Option<Joined<Known>>, out: &mut Vec<ShippedLine>) {
        let Some(Joined { head: Known { head, message_at }, mut text, cut }) = joined else {
            return;
        };
        // A line so long that nothing but its prefix was left keeps that.
        if text.get(message_at..).is_some_and(|message| !message.trim().is_empty()) {
            text.drain(..message_at);
        }
        let (event, cut) = ShippedLine::text(head, text, cut, self.settings.bounds);
        self.counters.events += 1;
        self.counters.truncated += u64::from(cut > 0);
        self.counters.truncated_bytes += cut;
        out.push(event);
    }
}

/// The name given for all events, else the recognised one; both kept when they differ.
fn overridden(
    given: &Option<String>,
    found: Option<&str>,
    field: &str,
    extra: &mut Map<String, Value>,
) -> Option<String> {
    if let (Some(given), Some(found)) = (given, found)
        && given != found
    {
        extra.insert(field.to_owned(), Value::from(found));
    }
    given.as_deref().or(found).map(str::to_owned)
}

/// Where a line was cut within a character, the character goes with the rest.
fn whole_characters(line: Line<'_>) -> Line<'_> {
    match std::str::from_utf8(line.bytes) {
        Err(error) if line.cut > 0 && error.error_len().is_none() => {
            let (bytes, rest) = line.bytes.split_at(error.valid_up_to());
            Line { bytes, cut: line.cut + rest.len() as u64 }
        }
        Ok(_) | Err(_) => line,
    }
}

#[cfg(test)]
mod tests;
