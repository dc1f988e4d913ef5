//! A set of numbers, held as ranges.

use std::collections::BTreeMap;

/// Ranges that neither overlap nor touch, by their first number: memory grows with the gaps, not the numbers.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    last_by_first: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds a number.
    pub(crate) fn insert(&mut self, number: u64) {
        let mut first = number;
        let mut last = number;
        if let Some((&before, &end)) = self.last_by_first.range(..=number).next_back() {
            if end >= number {
                return;
            }
            if end + 1 == number {
                first = before;
            }
        }
        if let Some(end) = number.checked_add(1).and_then(|next| self.last_by_first.remove(&next)) {
            last = end;
        }
        self.last_by_first.insert(first, last);
    }

    /// The ranges, first and last number of each, ascending, as far as they lie from `from` to `to`.
    pub(crate) fn within(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        self.last_by_first
            .iter()
            .map(|(&first, &last)| (first.max(from), last.min(to)))
            .filter(|(first, last)| first <= last)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_the_numbers_in_any_order(numbers in prop::collection::vec(0..60_u64, 0..60), from in 0..60_u64, to in 0..60_u64) {
            let mut ranges = Ranges::default();
            for &number in &numbers {
                ranges.insert(number);
            }
            let held: BTreeSet<u64> = numbers.into_iter().filter(|number| (from..=to).contains(number)).collect();
            let within = ranges.within(from, to);
            prop_assert!(within.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{within:?}");
            prop_assert_eq!(within.into_iter().flat_map(|(first, last)| first..=last).collect::<BTreeSet<_>>(), held);
        }
    }
}
