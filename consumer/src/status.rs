//! One line a second on a terminal: what goes through and how far behind it is.

use crate::health::{Health, State};
use crate::metrics::{Metrics, Sink, SinkLabel};
use common::units::{format_count, format_size};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Starts the status line if standard error is a terminal.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start(metrics: Metrics, health: Health) -> std::io::Result<()> {
    if !std::io::stderr().is_terminal() {
        return Ok(());
    }
    std::thread::Builder::new().name("status".into()).spawn(move || {
        let mut last = (Instant::now(), 0);
        while health.state() != State::Stopping {
            std::thread::park_timeout(Duration::from_secs(1));
            let file = metrics.events_out.get_or_create(&SinkLabel { sink: Sink::file }).get();
            let redis = metrics.events_out.get_or_create(&SinkLabel { sink: Sink::redis }).get();
            let rate = (file - last.1) as f64 / last.0.elapsed().as_secs_f64();
            last = (Instant::now(), file);
            metrics.sample(&health);
            let line = match health.state() {
                State::Standby { holder } => format!("standing by: the file is held by {holder}"),
                State::Starting => "joining the group".to_owned(),
                State::Active | State::Stopping => format!(
                    "{}/s  file {}  redis {}{}  memory {}",
                    format_count(rate),
                    format_count(file as f64),
                    format_count(redis as f64),
                    if metrics.redis_attached.get() == 1 { "" } else { " (catching up)" },
                    format_size(u64::try_from(metrics.resident_memory.get()).unwrap_or(0)),
                ),
            };
            // A terminal that is gone needs no status.
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    })?;
    Ok(())
}
