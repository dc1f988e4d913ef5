//! Humane units on flags: `500k`, `64MiB`, `250ms`. One parser each, for clap's `value_parser`.

use std::time::Duration;

/// Parses a count or a rate: digits, `_` between them, an optional decimal point, and `k`, `M` or `G`.
///
/// # Errors
/// Says what was expected when `text` is something else, or not a whole number once multiplied.
pub fn parse_count(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a number such as 250, 500k or 1.5M, not '{text}'");
    let trimmed = text.trim();
    let (digits, factor) = match trimmed.chars().last() {
        Some('k' | 'K') => (&trimmed[..trimmed.len() - 1], 1_000_u64),
        Some('m' | 'M') => (&trimmed[..trimmed.len() - 1], 1_000_000),
        Some('g' | 'G') => (&trimmed[..trimmed.len() - 1], 1_000_000_000),
        _ => (trimmed, 1),
    };
    let digits: String = digits.chars().filter(|&c| c != '_').collect();
    if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(expected());
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(expected());
    }
    let fraction = fraction.trim_end_matches('0');
    let scale =
        u32::try_from(fraction.len()).ok().and_then(|n| 10_u64.checked_pow(n)).ok_or_else(expected)?;
    let whole: u64 = whole.parse().map_err(|_| expected())?;
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| expected())? };
    // Up to 19 digits times a thousand million: more than 64 bits.
    let (part, scale) = (u128::from(part) * u128::from(factor), u128::from(scale));
    if !part.is_multiple_of(scale) {
        return Err(format!("'{text}' is not a whole number"));
    }
    let part = u64::try_from(part / scale).map_err(|_| expected())?;
    whole
        .checked_mul(factor)
        .and_then(|n| n.checked_add(part))
        .ok_or_else(|| format!("'{text}' is too large"))
}

/// Parses a rate in events per second; `0` and `max` both mean "as fast as possible" and give 0.
///
/// # Errors
/// As [`parse_count`].
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let text = text.trim().strip_suffix("/s").unwrap_or(text.trim());
    if text.eq_ignore_ascii_case("max") { Ok(0) } else { parse_count(text) }
}

/// Parses a size in bytes: `64MiB`, `1MB`, `4096`.
///
/// # Errors
/// Says what was expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    text.trim()
        .parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| format!("expected a size such as 64MiB, 1MB or 4096, not '{text}'"))
}

/// Parses a duration: `250ms`, `20s`, `1m 30s`.
///
/// # Errors
/// Says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|_| format!("expected a duration such as 250ms, 20s or 1m30s, not '{text}'"))
}

/// Writes a count for people: `999`, `12.3k`, `1.25M`.
pub fn format_count(count: f64) -> String {
    match count {
        c if c >= 1e9 => format!("{:.2}G", c / 1e9),
        c if c >= 1e6 => format!("{:.2}M", c / 1e6),
        c if c >= 1e3 => format!("{:.1}k", c / 1e3),
        c => format!("{c:.0}"),
    }
}

/// Writes a whole number with commas: `20,000,000`.
pub fn format_grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes how many there are of what: `1 line`, `2,000 lines`.
pub fn format_counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", format_grouped(number), if number == 1 { "" } else { "s" })
}

/// Writes a size for people: `1.5 MiB`.
pub fn format_size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        for (text, count) in [
            ("0", 0),
            ("250", 250),
            ("500k", 500_000),
            ("1.5M", 1_500_000),
            ("1_000", 1000),
            ("2G", 2_000_000_000),
        ] {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
        for text in
            ["", "k", "-1", "1.5", "abc", "1.2.3", "99999999999999999999", "99999999999G", ".5k", "1.0001k"]
        {
            assert!(parse_count(text).is_err(), "{text}");
        }
        assert_eq!(parse_count("1.25k"), Ok(1250));
        // 2^63 times 10^9 is 0 in 64 bits, which would come out even.
        let long = "0.9223372036854775808G";
        assert_eq!(parse_count(long), Err(format!("'{long}' is not a whole number")));
    }

    #[test]
    fn digits_in_groups() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (20_000_000, "20,000,000")] {
            assert_eq!(format_grouped(number), text);
        }
        assert_eq!([0, 1, 1_000].map(|n| format_counted(n, "line")), ["0 lines", "1 line", "1,000 lines"]);
    }

    #[test]
    fn rates_sizes_durations() {
        assert_eq!(parse_rate("max"), Ok(0));
        assert_eq!(parse_rate("100k/s"), Ok(100_000));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert!(parse_size("much").is_err());
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(parse_duration("fast").is_err());
    }
}
