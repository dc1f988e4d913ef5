//! `producer`: puts log events into Kafka, simulated at any rate or shipped from real files.
//!
//! ```text
//! cli → config → run:  source (simulate by pace | ship) → batch → publish → report
//! ```

mod batch;
mod cli;
mod clock;
mod config;
mod identity;
mod pace;
mod progress;
mod publish;
mod report;
mod run;
mod source;
mod weights;

use common::shutdown::Shutdown;
use common::terminal::{self, say_error};
use common::{crash, telemetry};
use config::{Config, Impossible};
use std::process::ExitCode;

/// What this crate's own benches measure; the rest stays private, so that the compiler sees what nobody uses.
pub mod hot {
    pub use crate::batch::Batch;
    pub use crate::source::{DEFAULT_SERVICES, Scene, Simulator};
    pub use crate::weights::Weights;
}

/// Something was not acknowledged, or another error.
const FAILED: u8 = 1;
/// The configuration is impossible, as clap ends for what it finds itself.
const IMPOSSIBLE: u8 = 2;

/// The program: reads its command line, runs, and says how to end.
pub fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::from(if error.is::<Impossible>() { IMPOSSIBLE } else { FAILED })
        }
    }
}

fn start() -> anyhow::Result<()> {
    let config = Config::try_from(terminal::parse::<cli::Cli>())?;
    telemetry::init(config.log_format);
    crash::on_panic();
    let shutdown = Shutdown::on_signals()?;
    run::run(&config, &shutdown)
}
