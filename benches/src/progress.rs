//! What a person sees while a bench works: one line on a terminal, else a line a run.

use common::units::format_count;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// The line.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of so many steps.
    pub fn new(steps: usize) -> Progress {
        let bar = ProgressBar::new(steps as u64);
        let style = ProgressStyle::with_template("{pos}/{len} {elapsed} {prefix}: {msg}");
        bar.set_style(style.expect("a template that is right"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Progress { bar }
    }

    /// There are so many more.
    pub fn more(&self, steps: usize) {
        self.bar.inc_length(steps as u64);
    }

    /// The next step begins.
    pub fn step(&self, what: &str) {
        self.bar.inc(1);
        self.bar.set_prefix(what.to_owned());
        self.bar.set_message("");
        if !std::io::stderr().is_terminal() {
            eprintln!("{}/{} {what}", self.bar.position(), self.bar.length().unwrap_or(0));
        }
    }

    /// What is done at the moment.
    pub fn tell(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// So many events are through.
    pub fn events(&self, events: u64) {
        self.tell(&format!("{} events", format_count(events as f64)));
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
