//! The one way of waiting: for a condition, with a deadline, and a name for the error.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);

/// What a condition may answer: `bool` (met or not) or `Option<T>` (met, with a value).
pub trait Answer {
    /// What the wait returns once the condition is met.
    type Value;

    /// The value if the condition is met.
    fn met(self) -> Option<Self::Value>;
}

impl Answer for bool {
    type Value = ();

    fn met(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Answer for Option<T> {
    type Value = T;

    fn met(self) -> Option<T> {
        self
    }
}

/// Looks at `condition` every few milliseconds until it is met; `what` is named if it never is.
///
/// ```
/// use std::time::Duration;
/// let waited = harness::wait_until("two is two", Duration::from_secs(1), || 1 + 1 == 2);
/// assert!(waited.is_ok());
/// ```
///
/// # Errors
/// When `within` has passed. The condition is always looked at once more after that.
pub fn wait_until<A: Answer>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> A,
) -> Result<A::Value> {
    let start = Instant::now();
    loop {
        let late = start.elapsed() >= within;
        if let Some(value) = condition().met() {
            return Ok(value);
        }
        if late {
            bail!("waited {:.1} s in vain: {what}", start.elapsed().as_secs_f64());
        }
        std::thread::park_timeout(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_met_condition_gives_its_value_and_an_unmet_one_its_name() {
        let mut looks = 0;
        let third = wait_until("a third look", Duration::from_secs(5), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(third.unwrap(), 3);

        let error = wait_until("pigs to fly", Duration::from_millis(20), || false).unwrap_err();
        assert!(error.to_string().ends_with("in vain: pigs to fly"), "{error}");
    }
}
