//! How often each of several things is drawn, relative to the others.

use common::units::parse_count;
use rand::{Rng, RngExt};

/// Items and their weights; at least one weight is above 0, and all of them together fit into 32 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights<T> {
    items: Vec<(T, u32)>,
    total: u32,
}

impl<T> Weights<T> {
    /// # Errors
    /// Says so when nothing could be drawn.
    pub(crate) fn new(items: Vec<(T, u32)>) -> Result<Weights<T>, String> {
        let total: u64 = items.iter().map(|&(_, weight)| u64::from(weight)).sum();
        match u32::try_from(total) {
            Ok(0) => Err("at least one weight must be above 0".to_owned()),
            Ok(total) => Ok(Weights { items, total }),
            Err(_) => Err("the weights are too large: use smaller numbers in the same proportion".to_owned()),
        }
    }

    /// Reads `INFO=80,DEBUG=10`; a name alone counts 1. `item` reads a name.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str, item: impl Fn(&str) -> Result<T, String>) -> Result<Weights<T>, String>
    where
        T: PartialEq,
    {
        let mut items: Vec<(T, u32)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let parsed = item(name.trim())?;
            if items.iter().any(|(other, _)| *other == parsed) {
                return Err(format!("'{name}' stands twice"));
            }
            let weight = parse_count(weight)?;
            let weight = u32::try_from(weight).map_err(|_| format!("the weight {weight} is too large"))?;
            items.push((parsed, weight));
        }
        Weights::new(items)
    }

    /// Other items, with the same weights.
    pub(crate) fn map<U>(&self, mut other: impl FnMut(&T) -> U) -> Weights<U> {
        let items = self.items.iter().map(|(item, weight)| (other(item), *weight)).collect();
        Weights { items, total: self.total }
    }

    /// Draws one.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> &T {
        let mut drawn = rng.random_range(0..self.total);
        for (item, weight) in &self.items {
            match drawn.checked_sub(*weight) {
                Some(rest) => drawn = rest,
                None => return item,
            }
        }
        unreachable!("what is drawn is below the sum of the weights")
    }

    /// Shares `n` out in proportion: each gets its exact part rounded down or up, those with the largest
    /// remainder up, but first those that would get nothing at all.
    pub(crate) fn share_out(&self, n: u32) -> Vec<(&T, u32)> {
        let exact = |weight: u32| u64::from(n) * u64::from(weight);
        let total = u64::from(self.total);
        let mut shares: Vec<u64> = self.items.iter().map(|&(_, weight)| exact(weight) / total).collect();
        let mut left = u64::from(n) - shares.iter().sum::<u64>();
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        // Nothing at all comes before the largest remainder.
        order.sort_by_key(|&i| {
            let weight = self.items[i].1;
            (weight == 0 || shares[i] > 0, std::cmp::Reverse(exact(weight) % total))
        });
        for i in order {
            if left > 0 && self.items[i].1 > 0 {
                shares[i] += 1;
                left -= 1;
            }
        }
        let shares = shares.into_iter().map(|share| u32::try_from(share).expect("a share is at most n"));
        self.items.iter().map(|(item, _)| item).zip(shares).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn word(name: &str) -> Result<String, String> {
        if name.is_empty() { Err("a name is missing".to_owned()) } else { Ok(name.to_owned()) }
    }

    #[test]
    fn weights_are_read_and_refused() {
        let weights = Weights::parse("a=3, b , c=0", word).expect("weights");
        assert_eq!(weights.items, [("a".to_owned(), 3), ("b".to_owned(), 1), ("c".to_owned(), 0)]);
        for (text, reason) in [
            ("", "a name is missing"),
            ("a,a", "'a' stands twice"),
            ("a=0", "at least one weight must be above 0"),
            ("a=-1", "expected a number such as 250, 500k or 1.5M, not '-1'"),
            ("a=5G", "the weight 5000000000 is too large"),
            ("a=4G,b=4G", "the weights are too large: use smaller numbers in the same proportion"),
        ] {
            assert_eq!(Weights::parse(text, word), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn draws_follow_the_weights() {
        let weights = Weights::new(vec![(0, 50), (1, 0), (2, 30), (3, 20)]).expect("weights");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0_u32; 4];
        for _ in 0..100_000 {
            counts[*weights.draw(&mut rng)] += 1;
        }
        for (count, expected) in counts.into_iter().zip([50_000, 0, 30_000, 20_000_u32]) {
            assert!(count.abs_diff(expected) < 500 && (count == 0) == (expected == 0), "{counts:?}");
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_and_are_in_proportion(
            weights in prop::collection::vec(0..1000_u32, 1..8),
            n in 8..100_000_u32,
        ) {
            prop_assume!(weights.iter().sum::<u32>() > 0);
            let total: u32 = weights.iter().sum();
            let shares = Weights::new(weights.iter().copied().enumerate().collect()).expect("weights");
            let shares: Vec<u32> = shares.share_out(n).into_iter().map(|(_, share)| share).collect();
            prop_assert_eq!(shares.iter().sum::<u32>(), n);
            for (share, weight) in shares.into_iter().zip(weights) {
                let exact = f64::from(n) * f64::from(weight) / f64::from(total);
                prop_assert!((f64::from(share) - exact).abs() <= 1.0, "{share} {exact}");
                prop_assert!(weight > 0 || share == 0);
            }
        }
    }
}
