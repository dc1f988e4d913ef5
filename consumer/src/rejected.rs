//! `consumer rejected`: what could not be understood, and its way back.
//!
//! The topic of the rejected is its own ledger. An event is brought back by one Kafka transaction that writes it to the
//! topic of the log events, and to the topic of the rejected a *receipt*: a record without payload whose headers name
//! the same source. Both are there or none. So each comes back once, however often it is asked for; and of two who ask
//! at once Kafka lets only the later one commit, since they have one transactional id.

mod journey;
mod list;
mod mended;
mod reader;
mod replay;

use clap::{Args, Subcommand};
use common::decode::Reject;
use kafka::options::{KafkaOptions, Reserved};
use reader::Rejected;

/// What to do with them.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Shows which events wait in the topic of the rejected, and why
    List(list::Args),
    /// Brings events back to the topic of the log events, each once, however often it is called
    Replay(replay::Args),
}

/// Properties on which it rests that each comes back once.
const RESERVED: [Reserved; 2] = [
    Reserved {
        key: "isolation.level",
        allowed: &["read_committed"],
        reason: "what was not committed was not brought back",
    },
    Reserved {
        key: "transactional.id",
        allowed: &[],
        reason: "of two who bring back at once, only one may commit",
    },
];

impl Action {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// One line that says what to change.
    pub fn check(&self) -> Result<(), String> {
        let which = match self {
            Action::List(args) => &args.which,
            Action::Replay(args) => &args.which,
        };
        which.kafka.check(&RESERVED)
    }
}

/// Which events.
#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    kafka: KafkaOptions,

    /// Topic for events that can't be understood
    #[arg(long, env = "SLUICE_REJECTED_TOPIC", default_value = "logs.rejected", value_name = "TOPIC")]
    rejected_topic: String,

    /// Only those that were refused for this reason, as `rejected list` shows it
    #[arg(long, value_parser = parse_reason)]
    reason: Option<&'static str>,
}

impl Which {
    /// True for an event of our topic, refused for the reason asked for.
    fn want(&self, rejected: &Rejected<'_>) -> bool {
        rejected.source.topic == self.kafka.topic
            && self.reason.is_none_or(|reason| reason == rejected.reason)
    }
}

/// Does it; whether all is well.
///
/// # Errors
/// When Kafka does not answer or refuses, or a file can't be read.
pub fn run(action: &Action) -> anyhow::Result<bool> {
    match action {
        Action::List(args) => list::run(args),
        Action::Replay(args) => replay::run(args),
    }
}

fn parse_reason(text: &str) -> Result<&'static str, String> {
    let all = Reject::ALL.map(Reject::as_str);
    let found = all.into_iter().find(|&reason| reason == text);
    found.ok_or_else(|| format!("there are {}", all.join(", ")))
}
