//! Access logs of nginx, Apache and whatever writes the common log format: the level is made of the status.

use super::Fields;
use super::scan::Scan;
use super::time::{self, Clock};
use common::level::Level;

/// `1.2.3.4 - - [22/Nov/2026:07:12:19 +0000] "GET / HTTP/1.1" 200 …`, or with a virtual host before it. 5xx is
/// an error, 4xx a warning, anything else information.
pub(super) fn read(text: &str, clock: &Clock) -> Option<Fields> {
    let mut scan = Scan::new(text);
    for _ in 0..3 {
        scan.word()?;
        scan.eat(' ')?;
    }
    if scan.peek() != Some('[') {
        scan.word()?;
        scan.eat(' ')?;
    }
    scan.eat('[')?;
    let time = time::stamp(&mut scan, clock)?.time;
    scan.eat(']')?;
    scan.eat(' ')?;
    scan.quoted()?;
    scan.eat(' ')?;
    let level = match scan.number(3..=3)? {
        500..=599 => Level::Error,
        400..=499 => Level::Warn,
        _ => Level::Info,
    };
    Some((Some(time), Some(level)))
}
