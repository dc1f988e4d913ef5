//! A time in both forms that an event has it in, written without formatting: only when the second changes is
//! the part that both share computed anew.

use chrono::DateTime;

/// Length of `2026-11-22T07:12:19.267847`.
pub(super) const TIMESTAMP_LEN: usize = 26;
/// Length of `1795331539267847`.
pub(super) const DUE_LEN: usize = 16;

const SECOND_LEN: usize = 20;
const MICROS: u64 = 1_000_000;
/// 2001-09-09 to 2286-11-20: when µs since the epoch have 16 digits.
const SIXTEEN_DIGITS: std::ops::RangeInclusive<u64> = 1_000_000_000_000_000..=9_999_999_999_999_999;

/// An instant, ready to be written.
#[derive(Debug)]
pub(super) struct Stamp {
    second: u64,
    /// `2026-11-22T07:12:19.`
    date: [u8; SECOND_LEN],
    /// `1795331539`
    epoch: [u8; 10],
    micros: [u8; 6],
}

impl Default for Stamp {
    fn default() -> Stamp {
        Stamp { second: u64::MAX, date: [0; SECOND_LEN], epoch: [0; 10], micros: [0; 6] }
    }
}

impl Stamp {
    /// Takes an instant in µs since the epoch; what has not 16 digits is moved to the nearest that has.
    pub(super) fn set(&mut self, micros: u64) {
        let micros = micros.clamp(*SIXTEEN_DIGITS.start(), *SIXTEEN_DIGITS.end());
        let second = micros / MICROS;
        if second != self.second {
            self.set_second(second);
        }
        let mut rest = (micros % MICROS) as u32;
        for digit in self.micros.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }

    #[cold]
    fn set_second(&mut self, second: u64) {
        let time = DateTime::from_timestamp(second as i64, 0).expect("sixteen digits of µs are a time");
        self.second = second;
        self.date.copy_from_slice(time.format("%Y-%m-%dT%H:%M:%S.").to_string().as_bytes());
        self.epoch.copy_from_slice(second.to_string().as_bytes());
    }

    /// Writes `2026-11-22T07:12:19.267847` to the start of `place`.
    pub(super) fn write_timestamp(&self, place: &mut [u8]) {
        place[..SECOND_LEN].copy_from_slice(&self.date);
        place[SECOND_LEN..TIMESTAMP_LEN].copy_from_slice(&self.micros);
    }

    /// Writes `1795331539267847` to the start of `place`.
    pub(super) fn write_due(&self, place: &mut [u8]) {
        place[..10].copy_from_slice(&self.epoch);
        place[10..DUE_LEN].copy_from_slice(&self.micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::event::format_timestamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_forms_are_those_of_the_library(start in SIXTEEN_DIGITS, steps in prop::collection::vec(0..700_000_u64, 1..9)) {
            let mut stamp = Stamp::default();
            let mut micros = start;
            for step in steps {
                micros = (micros + step).min(*SIXTEEN_DIGITS.end());
                stamp.set(micros);
                let (mut timestamp, mut due) = ([0; TIMESTAMP_LEN], [0; DUE_LEN]);
                stamp.write_timestamp(&mut timestamp);
                stamp.write_due(&mut due);
                let time = DateTime::from_timestamp_micros(micros as i64).expect("a time");
                let expected = format_timestamp(time);
                prop_assert_eq!(str::from_utf8(&timestamp), Ok(expected.trim_end_matches('Z')));
                prop_assert_eq!(str::from_utf8(&due).map(str::to_owned), Ok(micros.to_string()));
            }
        }
    }
}
