//! Syslog: RFC 5424, RFC 3164 as it is written in practice, and rsyslog's files with ISO times.

use super::scan::Scan;
use super::time::{self, Clock, Style};
use super::{Recognised, level, logfmt};
use common::level::Level;
use serde_json::Value;

/// Longest host or program name that is taken for one (RFC 5424 allows a host 255).
const NAME_MAX: usize = 255;

/// Longest structured data that becomes a field; longer stays in the message.
const STRUCTURED_DATA_MAX: usize = 1024;

/// `<34>1 …`, `<13>Nov 22 07:12:19 …` or `<4>text`: severity is the priority's last three bits, the facility
/// the others.
pub(super) fn with_priority<'a>(text: &'a str, clock: &Clock) -> Option<Recognised<'a>> {
    let mut scan = Scan::new(text);
    scan.eat('<')?;
    let priority = scan.number(1..=3).filter(|&priority| priority <= 191)?;
    scan.eat('>')?;
    let mut found = rfc5424(scan, clock).unwrap_or_else(|| {
        let mut ahead = scan;
        match time::stamp(&mut ahead, clock) {
            Some(stamp) => {
                let found = Recognised { timestamp: Some(stamp.time), ..Recognised::default() };
                match stamp.style {
                    Style::Syslog | Style::Offset => after_time(ahead, found),
                    Style::Glog(_) | Style::Plain => {
                        ahead.skip_blanks();
                        Recognised { message: ahead.rest(), ..found }
                    }
                }
            }
            None => Recognised { message: scan.rest(), ..Recognised::default() },
        }
    });
    found.level = Level::from_number(priority % 8);
    found.extra.insert(0, ("facility", Value::from(priority / 8)));
    Some(found)
}

/// `1 TIMESTAMP HOST APP PROCID MSGID STRUCTURED-DATA message`, `-` for none (RFC 5424, 6).
fn rfc5424<'a>(mut scan: Scan<'a>, clock: &Clock) -> Option<Recognised<'a>> {
    fn field<'a>(scan: &mut Scan<'a>) -> Option<Option<&'a str>> {
        let word = scan.word().filter(|word| word.len() <= NAME_MAX)?;
        scan.eat(' ')?;
        Some(Some(word).filter(|&word| word != "-"))
    }
    scan.eat('1')?;
    scan.eat(' ')?;
    let timestamp = match field(&mut scan)? {
        Some(word) => Some(time::stamp(&mut Scan::new(word), clock)?.time),
        None => None,
    };
    let (host, service) = (field(&mut scan)?, field(&mut scan)?);
    let (pid, message_id) = (field(&mut scan)?, field(&mut scan)?);
    let mut ahead = scan;
    let data = match ahead.eat('-') {
        Some(()) => None,
        None => Some(structured_data(&mut ahead)?),
    };
    if !ahead.at_gap() {
        return None;
    }
    let mut extra = Vec::new();
    extra.extend(pid.map(|pid| ("pid", number_or_text(pid))));
    extra.extend(message_id.map(|id| ("msgid", Value::from(id))));
    if data.is_none_or(|data| data.len() <= STRUCTURED_DATA_MAX) {
        extra.extend(data.map(|data| ("structured_data", Value::from(data))));
        scan = ahead;
        scan.skip_blanks();
    }
    let message = scan.rest().strip_prefix('\u{feff}').unwrap_or(scan.rest());
    Some(Recognised { timestamp, host, service, message, extra, level: None })
}

/// Takes `[id name="value" …][…]`; in a value `\` escapes.
fn structured_data<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    let text = scan.rest();
    while scan.eat('[').is_some() {
        loop {
            let end = scan.rest().find(['"', ']'])?;
            *scan = Scan::new(&scan.rest()[end..]);
            if scan.eat(']').is_some() {
                break;
            }
            scan.quoted()?;
        }
    }
    let data = &text[..text.len() - scan.rest().len()];
    (!data.is_empty()).then_some(data)
}

/// ` host program[123]: text` behind a time. What is missing stays open; the level is looked for at the start
/// of the text.
pub(super) fn after_time<'a>(mut scan: Scan<'a>, mut found: Recognised<'a>) -> Recognised<'a> {
    scan.skip_blanks();
    if tag(&mut scan.clone()).is_none() {
        let mut ahead = scan;
        let host = ahead.word().filter(|word| word.len() <= NAME_MAX && is_host(word));
        if host.is_some() && ahead.skip_blanks() > 0 {
            found.host = host;
            scan = ahead;
        }
    }
    if let Some((service, pid)) = tag(&mut scan) {
        found.service = Some(service);
        found.extra.extend(pid.map(|pid| ("pid", number_or_text(pid))));
    }
    let (level, message) = level::alone(scan.rest());
    found.level = level.or_else(|| logfmt::level(message));
    found.message = message;
    found
}

/// True when `host program[123]: ` follows, as behind an ISO time in rsyslog's files.
pub(super) fn has_tag(mut scan: Scan<'_>) -> bool {
    scan.skip_blanks();
    let host = scan.word();
    scan.skip_blanks();
    host.is_some_and(is_host) && tag(&mut scan).is_some()
}

fn is_host(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:/@%".contains(&b)) && !word.ends_with(':')
}

/// Takes `program: ` or `program[123]: `.
fn tag<'a>(scan: &mut Scan<'a>) -> Option<(&'a str, Option<&'a str>)> {
    let mut ahead = *scan;
    let text = ahead.rest();
    let length = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-._/@+".contains(b)).count();
    if length == 0 || length > NAME_MAX {
        return None;
    }
    ahead = Scan::new(&text[length..]);
    let pid = match ahead.eat('[') {
        Some(()) => Some(ahead.until(']').filter(|pid| pid.len() <= NAME_MAX)?),
        None => None,
    };
    ahead.eat(':')?;
    if !ahead.at_gap() {
        return None;
    }
    ahead.skip_blanks();
    *scan = ahead;
    Some((&text[..length], pid))
}

fn number_or_text(text: &str) -> Value {
    // Only when the number is written as JSON would write it: `007` stays a text.
    match text.parse::<u64>() {
        Ok(number) if number.to_string() == text => Value::from(number),
        Ok(_) | Err(_) => Value::from(text),
    }
}
