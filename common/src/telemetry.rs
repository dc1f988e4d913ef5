//! Structured logs of the programs themselves, on standard error.

use clap::ValueEnum;
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// How the program's own log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// One readable line each; colours on a terminal only.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// Starts logging to standard error. `RUST_LOG` overrides the default level `info`.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || LogLines { over_status_line: terminal })
        .with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(terminal).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// Standard error; on a terminal a log line takes the place of the status line, which comes again below it.
struct LogLines {
    over_status_line: bool,
}

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut stderr = std::io::stderr().lock();
        if self.over_status_line {
            stderr.write_all(b"\r\x1b[K")?;
        }
        stderr.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
