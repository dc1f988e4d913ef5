//! Times as logs write them.

use super::scan::Scan;
use chrono::{
    DateTime, Datelike, Duration, FixedOffset, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc,
};
use common::level::Level;

/// What a time without zone, year or day is measured by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// The moment of reading.
    pub(crate) now: DateTime<Utc>,
    /// Zone of times that name none.
    pub(crate) zone: Zone,
}

/// Zone of times that name none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// This machine's.
    Local,
    /// A fixed distance from UTC.
    Fixed(FixedOffset),
}

impl Zone {
    /// UTC itself.
    pub(crate) fn utc() -> Zone {
        Zone::Fixed(FixedOffset::east_opt(0).expect("zero is a valid offset"))
    }

    fn to_utc(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self {
            // Twice on the clock: the first. Skipped by the clock: as if the hour had not been skipped.
            Zone::Local => Local
                .from_local_datetime(&local)
                .earliest()
                .or_else(|| Some(Local.from_local_datetime(&(local - HOUR)).earliest()? + HOUR))
                .map(|time| time.to_utc()),
            Zone::Fixed(offset) => offset.from_local_datetime(&local).single().map(|time| time.to_utc()),
        }
    }

    fn to_local(self, time: DateTime<Utc>) -> NaiveDateTime {
        match self {
            Zone::Local => time.with_timezone(&Local).naive_local(),
            Zone::Fixed(offset) => time.with_timezone(&offset).naive_local(),
        }
    }
}

const HOUR: Duration = Duration::hours(1);

/// Clocks and zones differ: a day without its year may lie this far ahead of now.
const DAY_AHEAD: Duration = Duration::hours(12);

/// A time without its day: a morning's line that is shipped in the evening is of that morning, not of the next.
const TIME_AHEAD: Duration = Duration::minutes(10);

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A time, and what its form says of the rest of the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stamp {
    pub(super) time: DateTime<Utc>,
    pub(super) style: Style,
}

/// What usually follows a time of this form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Style {
    /// `Nov 22 07:12:19`: host and program.
    Syslog,
    /// `2026-11-22T07:12:19.267847+00:00`: host and program (rsyslog, journalctl), or anything.
    Offset,
    /// `I1122 07:12:19.267847`: the level came with it.
    Glog(Level),
    /// Anything.
    Plain,
}

/// Takes a time; takes nothing when there is none.
pub(super) fn stamp(scan: &mut Scan<'_>, clock: &Clock) -> Option<Stamp> {
    const FORMS: [fn(&mut Scan<'_>, &Clock) -> Option<Stamp>; 8] =
        [iso, syslog, day_first, weekday_first, short_year, glog, epoch, time_only];
    FORMS.into_iter().find_map(|form| {
        let mut ahead = *scan;
        let stamp = form(&mut ahead, clock)?;
        *scan = ahead;
        Some(stamp)
    })
}

fn plain(time: DateTime<Utc>) -> Stamp {
    Stamp { time, style: Style::Plain }
}

/// `2026-11-22T07:12:19.267847Z`, `2026-11-22 07:12:19,267`, `2026/11/22 07:12:19`, with or without offset.
fn iso(scan: &mut Scan<'_>, clock: &Clock) -> Option<Stamp> {
    let year = scan.number(4..=4)?;
    let separator = scan.eat_any("-/")?;
    let month = scan.number(2..=2)?;
    scan.eat(separator)?;
    let day = scan.number(2..=2)?;
    let t = scan.eat_any("Tt").is_some();
    if !t && scan.skip_blanks() == 0 {
        return None;
    }
    let local = at(date(year, month, day)?, time_of_day(scan)?)?;
    let (time, numeric) = zoned(scan, clock, local)?;
    Some(Stamp { time, style: if t && numeric { Style::Offset } else { Style::Plain } })
}

/// `Nov 22 07:12:19`, `Nov  2 07:12:19.267`; `Nov 22 2026 07:12:19`.
fn syslog(scan: &mut Scan<'_>, clock: &Clock) -> Option<Stamp> {
    let month = month(scan)?;
    scan.eat(' ')?;
    scan.skip_blanks();
    let day = scan.number(1..=2)?;
    scan.eat(' ')?;
    let mut ahead = *scan;
    let year = ahead.number(4..=4).filter(|_| ahead.eat(' ').is_some());
    if year.is_some() {
        *scan = ahead;
    }
    let clock_time = time_of_day(scan)?;
    let time = match year {
        Some(year) => clock.zone.to_utc(at(date(year, month, day)?, clock_time)?)?,
        None => without_year(clock, month, day, clock_time)?,
    };
    Some(Stamp { time, style: Style::Syslog })
}

/// `22/Nov/2026:07:12:19 +0000` (access logs), `22-Nov-2026 07:12:19.267` (Tomcat), `22 Nov 2026 07:12:19.267`
/// (Redis).
fn day_first(scan: &mut Scan<'_>, clock: &Clock) -> Option<Stamp> {
    let day = scan.number(1..=2)?;
    let separator = scan.eat_any("/- ")?;
    let month = month(scan)?;
    scan.eat(separator)?;
    let year = scan.number(4..=4)?;
    scan.eat_any(": ")?;
    let local = at(date(year, month, day)?, time_of_day(scan)?)?;
    Some(plain(zoned(scan, clock, local)?.0))
}

/// `Sun Nov 22 07:12:19.123456 2026`: C's `ctime`, Apache's error log.
fn weekday_first(scan: &mut Scan<'_>, clock: &Clock) -> Option<Stamp> {
    name(scan, &DAYS)?;
    scan.eat(' ')?;
    let month = month(scan)?;
    scan.eat(' ')?;
    scan.skip_blanks();
    let day = scan.number(1..=2)?;
    scan.eat(' ')?;
    let clock_time = time_of_day(scan)?;
    scan.eat(' ')?;
    let year = scan.number(4..=4)?;
    Some(plain(clock.zone.to_utc(at(date(year, month, day)?, clock_time)?)?))
}

/// `26/11/22 07:12:19`: Spark.
fn short_year(scan: &mut Scan<'_>, clock: &Clock) -> Option<Stamp> {
    let year = scan.number(2..=2)?;
    scan.eat('/')?;
    let month = scan.number(2..=2)?;
    scan.eat('/')?;
    let day = scan.number(2..=2)?;
    scan.eat(' ')?;
    let local = at(date(2000 + year, month, day)?, time_of_day(scan)?)?;
    Some(plain(clock.zone.to_utc(local)?))
}

/// `I1122 07:12:19.267847`: glog, klog.
fn glog(scan: &mut Scan<'_>, clock: &Clock) -> Option<Stamp> {
    let level = match scan.eat_any("IWEF")? {
        'I' => Level::Info,
        'W' => Level::Warn,
        'E' => Level::Error,
        _ => Level::Fatal,
    };
    let day = scan.number(4..=4)?;
    scan.eat(' ')?;
    let clock_time = time_of_day(scan)?;
    Some(Stamp { time: without_year(clock, day / 100, day % 100, clock_time)?, style: Style::Glog(level) })
}

/// `1795331539`, `1795331539.267` (s) or `1795331539267` (ms): from 2001 to 2100, and nothing glued to it.
fn epoch(scan: &mut Scan<'_>, _: &Clock) -> Option<Stamp> {
    const SECONDS: std::ops::Range<i64> = 1_000_000_000..4_102_444_800;
    let mut ahead = *scan;
    let time = if let Some(millis) = ahead.number(13..=13) {
        DateTime::from_timestamp_millis(millis).filter(|_| SECONDS.contains(&(millis / 1000)))?
    } else {
        let seconds = ahead.number(10..=10).filter(|seconds| SECONDS.contains(seconds))?;
        let micros = if ahead.peek() == Some('.') { fraction(&mut ahead)? } else { 0 };
        DateTime::from_timestamp_micros(seconds * 1_000_000 + micros)?
    };
    if !ahead.at_gap() && ahead.peek() != Some(']') {
        return None;
    }
    *scan = ahead;
    Some(plain(time))
}

/// `07:12:19.267`, Logback's default; a fraction is required. The day is the one that puts it last before now.
fn time_only(scan: &mut Scan<'_>, clock: &Clock) -> Option<Stamp> {
    let mut ahead = *scan;
    ahead.until(':')?;
    ahead.until(':')?;
    ahead.number(2..=2)?;
    ahead.eat_any(".,")?;
    let clock_time = time_of_day(scan)?;
    let tomorrow = clock.zone.to_local(clock.now).date().succ_opt()?;
    let time = tomorrow
        .iter_days()
        .rev()
        .take(3)
        .filter_map(|day| clock.zone.to_utc(at(day, clock_time)?))
        .find(|&time| time <= clock.now + TIME_AHEAD)?;
    Some(plain(time))
}

/// A day and time without its year: the last year that does not put it ahead of now. The 29th of February
/// may lie eight years back.
fn without_year(clock: &Clock, month: i64, day: i64, time: DayTime) -> Option<DateTime<Utc>> {
    let this_year = i64::from(clock.zone.to_local(clock.now).year());
    (this_year - 8..=this_year + 1)
        .rev()
        .filter_map(|year| clock.zone.to_utc(at(date(year, month, day)?, time)?))
        .find(|&time| time <= clock.now + DAY_AHEAD)
}

/// Time of day, and the leap second that chrono keeps no place for.
type DayTime = (NaiveTime, Duration);

/// `07:12:19`, `7:12:19`, `07:12:19.267847`, `07:12:19,267`. Digits beyond microseconds are dropped.
fn time_of_day(scan: &mut Scan<'_>) -> Option<DayTime> {
    let hour = scan.number(1..=2)?;
    scan.eat(':')?;
    let minute = scan.number(2..=2)?;
    scan.eat(':')?;
    let second = scan.number(2..=2)?;
    let mut ahead = *scan;
    let micros = fraction(&mut ahead).unwrap_or(0);
    if micros > 0 || ahead.rest().len() < scan.rest().len() {
        *scan = ahead;
    }
    let (second, leap) = if second == 60 { (59, Duration::seconds(1)) } else { (second, Duration::zero()) };
    let part = |n: i64| u32::try_from(n).ok();
    Some((NaiveTime::from_hms_micro_opt(part(hour)?, part(minute)?, part(second)?, part(micros)?)?, leap))
}

/// `.267847` or `,267` in µs; takes nothing when no digit follows the mark.
fn fraction(scan: &mut Scan<'_>) -> Option<i64> {
    let mut ahead = *scan;
    ahead.eat_any(".,")?;
    let digits = ahead.rest().bytes().take_while(u8::is_ascii_digit).count();
    let number = ahead.rest().get(..digits.min(6)).filter(|number| !number.is_empty())?;
    let micros = number.parse::<i64>().ok()? * 10_i64.pow(6 - u32::try_from(number.len()).ok()?);
    *scan = Scan::new(&ahead.rest()[digits..]);
    Some(micros)
}

/// Takes the zone behind a time, if it names one: `Z`, `UTC`, `GMT`, `+01:00`, `+0100`, `+01`. Says whether it
/// was a numeric offset.
fn zoned(scan: &mut Scan<'_>, clock: &Clock, local: NaiveDateTime) -> Option<(DateTime<Utc>, bool)> {
    let mut ahead = *scan;
    let glued = ahead.skip_blanks() == 0;
    if let Some(seconds) = offset(&mut ahead, glued).or_else(|| named_utc(&mut ahead)) {
        let numeric = scan.rest().trim_start_matches([' ', '\t']).starts_with(['+', '-']);
        *scan = ahead;
        return Some((local.checked_sub_signed(Duration::seconds(seconds))?.and_utc(), numeric));
    }
    Some((clock.zone.to_utc(local)?, false))
}

/// Offset in seconds. Behind a blank all four digits must stand, so that ` - name` or ` -5` is none.
fn offset(scan: &mut Scan<'_>, glued: bool) -> Option<i64> {
    let mut ahead = *scan;
    let sign = if ahead.eat_any("+-")? == '-' { -1 } else { 1 };
    let (hours, minutes) = if let Some(both) = ahead.number(4..=4) {
        (both / 100, both % 100)
    } else {
        let hours = ahead.number(2..=2)?;
        match ahead.eat(':') {
            Some(()) => (hours, ahead.number(2..=2)?),
            None if glued => (hours, 0),
            None => return None,
        }
    };
    let closes = ahead.at_gap() || ahead.peek().is_some_and(|c| c.is_ascii_punctuation());
    if hours > 14 || minutes > 59 || !closes {
        return None;
    }
    *scan = ahead;
    Some(sign * (hours * 3600 + minutes * 60))
}

fn named_utc(scan: &mut Scan<'_>) -> Option<i64> {
    let rest = ["Z", "z", "UTC", "GMT"].iter().find_map(|name| scan.rest().strip_prefix(name))?;
    if rest.starts_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    *scan = Scan::new(rest);
    Some(0)
}

fn month(scan: &mut Scan<'_>) -> Option<i64> {
    i64::try_from(name(scan, &MONTHS)? + 1).ok()
}

/// Takes one of three-letter `names`; its index.
fn name(scan: &mut Scan<'_>, names: &[&str]) -> Option<usize> {
    let index = names.iter().position(|name| scan.rest().starts_with(name))?;
    *scan = Scan::new(&scan.rest()[3..]);
    Some(index)
}

fn date(year: i64, month: i64, day: i64) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(day).ok()?)
}

fn at(day: NaiveDate, (time, leap): DayTime) -> Option<NaiveDateTime> {
    day.and_time(time).checked_add_signed(leap)
}
