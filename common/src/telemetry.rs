//! Structured logs of the programs themselves, on standard error.

use crate::decode::{escape, forges};
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

const ESC: char = '\u{1b}';
/// Behind ESC, what tracing-subscriber writes on a terminal.
const COLOURS: [&str; 9] = ["[0m", "[1m", "[2m", "[3m", "[31m", "[32m", "[33m", "[34m", "[35m"];

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
        stderr.write_all(&harmless_line(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// A line as it was formatted, which may have colours. What stands in it of brokers' and files' making is no other line,
/// moves no cursor and doesn't turn the direction of this one: at the most it has a colour, too. The escapes are JSON's.
fn harmless_line(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let (mut rest, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
    let mut out = Vec::with_capacity(line.len());
    while let Some((plain, behind)) = rest.split_once(ESC) {
        escape(plain, forges, &mut out);
        let colour = behind.split_inclusive('m').next().filter(|colour| COLOURS.contains(colour));
        match colour {
            Some(colour) => write!(out, "{ESC}{colour}").expect("a Vec takes everything"),
            None => escape("\u{1b}", forges, &mut out),
        }
        rest = &behind[colour.map_or(0, str::len)..];
    }
    escape(rest, forges, &mut out);
    out.extend_from_slice(end.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::{Arc, Mutex};
    use tracing::subscriber::with_default;
    use tracing::{error, warn};

    /// Keeps what was logged.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one thread").extend(harmless_line(line));
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What stands on standard error after a message and a field with that text.
    fn logged(format: LogFormat, text: &str) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let builder = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_target(false);
        let log = || {
            error!("{text}");
            warn!(file = %text, reason = text, "cannot read");
        };
        match format {
            LogFormat::Text => with_default(builder.with_ansi(true).finish(), log),
            LogFormat::Json => with_default(builder.json().flatten_event(true).finish(), log),
        }
        let mut said = String::new();
        kept.0.lock().expect("one thread").as_slice().read_to_string(&mut said).expect("text");
        said
    }

    #[test]
    fn a_name_forges_no_line_of_the_log() {
        let hostile = "a\r\n\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2028}\0";
        for format in [LogFormat::Text, LogFormat::Json] {
            let said = logged(format, hostile);
            assert_eq!(said.lines().count(), 2, "{said:?}");
            let plain = COLOURS
                .iter()
                .fold(said.replace('\n', ""), |text, colour| text.replace(&format!("{ESC}{colour}"), ""));
            assert!(!plain.contains(forges), "{said:?}");
            assert_eq!(plain.len() < said.len() - 2, matches!(format, LogFormat::Text), "coloured: {said:?}");
        }
        for line in logged(LogFormat::Json, hostile).lines() {
            let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let text = object.get("file").unwrap_or(&object["message"]);
            assert_eq!(text, hostile, "the same to a machine");
        }
    }
}
