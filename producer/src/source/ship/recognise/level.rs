//! The usual places of a level. The word "error" somewhere in a text is none.

use super::scan::Scan;
use common::level::Level;

/// How many fields (`[thread]`, a process id, `name -`) are passed over in search of the level.
const FIELDS: usize = 5;

/// Right behind the time: `INFO text`, `[error] text`, `| INFO | text`, `- info: text`. Gives what follows it,
/// past the separators; without a level, what follows the separators behind the time.
pub(super) fn direct(mut scan: Scan<'_>) -> (Option<Level>, Scan<'_>) {
    separators(&mut scan);
    let mut ahead = scan;
    match bracketed(&mut ahead).or_else(|| bare(&mut ahead)) {
        Some(level) => {
            separators(&mut ahead);
            (Some(level), ahead)
        }
        None => (None, scan),
    }
}

/// Behind fields that come before the level in common layouts: `[main] INFO`, `- name - WARNING -`,
/// `0 [Warning]`, `[core:error]`, `user@database ERROR:`, `app.ERROR:`.
pub(super) fn among_fields(mut scan: Scan<'_>) -> Option<Level> {
    for _ in 0..FIELDS {
        separators(&mut scan);
        if let Some(level) = bracketed(&mut scan).or_else(|| capitals(&mut scan)) {
            return Some(level);
        }
        if let Some(inside) = group(&mut scan) {
            if let Some(level) = inside.split_once(':').and_then(|(_, level)| Level::from_name(level)) {
                return Some(level);
            }
            continue;
        }
        let word = scan.word()?;
        if let Some(level) =
            word.strip_suffix(':').and_then(|word| word.rsplit_once('.')).and_then(capital_name)
        {
            return Some(level);
        }
        let number = word.bytes().all(|b| b.is_ascii_digit());
        let mut ahead = scan;
        if !number && !word.contains('@') && !separators(&mut ahead) {
            return None; // the text itself has begun
        }
    }
    None
}

/// At the start of a line without time: `WARNING:root:text`, `[INFO] text`, `ERROR text`, `error: text`; and
/// what Python and Java print of an exception that nobody caught, which has no level but is an error.
pub(super) fn alone(text: &str) -> (Option<Level>, &str) {
    const UNCAUGHT: [&str; 2] = ["Traceback (most recent call last):", "Exception in thread \""];
    if UNCAUGHT.iter().any(|start| text.starts_with(start)) {
        return (Some(Level::Error), text);
    }
    let mut scan = Scan::new(text);
    let level = bracketed(&mut scan).or_else(|| {
        let word = letters(scan);
        let behind = &scan.rest()[word.len()..];
        let capitals = word.bytes().all(|b| b.is_ascii_uppercase());
        let separated = behind.starts_with(':') || (capitals && behind.starts_with([' ', '\t']));
        let level = usual_name(word).filter(|_| separated)?;
        scan = Scan::new(behind.strip_prefix(':').unwrap_or(behind));
        Some(level)
    });
    match level {
        Some(level) => {
            separators(&mut scan);
            (Some(level), scan.rest())
        }
        None => (None, text),
    }
}

/// Without a time beside it, only the names that are hardly anything else.
fn usual_name(word: &str) -> Option<Level> {
    const USUAL: [&str; 10] =
        ["trace", "debug", "info", "notice", "warn", "warning", "error", "severe", "fatal", "critical"];
    USUAL.iter().any(|name| name.eq_ignore_ascii_case(word)).then(|| Level::from_name(word)).flatten()
}

/// `[INFO]`, `[ warn ]`, `<info>`, `(ERROR)`.
fn bracketed(scan: &mut Scan<'_>) -> Option<Level> {
    let mut ahead = *scan;
    let level = Level::from_name(group(&mut ahead)?.trim())?;
    *scan = ahead;
    Some(level)
}

/// Takes `[…]`, `<…>` or `(…)`; the inside.
fn group<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    let mut ahead = *scan;
    let close = match ahead.eat_any("[<(")? {
        '[' => ']',
        '<' => '>',
        _ => ')',
    };
    let inside = ahead.until(close)?;
    *scan = ahead;
    Some(inside)
}

/// `INFO`, and other spellings where the layout shows that they are a field: `info:`, `Info |`, `info<tab>`,
/// `Info     `.
fn bare(scan: &mut Scan<'_>) -> Option<Level> {
    if let Some(level) = capitals(scan) {
        return Some(level);
    }
    let word = letters(*scan);
    let behind = &scan.rest()[word.len()..];
    let field = behind.starts_with([':', '|', '\t']) || behind.starts_with("  ") || behind.starts_with(" | ");
    let level = Level::from_name(word).filter(|_| field)?;
    *scan = Scan::new(behind.strip_prefix(':').unwrap_or(behind));
    Some(level)
}

/// A level in capitals, with nothing but a blank or a mark behind it.
fn capitals(scan: &mut Scan<'_>) -> Option<Level> {
    let word = letters(*scan);
    let behind = &scan.rest()[word.len()..];
    let level = capital_name(("", word))?;
    if !(behind.is_empty() || behind.starts_with([' ', '\t', ':', ',', '|', '/', ']'])) {
        return None;
    }
    *scan = Scan::new(behind.strip_prefix([':', ',']).unwrap_or(behind));
    Some(level)
}

fn capital_name((_, word): (&str, &str)) -> Option<Level> {
    word.bytes().all(|b| b.is_ascii_uppercase()).then(|| Level::from_name(word)).flatten()
}

fn letters(scan: Scan<'_>) -> &str {
    let text = scan.rest();
    &text[..text.bytes().take_while(u8::is_ascii_alphabetic).count()]
}

/// Skips blanks, and `-`, `|`, `:` or `,` that stand alone before one; says whether there was such a mark.
fn separators(scan: &mut Scan<'_>) -> bool {
    let mut marked = false;
    loop {
        scan.skip_blanks();
        let mut ahead = *scan;
        if ahead.eat_any("-|:,").is_none() || !ahead.at_gap() {
            return marked;
        }
        marked = true;
        *scan = ahead;
    }
}
