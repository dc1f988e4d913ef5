//! A cursor over a line. It stops only before or behind ASCII, so it always stands on a character boundary.

use std::ops::RangeInclusive;

/// The part of a line not read yet. Copied to look ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Scan<'a> {
        Scan(text)
    }

    /// What was not read yet.
    pub(super) fn rest(self) -> &'a str {
        self.0
    }

    /// Next character, not taken.
    pub(super) fn peek(self) -> Option<char> {
        self.0.chars().next()
    }

    /// Takes `expected` or nothing.
    pub(super) fn eat(&mut self, expected: char) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Takes one of the characters of `set`.
    pub(super) fn eat_any(&mut self, set: &str) -> Option<char> {
        let next = self.peek().filter(|&c| set.contains(c))?;
        self.eat(next)?;
        Some(next)
    }

    /// Takes as many digits as there are, if there are `digits` of them. At most 18, so that the value fits.
    pub(super) fn number(&mut self, digits: RangeInclusive<usize>) -> Option<i64> {
        let length = self.0.bytes().take(19).take_while(u8::is_ascii_digit).count();
        if !digits.contains(&length) || length > 18 {
            return None;
        }
        let (number, rest) = self.0.split_at(length);
        self.0 = rest;
        number.parse().ok()
    }

    /// Skips spaces and tabs; how many.
    pub(super) fn skip_blanks(&mut self) -> usize {
        let rest = self.0.trim_start_matches([' ', '\t']);
        let skipped = self.0.len() - rest.len();
        self.0 = rest;
        skipped
    }

    /// Takes everything up to the next blank or the end; not empty.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        let end = self.0.find([' ', '\t']).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        if word.is_empty() {
            return None;
        }
        self.0 = rest;
        Some(word)
    }

    /// Takes everything up to `end`, and `end` itself.
    pub(super) fn until(&mut self, end: char) -> Option<&'a str> {
        let (before, behind) = self.0.split_once(end)?;
        self.0 = behind;
        Some(before)
    }

    /// Takes a quoted string, `\` escaping the next character; the inside, as written.
    pub(super) fn quoted(&mut self) -> Option<&'a str> {
        let inside = self.0.strip_prefix('"')?;
        let mut escaped = false;
        let end = inside.bytes().position(|b| {
            let closes = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            closes
        })?;
        self.0 = &inside[end + 1..];
        Some(&inside[..end])
    }

    /// True at the end of the line or before a blank.
    pub(super) fn at_gap(self) -> bool {
        self.0.is_empty() || self.0.starts_with([' ', '\t'])
    }
}
