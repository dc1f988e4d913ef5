//! Flags → one configuration that is possible, before anything starts.

use crate::cli::{Cli, Command, Key, RunArgs, SimulateArgs};
use crate::identity;
use crate::pace::{Profile, Schedule};
use crate::source::Scene;
use crate::source::ship::ShipArgs;
use common::telemetry::LogFormat;
use common::units::format_size;
use kafka::options::{KafkaOptions, Reserved};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A configuration that cannot be: one line that says what to change. The program ends with status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Impossible(pub(crate) String);

/// One run.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where events come from.
    pub(crate) work: Work,
    /// How to reach Kafka, and the topic.
    pub(crate) kafka: KafkaOptions,
    /// Identity of the run.
    pub(crate) producer: String,
    /// Whether events have their service as key.
    pub(crate) keyed: bool,
    /// How long to wait for a broker at the start.
    pub(crate) wait: Duration,
    /// Where the closing report goes, beside standard output.
    pub(crate) report: Option<PathBuf>,
    /// How the program's own log lines look.
    pub(crate) log_format: LogFormat,
}

/// Where events come from.
#[derive(Debug)]
pub(crate) enum Work {
    /// Made up, on a schedule.
    Simulate {
        /// When.
        schedule: Schedule,
        /// What.
        scene: Scene,
    },
    /// Lines of files.
    Ship(ShipArgs),
}

impl TryFrom<Cli> for Config {
    type Error = Impossible;

    fn try_from(cli: Cli) -> Result<Config, Impossible> {
        match cli.command {
            None => {
                let seed = cli.simulate.seed;
                let producer = cli.run.producer.clone().unwrap_or_else(|| match seed {
                    Some(seed) => identity::from_seed(seed),
                    None => identity::unique(),
                });
                let work = simulation(cli.simulate, producer.clone(), cli.run.key == Key::Service)?;
                Config::of_run(work, cli.run, producer)
            }
            Some(Command::Ship { ship, run }) => {
                let producer = run.producer.clone().unwrap_or_else(identity::unique);
                Config::of_run(Work::Ship(ship), run, producer)
            }
        }
    }
}

impl Config {
    fn of_run(work: Work, run: RunArgs, producer: String) -> Result<Config, Impossible> {
        check_topic(&run.kafka.topic)?;
        run.kafka.check(&RESERVED).map_err(Impossible)?;
        run.report.as_deref().map_or(Ok(()), check_report)?;
        Ok(Config {
            work,
            kafka: run.kafka,
            producer,
            keyed: run.key == Key::Service,
            wait: run.wait,
            report: run.report,
            log_format: run.log_format,
        })
    }
}

/// Longest simulated event: half of what a broker takes unless told otherwise, since the last text added may be long.
const MAX_EVENT_BYTES: u64 = 512 << 10;

fn simulation(args: SimulateArgs, producer: String, keyed: bool) -> Result<Work, Impossible> {
    if args.rate == 0 && args.profile != Profile::Steady {
        return Err(Impossible(
            "--profile changes a rate over time: give one with --rate, such as --rate 50k".to_owned(),
        ));
    }
    if args.count == Some(0) {
        return Err(Impossible(
            "--count 0 sends nothing: give at least 1, or leave it out to go on until Ctrl-C".to_owned(),
        ));
    }
    if args.duration == Some(Duration::ZERO) {
        return Err(Impossible(
            "--duration 0s sends nothing: give a longer time, or leave it out to go on until Ctrl-C"
                .to_owned(),
        ));
    }
    let schedule = Schedule {
        rate_per_second: args.rate,
        profile: args.profile,
        count: args.count,
        duration: args.duration,
    };
    let event_bytes = args.event_size.unwrap_or(0);
    if event_bytes > MAX_EVENT_BYTES {
        return Err(Impossible(format!(
            "--event-size {event_bytes} is more than a broker takes: give at most {}",
            format_size(MAX_EVENT_BYTES)
        )));
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    let scene = Scene {
        seed,
        producer,
        levels: args.levels,
        services: args.services,
        keyed,
        event_bytes: usize::try_from(event_bytes).unwrap_or(usize::MAX),
    };
    Ok(Work::Simulate { schedule, scene })
}

/// Kafka's own rule for names of topics.
fn check_topic(topic: &str) -> Result<(), Impossible> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=249).contains(&topic.len()) && topic.chars().all(allowed) && topic != "." && topic != ".." {
        return Ok(());
    }
    Err(Impossible(format!(
        "--topic '{topic}' is no name of a topic: use up to 249 letters, digits, '.', '_' or '-'"
    )))
}

/// Properties that would break what the report promises.
const RESERVED: [Reserved; 3] = [
    Reserved {
        key: "delivery.report.only.error",
        allowed: &["false"],
        reason: "every acknowledgement is counted",
    },
    Reserved {
        key: "transactional.id",
        allowed: &[],
        reason: "events are not sent in transactions; enable.idempotence already avoids doubles",
    },
    Reserved {
        key: "acks",
        allowed: &["all", "-1"],
        reason: "an event counts once all in-sync replicas have it: acks=all",
    },
];

/// Found out now rather than after an hour of sending.
fn check_report(path: &Path) -> Result<(), Impossible> {
    if path.is_dir() || path.file_name().is_none() {
        return Err(Impossible(format!("--report {} is a folder: name a file", path.display())));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(Impossible(format!(
            "--report {}: create the folder {} first",
            path.display(),
            folder.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn config(args: &str) -> Result<Config, String> {
        let args = std::iter::once("producer").chain(args.split_whitespace());
        let cli = Cli::try_parse_from(args).map_err(|error| error.to_string())?;
        Config::try_from(cli).map_err(|error| error.to_string())
    }

    fn simulation(args: &str) -> (Schedule, Scene, Config) {
        let config = config(args).expect("a configuration");
        match &config.work {
            Work::Simulate { schedule, scene } => (*schedule, scene.clone(), config),
            Work::Ship(_) => panic!("no simulation"),
        }
    }

    #[test]
    fn a_seed_decides_the_name_unless_one_is_given() {
        let (_, scene, config) = simulation("--seed 7");
        assert_eq!((scene.seed, &scene.producer), (7, &identity::from_seed(7)));
        assert_eq!(config.producer, scene.producer);
        let (_, scene, config) = simulation("--seed 7 --producer mine");
        assert_eq!((scene.producer.as_str(), config.producer.as_str()), ("mine", "mine"));
        let (first, second) = (simulation("").1, simulation("").1);
        assert_ne!(first.producer, second.producer);
        assert_ne!(first.seed, second.seed);
    }

    #[test]
    fn humane_units() {
        let (schedule, ..) = simulation("--rate 1.5M/s --count 2M --duration 1m30s --profile spike:times=3");
        assert_eq!(schedule.rate_per_second, 1_500_000);
        assert_eq!(schedule.count, Some(2_000_000));
        assert_eq!(schedule.duration, Some(Duration::from_secs(90)));
        assert_eq!(simulation("--rate max").0.rate_per_second, 0);
    }

    #[test]
    fn impossible_ones_say_what_to_change() {
        for (args, hint) in [
            ("--rate max --profile spike", "give one with --rate"),
            ("--count 0", "at least 1"),
            ("--duration 0s", "a longer time"),
            ("--event-size 1MiB", "at most 512.0 KiB"),
            ("--topic a/b", "use up to 249 letters"),
            ("--report /nowhere/at/all/r.json", "create the folder /nowhere/at/all first"),
            ("--report /", "a folder"),
            ("--kafka acks=1", "acks=all"),
            ("--kafka delivery.report.only.error=true", "every acknowledgement is counted"),
            ("--kafka transactional.id=x", "not sent in transactions"),
            ("--rate fast", "expected a number such as"),
            ("--rate -5", "expected a number such as"),
            ("--count -5", "expected a number such as"),
            ("--seed abc", "expected a whole number"),
            ("--seed -1", "expected a whole number"),
            ("--levels LOUD=1", "expected TRACE, DEBUG"),
            ("--levels INFO=0", "at least one weight"),
            ("--services a;b", "letters, digits"),
            ("--producer a\"b", "letters, digits"),
            ("--profile saw", "expected steady, ramp, spike or sine"),
            ("--rate 5 ship x", "cannot be used with"),
        ] {
            let error = config(args).expect_err(args);
            assert!(error.contains(hint), "{args}: {error}");
        }
    }
}
