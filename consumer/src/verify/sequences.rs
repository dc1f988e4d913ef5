//! How ordered a merge is: the fewest increasing sequences that it can be made of.
//!
//! Kafka keeps order within a partition. A file that holds one partition must have each producer's numbers
//! ascending; one that merges P partitions is P ascending sequences shuffled into each other. Which event came
//! from which partition is not in the file, but a number that belongs to no sequence when P are there already
//! proves a reordering.

/// One producer's numbers in one file. All numbers given must be distinct.
#[derive(Debug)]
pub struct Sequences {
    /// The last number of each sequence, ascending.
    tails: Vec<u64>,
    /// The sequence that grew last: partitions come in batches.
    last: usize,
    limit: usize,
}

impl Sequences {
    /// At most `limit` sequences.
    pub fn new(limit: usize) -> Sequences {
        Sequences { tails: Vec::new(), last: 0, limit }
    }

    /// How many it takes.
    pub fn count(&self) -> usize {
        self.tails.len()
    }

    /// Adds the next number of the file; whether it fits.
    ///
    /// It goes behind the largest tail below it, which leaves the most room for what follows: with this rule
    /// the number of sequences is the smallest possible, the length of the longest descending subsequence
    /// (Dilworth; "patience sorting").
    pub fn add(&mut self, number: u64) -> bool {
        let fits = |i: usize| self.tails.get(i).is_some_and(|&tail| tail < number);
        let behind = if fits(self.last) && !fits(self.last + 1) {
            Some(self.last)
        } else {
            self.tails.partition_point(|&tail| tail < number).checked_sub(1)
        };
        match behind {
            Some(i) => {
                self.tails[i] = number;
                self.last = i;
                true
            }
            None if self.tails.len() < self.limit => {
                self.tails.insert(0, number);
                self.last = 0;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn longest_descent(numbers: &[u64]) -> usize {
        let mut longest = vec![1; numbers.len()];
        for i in 0..numbers.len() {
            for j in 0..i {
                if numbers[j] > numbers[i] {
                    longest[i] = longest[i].max(longest[j] + 1);
                }
            }
        }
        longest.into_iter().max().unwrap_or(0)
    }

    #[test]
    fn one_sequence_takes_only_ascending_numbers() {
        let mut one = Sequences::new(1);
        let fits: Vec<_> = [1, 2, 5, 4, 6].into_iter().map(|n| one.add(n)).collect();
        assert_eq!(fits, [true, true, true, false, true]);
    }

    proptest! {
        #[test]
        fn as_few_sequences_as_possible(numbers in Just((0..40_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut sequences = Sequences::new(usize::MAX);
            prop_assert!(numbers.iter().all(|&n| sequences.add(n)));
            prop_assert_eq!(sequences.count(), longest_descent(&numbers));
        }

        #[test]
        fn a_merge_of_p_partitions_fits_into_p(partition_of in proptest::collection::vec(0..5_usize, 1..200), turns in proptest::collection::vec(0..5_usize, 1..400)) {
            let mut partitions = vec![std::collections::VecDeque::new(); 5];
            for (number, &p) in partition_of.iter().enumerate() {
                partitions[p].push_back(number as u64);
            }
            let mut sequences = Sequences::new(5);
            for &p in turns.iter().chain(&[0, 1, 2, 3, 4].repeat(200)) {
                if let Some(number) = partitions[p].pop_front() {
                    prop_assert!(sequences.add(number));
                }
            }
        }
    }
}
