//! A line on the terminal that says how it goes; nothing where there is no terminal.

use crate::publish::Accounts;
use common::units::format_count;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the line changes, µs.
const EVERY_MICROS: u64 = 200_000;

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    behind: u64,
    shown: u64,
    acknowledged: u64,
}

impl Progress {
    /// Shows up with the first update. `total`: events in all, if known.
    pub(crate) fn new(total: Option<u64>) -> Progress {
        let template = match total {
            Some(_) => "{bar:24} {percent:>3}% {msg}",
            None => "{spinner} {msg}",
        };
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(template).expect("a template that tests have read"));
        Progress { bar, behind: 0, shown: 0, acknowledged: 0 }
    }

    /// Events that are due and not taken yet.
    pub(crate) fn set_behind(&mut self, events: u64) {
        self.behind = events;
    }

    /// Draws the line anew, if it is time. `now`: µs since the epoch.
    pub(crate) fn update(&mut self, now: u64, accounts: &Accounts) {
        if now < self.shown + EVERY_MICROS || self.bar.is_hidden() {
            return;
        }
        let rate = (accounts.acknowledged - self.acknowledged) as f64 * 1e6 / (now - self.shown) as f64;
        let first = std::mem::replace(&mut self.shown, now) == 0;
        self.acknowledged = accounts.acknowledged;
        self.bar.set_position(accounts.acknowledged);
        self.bar.set_message(line(accounts, if first { 0.0 } else { rate }, self.behind));
        self.bar.tick();
    }

    /// Says something above the line.
    pub(crate) fn suspend(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(accounts: &Accounts, rate: f64, behind: u64) -> String {
    let count = |events: u64| format_count(events as f64);
    let mut line = format!(
        "{}/s · {} acknowledged · {} in flight",
        format_count(rate),
        count(accounts.acknowledged),
        count(accounts.in_flight())
    );
    for (events, what) in [(behind, "behind schedule"), (accounts.failed, "failed")] {
        if events > 0 {
            line += &format!(" · {} {what}", count(events));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_fast_how_far_and_what_is_wrong() {
        let mut accounts = Accounts::default();
        accounts.sent(2_000, 0);
        accounts.acknowledged(1_500, Some((1, 1_500)), 1);
        assert_eq!(line(&accounts, 1_250.0, 0), "1.2k/s · 1.5k acknowledged · 500 in flight");
        accounts.failed(1_501, 0, "timed out");
        assert_eq!(
            line(&accounts, 0.0, 70_000),
            "0/s · 1.5k acknowledged · 499 in flight · 70.0k behind schedule · 1 failed"
        );
    }

    #[test]
    fn is_silent_without_a_terminal() {
        for total in [Some(4_000), None] {
            let mut progress = Progress::new(total);
            progress.bar.set_draw_target(ProgressDrawTarget::hidden());
            progress.update(1_000_000, &Accounts::default());
            assert_eq!((progress.shown, progress.bar.message()), (0, String::new()));
        }
    }
}
