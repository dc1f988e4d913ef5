//! Numbers as people read them: `969,000`, `1.2 M`, `5 ms`, `24 min 10 s`.

use common::units::format_grouped;

/// What stands for a figure by nothing: so much an event where there was none.
const NONE: &str = "–";

/// A rate to three significant digits, with commas: `969,000`. More of them a bench doesn't know.
pub fn rate(per_second: f64) -> String {
    if per_second < 100.0 { figure(per_second) } else { format_grouped(significant(per_second) as u64) }
}

/// A large number to three significant digits: `1.23 M`, `500 k`, `12`.
pub fn short(number: f64) -> String {
    let number = significant(number);
    match number.abs() {
        n if n >= 1e9 => format!("{} G", trimmed(number / 1e9)),
        n if n >= 1e6 => format!("{} M", trimmed(number / 1e6)),
        n if n >= 1e3 => format!("{} k", trimmed(number / 1e3)),
        _ => trimmed(number),
    }
}

/// A rate of that kind: `1.23 M/s`.
pub fn short_rate(per_second: f64) -> String {
    match short(per_second) {
        text if text.contains(' ') => format!("{text}/s"),
        text => format!("{text} /s"),
    }
}

/// A figure of any size to about three significant digits, zeros kept, so that a column of them can be
/// compared: `0.541`, `2.30`, `12.4`, `1,240`.
pub fn figure(number: f64) -> String {
    match number.abs() {
        n if !n.is_finite() => NONE.to_owned(),
        0.0 => "0".to_owned(),
        n if n >= 99.95 => format_grouped(number.round() as u64),
        n if n >= 9.995 => format!("{number:.1}"),
        n if n >= 0.9995 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// A time, given in ms: `50 µs`, `5 ms`, `1.5 s`.
pub fn time(ms: f64) -> String {
    match significant(ms) {
        0.0 => "0 ms".to_owned(),
        ms if ms < 0.1 => format!("{} µs", trimmed(ms * 1e3)),
        ms if ms < 1e3 => format!("{} ms", trimmed(ms)),
        ms => format!("{} s", trimmed(ms / 1e3)),
    }
}

/// A longer time, given in s: `45 s`, `24 min 10 s`, `2 h 3 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        s if s >= 3600 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        s if s >= 60 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} s", trimmed(significant(seconds))),
    }
}

/// How many times: `3.2×`.
pub fn times(ratio: f64) -> String {
    match ratio {
        r if !r.is_finite() => NONE.to_owned(),
        r if r >= 9.95 => format!("{r:.0}×"),
        r if r >= 0.095 => format!("{r:.1}×"),
        r => format!("{r:.2}×"),
    }
}

/// A share: `89 %`.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.0} %", share * 100.0) } else { NONE.to_owned() }
}

/// Rounded to three significant digits.
fn significant(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powi(2 - number.abs().log10().floor() as i32);
    (number * scale).round() / scale
}

/// With up to three decimals, none of them a trailing zero.
pub fn trimmed(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        assert_eq!(format_grouped(20_000_000), "20,000,000");
        assert_eq!(format_grouped(999), "999");
        assert_eq!(rate(969_314.0), "969,000");
        assert_eq!(short(1_234_567.0), "1.23 M");
        assert_eq!(short(999_999.0), "1 M");
        assert_eq!(short_rate(500_000.0), "500 k/s");
        assert_eq!(short_rate(0.0), "0 /s");
        assert_eq!(figure(0.5414), "0.541");
        assert_eq!(figure(2.0), "2.00");
        assert_eq!(figure(99.96), "100");
        assert_eq!(figure(f64::NAN), "–");
        assert_eq!(time(0.05), "50 µs");
        assert_eq!(time(4.9999), "5 ms");
        assert_eq!(time(1500.0), "1.5 s");
        assert_eq!(duration(1450.2), "24 min 10 s");
        assert_eq!(times(3.21), "3.2×");
        assert_eq!(percent(0.888), "89 %");
    }
}
