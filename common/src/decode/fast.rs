//! One scan for the canonical form, as Sluice's own producer writes it:
//!
//! ```json
//! {"timestamp":"2026-11-22T07:12:19.267847Z","level":"INFO","service":"auth","host":"h","producer":"k3x9qd","seq":7,"due":1795331539267847,"message":"…"}
//! ```
//!
//! `service`, `host`, `producer`, `seq` and `due` may each be missing; the order is fixed, there is no white
//! space, no escape but in the message, and nothing behind it. Anything it isn't certain about is left to
//! [`library`](super::library); what it reads, the library path reads to the same values.

use super::Event;
use super::time::Civil;
use crate::level::Level;
use std::borrow::Cow;

/// Reads a payload of the canonical form; none for everything else, also for what is wrong.
pub fn decode(payload: &[u8]) -> Option<Event<'_>> {
    // Cutting strings out of valid text costs nothing more, so the whole is checked at once.
    let mut scan = Scan { rest: simdutf8::basic::from_utf8(payload).ok()? };
    scan.literal(r#"{"timestamp":""#)?;
    let timestamp = scan.timestamp()?;
    scan.literal(r#"","level":""#)?;
    let level = scan.level()?;
    let service = scan.optional(r#"","service":""#, Scan::string)?;
    let host = scan.optional(r#"","host":""#, Scan::string)?;
    let producer = scan.optional(r#"","producer":""#, Scan::string)?;
    scan.literal("\"")?;
    let seq = scan.optional(r#","seq":"#, Scan::integer)?;
    let due = scan.optional(r#","due":"#, Scan::integer)?;
    scan.literal(r#","message":"#)?;
    let message = scan.last_string()?;
    Some(Event {
        timestamp: Some(timestamp),
        level,
        service: service.map(Cow::Borrowed),
        host: host.map(Cow::Borrowed),
        producer: producer.map(Cow::Borrowed),
        seq,
        due,
        message,
    })
}

/// What is not read yet.
struct Scan<'a> {
    rest: &'a str,
}

impl<'a> Scan<'a> {
    // Always: as a call it would compare through memcmp what is three constants in a register.
    #[inline(always)]
    fn literal(&mut self, literal: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    /// The value behind `key` if that comes next; none if it can't be read.
    #[inline(always)]
    fn optional<T>(&mut self, key: &str, value: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.literal(key) {
            Some(()) => value(self).map(Some),
            None => Some(None),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (head, tail) = self.rest.split_at_checked(length)?;
        self.rest = tail;
        Some(head)
    }

    /// Text up to the closing quote, which is left.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        let end = find_special(self.rest.as_bytes())?;
        if self.rest.as_bytes()[end] != b'"' {
            return None;
        }
        self.take(end)
    }

    /// Text up to the quote and brace that end the payload. Only here an escape is worth the way: a log line
    /// may well quote something.
    #[inline]
    fn last_string(&mut self) -> Option<Cow<'a, str>> {
        let string = self.rest.strip_suffix('}')?;
        let inside = string.strip_prefix('"')?.strip_suffix('"')?;
        if is_plain(inside.as_bytes()) {
            return Some(Cow::Borrowed(inside));
        }
        // One JSON string and nothing else, or an error.
        serde_json::from_str(string).ok().map(Cow::Owned)
    }

    /// JSON's whole numbers of up to 19 digits, which can't overflow.
    #[inline]
    fn integer(&mut self) -> Option<u64> {
        let bytes = self.rest.as_bytes();
        let (mut value, mut digits) = (0, 0);
        while let Some(eight) = bytes.get(digits..digits + 8).and_then(eight_digits)
            && digits < 16
        {
            value = value * 100_000_000 + eight;
            digits += 8;
        }
        while let Some(digit) = bytes.get(digits).map(|b| b.wrapping_sub(b'0')).filter(|&d| d <= 9)
            && digits < 20
        {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits += 1;
        }
        let leading_zero = digits > 1 && bytes[0] == b'0';
        if digits == 0 || digits > 19 || leading_zero {
            return None;
        }
        self.take(digits)?;
        Some(value)
    }

    #[inline]
    fn level(&mut self) -> Option<Level> {
        use Level::{Debug, Error, Fatal, Info, Trace, Warn};
        // The quote behind is checked by what follows.
        let (level, length) = match self.rest.as_bytes() {
            [b'I', b'N', b'F', b'O', ..] => (Info, 4),
            [b'D', b'E', b'B', b'U', b'G', ..] => (Debug, 5),
            [b'W', b'A', b'R', b'N', ..] => (Warn, 4),
            [b'E', b'R', b'R', b'O', b'R', ..] => (Error, 5),
            [b'T', b'R', b'A', b'C', b'E', ..] => (Trace, 5),
            [b'F', b'A', b'T', b'A', b'L', ..] => (Fatal, 5),
            _ => return None,
        };
        self.take(length)?;
        Some(level)
    }

    /// `2026-11-22T07:12:19.267847Z`, no other spelling.
    #[inline]
    fn timestamp(&mut self) -> Option<i64> {
        const SHAPE: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
        let text: &[u8; 27] = self.take(SHAPE.len())?.as_bytes().try_into().ok()?;
        // What is above the shape's own character: 0–9 for a digit, 0 for the rest.
        let above: [u8; 27] = std::array::from_fn(|i| text[i].wrapping_sub(SHAPE[i]));
        let misfit = |i: usize| above[i] > if SHAPE[i] == b'0' { 9 } else { 0 };
        if (0..SHAPE.len()).fold(false, |any, i| any | misfit(i)) {
            return None;
        }
        let two = |i: usize| u32::from(above[i]) * 10 + u32::from(above[i + 1]);
        Civil {
            year: two(0) * 100 + two(2),
            month: two(5),
            day: two(8),
            hour: two(11),
            minute: two(14),
            second: two(17),
            micros: two(20) * 10_000 + two(22) * 100 + two(24),
        }
        .to_micros()
    }
}

/// What may not stand in a string as it is: the quote, the backslash, control characters.
#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Position of the first special byte, eight bytes at a time.
#[inline]
fn find_special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    // A byte's high bit is set where that byte is below `limit`, exact up to the first such byte (borrows
    // run upwards only), which is all that is asked for. S. E. Anderson, "Bit Twiddling Hacks", hasless.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHS;
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let special = quote | backslash | below(word, 0x20);
        if special != 0 {
            return Some(i * 8 + special.trailing_zeros() as usize / 8);
        }
    }
    tail.iter().position(|&b| is_special(b)).map(|i| words.len() * 8 + i)
}

/// Whether no special byte is there, sixteen bytes at a time.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    // Without a branch inside, the compiler makes vector comparisons of this.
    let plain = |block: &[u8; 16]| !block.iter().fold(false, |any, &b| any | is_special(b));
    match bytes.last_chunk() {
        // The last block overlaps the one before it.
        Some(last) => bytes.as_chunks().0.iter().all(plain) && plain(last),
        None => !bytes.iter().fold(false, |any, &b| any | is_special(b)),
    }
}

/// The value of exactly eight ASCII digits, by three multiplications.
#[inline]
fn eight_digits(bytes: &[u8]) -> Option<u64> {
    let word = u64::from_le_bytes(bytes.try_into().ok()?);
    let digits = word.wrapping_sub(u64::from_le_bytes([b'0'; 8]));
    let above_nine = word.wrapping_add(u64::from_le_bytes([0x7F - b'9'; 8]));
    if (digits | above_nine | word) & u64::from_le_bytes([0x80; 8]) != 0 {
        return None;
    }
    // Neighbours joined to pairs, pairs to fours, fours to the whole; the first digit is the lowest byte.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    Some((fours * 10_000 + (fours >> 32)) & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn special_bytes_are_found_wherever_they_stand(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let expected = bytes.iter().position(|&b| is_special(b));
            prop_assert_eq!(find_special(&bytes), expected);
            prop_assert_eq!(is_plain(&bytes), expected.is_none());
        }

        #[test]
        fn one_special_byte_among_plain_ones(length in 0_usize..100, at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = vec![b'x'; length];
            prop_assert!(is_plain(&bytes) && find_special(&bytes).is_none());
            if length > 0 {
                let at = at.index(length);
                bytes[at] = byte;
                prop_assert_eq!(find_special(&bytes), is_special(byte).then_some(at));
                prop_assert_eq!(is_plain(&bytes), !is_special(byte));
            }
        }

        #[test]
        fn eight_bytes_are_digits_as_the_standard_library_says(text in "[0-9]{8}|[0-9/:]{8}|[ -~]{8}") {
            let expected = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().expect("digits"));
            prop_assert_eq!(eight_digits(text.as_bytes()), expected);
        }

        #[test]
        fn eight_arbitrary_bytes_are_no_digits(bytes: [u8; 8]) {
            prop_assume!(!bytes.iter().all(u8::is_ascii_digit));
            prop_assert_eq!(eight_digits(&bytes), None);
        }
    }

    #[test]
    fn integers_follow_the_grammar() {
        let integer = |text: &'static str| Scan { rest: text }.integer();
        assert_eq!(integer("0,"), Some(0));
        assert_eq!(integer("12345678,"), Some(12_345_678));
        assert_eq!(integer("123456789,"), Some(123_456_789));
        assert_eq!(integer("1795331539267847,"), Some(1_795_331_539_267_847));
        assert_eq!(integer("9999999999999999999"), Some(9_999_999_999_999_999_999));
        for text in [
            "",
            ",",
            "-1",
            "01",
            "00000000",
            "0123456789012",
            "18446744073709551615",
            "99999999999999999999999999",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
    }
}
