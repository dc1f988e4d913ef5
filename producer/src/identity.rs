//! The name of a run: the `producer` field of its events, which with their `seq` identifies each of them.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LENGTH: usize = 6;
const LONGEST: usize = 32;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A name for a run with this seed, always the same.
pub(crate) fn from_seed(seed: u64) -> String {
    draw(&mut ChaCha8Rng::seed_from_u64(seed))
}

/// A name that no other run has; by chance one in 36^6, two billion, does.
pub(crate) fn unique() -> String {
    draw(&mut rand::rng())
}

fn draw(rng: &mut impl Rng) -> String {
    (0..LENGTH).map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())])).collect()
}

/// Checks a name given by the user; services have the same rule, for the same reason: they stand in every event,
/// unescaped.
///
/// # Errors
/// Says what a name may look like.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=LONGEST).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected 1 to {LONGEST} letters, digits, '.', '_' or '-', not '{text}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_name_and_runs_without_one_differ() {
        assert_eq!(from_seed(7), from_seed(7));
        assert_ne!(from_seed(7), from_seed(8));
        assert_ne!(unique(), unique());
        for name in [from_seed(7), unique()] {
            assert_eq!((name.len(), parse_name(&name)), (LENGTH, Ok(name.clone())));
        }
    }

    #[test]
    fn names_are_short_and_need_no_escapes() {
        assert_eq!(parse_name("Edge-1.eu_west"), Ok("Edge-1.eu_west".to_owned()));
        for name in ["", "a b", "a\"b", "é", "a\n", &"x".repeat(LONGEST + 1)] {
            assert!(parse_name(name).is_err(), "{name}");
        }
    }
}
