//! logfmt: `time=2026-11-22T07:12:19Z level=info msg="listening" port=8080`.

use super::Fields;
use super::scan::Scan;
use super::time::{self, Clock};
use common::level::Level;

/// Most pairs looked at in search of time and level.
const PAIRS: usize = 64;

/// A line that begins with a pair and names its time or level in one.
pub(super) fn read(text: &str, clock: &Clock) -> Option<Fields> {
    let mut fields = (None, None);
    let mut scan = Scan::new(text);
    for _ in 0..PAIRS {
        let Some((key, value)) = pair(&mut scan) else {
            break;
        };
        match key {
            "time" | "ts" | "t" | "timestamp" | "at" | "date" if fields.0.is_none() => {
                fields.0 = time::stamp(&mut Scan::new(value), clock).map(|stamp| stamp.time);
            }
            "level" | "lvl" | "severity" if fields.1.is_none() => fields.1 = Level::from_name(value),
            _ => {}
        }
    }
    (fields.0.is_some() || fields.1.is_some()).then_some(fields)
}

/// The level that a text of pairs names.
pub(super) fn level(text: &str) -> Option<Level> {
    let mut scan = Scan::new(text);
    for _ in 0..PAIRS {
        let (key, value) = pair(&mut scan)?;
        if matches!(key, "level" | "lvl" | "severity") {
            return Level::from_name(value);
        }
    }
    None
}

/// Takes the next pair; none at the end, or where something else stands.
fn pair<'a>(scan: &mut Scan<'a>) -> Option<(&'a str, &'a str)> {
    scan.skip_blanks();
    let text = scan.rest();
    let length = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-._@/".contains(b)).count();
    *scan = Scan::new(&text[length..]);
    scan.eat('=').filter(|()| length > 0)?;
    let value = if scan.peek() == Some('"') { scan.quoted()? } else { scan.word().unwrap_or("") };
    Some((&text[..length], value))
}
