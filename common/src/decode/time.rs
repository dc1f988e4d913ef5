//! Points in time as other programs write them, to µs since the epoch.

/// Year 0 and the end of year 9999: what RFC 3339 can say.
const RANGE_MICROS: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

/// A day and its time, each part as written.
#[derive(Clone, Copy)]
pub(super) struct Civil {
    pub(super) year: u32,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    /// Up to 60: a leap second is the first of the next minute.
    pub(super) second: u32,
    pub(super) micros: u32,
}

impl Civil {
    /// µs since the epoch, taken as UTC; none when there is no such day or time.
    pub(super) fn to_micros(self) -> Option<i64> {
        let Civil { year, month, day, hour, minute, second, micros } = self;
        if day == 0 || day > days_of_month(year, month) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        // Days since 1 March of year -400, in eras of 400 years: H. Hinnant, "chrono-compatible low-level
        // date algorithms", days_from_civil; the shift keeps everything unsigned.
        let (year, month) = if month > 2 { (year + 400, month - 3) } else { (year + 399, month + 9) };
        let (era, year_of_era) = (year / 400, year % 400);
        let day_of_year = (153 * month + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = i64::from(era * 146_097 + day_of_era) - 719_468 - 146_097;
        let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
        Some(seconds * 1_000_000 + i64::from(micros))
    }
}

/// None in a month that does not exist.
fn days_of_month(year: u32, month: u32) -> u32 {
    const DAYS: [u8; 16] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0, 0, 0];
    let leap =
        month == 2 && year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    DAYS.get(month as usize).map_or(0, |&days| u32::from(days) + u32::from(leap))
}

/// Reads RFC 3339 and its usual relatives: a space instead of `T`, a comma before the fraction, any number of
/// fraction digits (those after the sixth are cut off), the offset as `Z`, `+01:00`, `+0100` or `+01`. Without
/// an offset it is taken as UTC.
pub(super) fn from_rfc3339(text: &str) -> Option<i64> {
    let mut rest = text.trim_ascii().as_bytes();
    let year = number(&mut rest, 4)?;
    one_of(&mut rest, b"-")?;
    let month = number(&mut rest, 2)?;
    one_of(&mut rest, b"-")?;
    let day = number(&mut rest, 2)?;
    one_of(&mut rest, b"Tt ")?;
    let hour = number(&mut rest, 2)?;
    one_of(&mut rest, b":")?;
    let minute = number(&mut rest, 2)?;
    one_of(&mut rest, b":")?;
    let second = number(&mut rest, 2)?;
    let mut micros = 0;
    if one_of(&mut rest, b".,").is_some() {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        micros = number(&mut rest, digits.min(6))? * 10_u32.pow(6 - digits.min(6) as u32);
        rest = &rest[digits.saturating_sub(6)..];
    }
    let local = Civil { year, month, day, hour, minute, second, micros }.to_micros()?;
    Some(local - offset_micros(rest.trim_ascii_start())?)
}

fn offset_micros(mut rest: &[u8]) -> Option<i64> {
    if rest.is_empty() || rest.eq_ignore_ascii_case(b"Z") {
        return Some(0);
    }
    let sign = if one_of(&mut rest, b"+-")? == b'+' { 1 } else { -1 };
    let hours = number(&mut rest, 2)?;
    let _ = one_of(&mut rest, b":");
    let minutes = if rest.is_empty() { 0 } else { number(&mut rest, 2)? };
    (rest.is_empty() && hours < 24 && minutes < 60)
        .then(|| sign * i64::from(hours * 60 + minutes) * 60_000_000)
}

/// Takes exactly `digits` (at most nine) decimal digits off the front.
fn number(rest: &mut &[u8], digits: usize) -> Option<u32> {
    let (head, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    head.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

/// Takes one byte of `set` off the front.
fn one_of(rest: &mut &[u8], set: &[u8]) -> Option<u8> {
    let (&first, tail) = rest.split_first()?;
    set.contains(&first).then(|| {
        *rest = tail;
        first
    })
}

/// Reads a decimal number of seconds, milliseconds, microseconds or nanoseconds since the epoch, told apart by
/// magnitude: below 10¹¹ it is seconds (until the year 5138), below 10¹⁴ ms, below 10¹⁷ µs, else ns. Zero is a
/// time nobody set.
pub(super) fn from_epoch(text: &str) -> Option<i64> {
    let micros = match text.parse::<i64>() {
        Ok(n) => match n.unsigned_abs() {
            0 => return None,
            1..100_000_000_000 => n * 1_000_000,
            100_000_000_000..100_000_000_000_000 => n * 1000,
            100_000_000_000_000..100_000_000_000_000_000 => n,
            100_000_000_000_000_000.. => n.div_euclid(1000),
        },
        Err(_) => {
            // `parse` knows `inf` and `nan` too, which no JSON number and no logger says.
            let n: f64 = text.parse().ok().filter(|n: &f64| n.is_finite() && *n != 0.0)?;
            let micros = match n.abs() {
                m if m < 1e11 => n * 1e6,
                m if m < 1e14 => n * 1e3,
                m if m < 1e17 => n,
                _ => n / 1e3,
            };
            micros.round() as i64
        }
    };
    RANGE_MICROS.contains(&micros).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeZone, Utc};
    use proptest::prelude::*;

    const INSTANT: i64 = 1_795_331_539_267_847; // 2026-11-22T07:12:19.267847Z

    #[test]
    fn usual_spellings_of_one_instant() {
        for text in [
            "2026-11-22T07:12:19.267847Z",
            "2026-11-22t07:12:19.267847z",
            "2026-11-22 07:12:19.267847Z",
            "2026-11-22 07:12:19,267847 +0000",
            "2026-11-22T07:12:19.267847",
            "2026-11-22T07:12:19.267847999999Z",
            "2026-11-22T08:12:19.267847+01:00",
            "2026-11-22T08:12:19.267847+0100",
            "2026-11-22T08:12:19.267847+01",
            "2026-11-21T21:42:19.267847-09:30",
        ] {
            assert_eq!(from_rfc3339(text), Some(INSTANT), "{text}");
        }
        assert_eq!(from_rfc3339("2026-11-22T07:12:19.26Z"), Some(INSTANT - 7_847));
        assert_eq!(from_rfc3339("2026-11-22T07:12:19Z"), Some(INSTANT - 267_847));
        assert_eq!(from_rfc3339("2016-12-31T23:59:60Z"), from_rfc3339("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn no_such_time() {
        for text in [
            "",
            "yesterday",
            "2026-11-22",
            "2026-11-22T07:12Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-11-31T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T07:60:00Z",
            "2026-11-22T07:12:61Z",
            "2026-11-22T07:12:19.Z",
            "2026-11-22T07:12:19+24:00",
            "2026-11-22T07:12:19+01:0",
            "2026-11-22T07:12:19Zulu",
            "2026-11-22T07:12:19é",
            "+026-11-22T07:12:19Z",
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
        assert!(from_rfc3339("2000-02-29T00:00:00Z").is_some(), "2000 was a leap year");
    }

    #[test]
    fn epochs_by_magnitude() {
        for text in [
            "1795331539.267847",
            "1795331539267847",
            "1795331539267847123",
            "1795331539267.847",
            "1.795331539267847e9",
        ] {
            assert_eq!(from_epoch(text), Some(INSTANT), "{text}");
        }
        assert_eq!(from_epoch("1795331539"), Some(INSTANT - 267_847));
        assert_eq!(from_epoch("1795331539267"), Some(INSTANT - 847));
        assert_eq!(from_epoch("-1"), Some(-1_000_000));
        for text in ["0", "0.0", "1e999", "-1e300", "inf", "NaN", "99999999999999999999999", "", "soon"] {
            assert_eq!(from_epoch(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_instant_is_what_chrono_wrote(micros in RANGE_MICROS, minutes in -1439..1440) {
            let time: DateTime<Utc> = Utc.timestamp_micros(micros).single().expect("in chrono's range");
            prop_assert_eq!(from_rfc3339(&crate::event::format_timestamp(time)), Some(micros));
            let zone = chrono::FixedOffset::east_opt(minutes * 60).expect("under a day");
            let local = time.with_timezone(&zone);
            // The offset may carry the first and last day out of the four-digit years.
            if (0..=9999).contains(&chrono::Datelike::year(&local)) {
                prop_assert_eq!(from_rfc3339(&local.to_rfc3339()), Some(micros));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[0-9TZ:.+-]{0,40}") {
            let _ = (from_rfc3339(&text), from_epoch(&text));
        }

        #[test]
        fn any_day_is_valid_where_chrono_says_so(year in 0_u32..10_000, month in 0_u32..14, day in 0_u32..33) {
            let civil = Civil { year, month, day, hour: 0, minute: 0, second: 0, micros: 0 };
            let expected = chrono::NaiveDate::from_ymd_opt(year as i32, month, day)
                .map(|d| d.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros());
            prop_assert_eq!(civil.to_micros(), expected);
        }
    }
}
