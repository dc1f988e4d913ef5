//! The command line as it is typed; [`Config`](crate::config::Config) is what it means.

use crate::identity::parse_name;
use crate::pace::Profile;
use crate::source::DEFAULT_SERVICES;
use crate::source::ship::ShipArgs;
use crate::weights::Weights;
use clap::{Args, Parser, Subcommand, ValueEnum};
use common::level::Level;
use common::telemetry::LogFormat;
use common::units::{parse_count, parse_duration, parse_rate, parse_size};
use kafka::options::KafkaOptions;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  producer --rate 100k --duration 20s     100,000 events a second, for 20 seconds
  producer --rate max --count 5M          five million, as fast as the broker takes them
  producer --rate 50k --profile spike:times=5,for=10s,every=1m
                                          five times as many in the last 10 s of each minute
  producer --rate 1k --levels INFO=50,ERROR=50 --services checkout=3,search=1
  producer ship /var/log/syslog --follow  real log lines, as they are written
  journalctl -f | producer ship -

Exit codes: 0 everything that was sent was acknowledged; 1 something was not, or another error; \
2 impossible configuration; 130 ended at once by a second signal.";

const SHIP_EXAMPLES: &str = "\
Examples:
  producer ship /var/log/nginx/*.log                  what is in them, then it ends
  producer ship --follow --from end /var/log/app.log  what comes from now on, through rotation
  zcat old.log.gz | producer ship --service shop -
  producer ship --report run.json app.log             for consumer verify --report run.json

Nothing is remembered from run to run: a second run ships the same lines once more.

Exit codes: 0 everything that was read was acknowledged; 1 something was not, or another error; \
2 impossible configuration; 130 ended at once by a second signal.";

/// Put log events into Kafka: simulated at any rate, or shipped from real files
///
/// Without a command it simulates services that log. Each event carries who sent it (producer), its number
/// (seq, from 1, without gaps) and when it was due (due): so 'consumer verify' can tell what was lost, doubled
/// or late.
#[derive(Debug, Parser)]
#[command(name = "producer", version, after_help = EXAMPLES, max_term_width = 110)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) simulate: SimulateArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ship the lines of log files, or of standard input
    #[command(after_help = SHIP_EXAMPLES)]
    Ship {
        #[command(flatten)]
        ship: ShipArgs,

        #[command(flatten)]
        run: RunArgs,
    },
}

/// What to simulate, and when.
#[derive(Debug, Args)]
#[command(next_help_heading = "Simulation")]
pub(crate) struct SimulateArgs {
    /// Events a second, such as 500k; 'max' or 0: as fast as possible
    #[arg(
        long,
        env = "PRODUCER_RATE",
        default_value = "1k",
        value_name = "RATE",
        value_parser = parse_rate,
        allow_negative_numbers = true
    )]
    pub(crate) rate: u64,

    /// How the rate changes over time
    ///
    /// steady: always --rate.
    /// ramp:from=0,over=60s: in a straight line from a rate to --rate.
    /// spike:times=5,for=10s,every=1m: --rate, and at the end of each period a multiple of it.
    /// sine:amplitude=0.5,period=60s: up and down around --rate by a part of it.
    /// The values shown are the defaults, parameters may be left out.
    #[arg(
        long,
        env = "PRODUCER_PROFILE",
        default_value = "steady",
        value_name = "steady|ramp|spike|sine[:NAME=VALUE,…]",
        verbatim_doc_comment
    )]
    pub(crate) profile: Profile,

    /// End after so many events, such as 2M [default: until Ctrl-C]
    #[arg(long, env = "PRODUCER_COUNT", value_name = "EVENTS", value_parser = parse_count, allow_negative_numbers = true)]
    pub(crate) count: Option<u64>,

    /// End after this time, such as 20s [default: until Ctrl-C]
    #[arg(long, env = "PRODUCER_DURATION", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,

    /// Number that decides everything but the times: the same seed gives the same events byte for byte, and the
    /// same --producer name unless one is given [default: another one each run]
    #[arg(long, env = "PRODUCER_SEED", value_name = "NUMBER", value_parser = parse_seed, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,

    /// How often each level occurs, relative to the others
    #[arg(
        long,
        env = "PRODUCER_LEVELS",
        default_value = "INFO=80,DEBUG=10,WARN=7,ERROR=3",
        value_name = "LEVEL=WEIGHT,…",
        value_parser = parse_levels
    )]
    pub(crate) levels: Weights<Level>,

    /// Make each event at least this long, by more text in its message, such as 1KiB [default: as logs are, 165 bytes
    /// on average]
    #[arg(long, env = "PRODUCER_EVENT_SIZE", value_name = "SIZE", value_parser = parse_size)]
    pub(crate) event_size: Option<u64>,

    /// Which services log, and how often, relative to each other
    #[arg(
        long,
        env = "PRODUCER_SERVICES",
        default_value = DEFAULT_SERVICES,
        value_name = "NAME[=WEIGHT],…",
        value_parser = parse_services
    )]
    pub(crate) services: Weights<String>,
}

/// What every run has.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaOptions,

    /// Key of each event, which decides its partition; none spreads them evenly
    #[arg(long, env = "PRODUCER_KEY", default_value = "none", value_name = "KEY")]
    pub(crate) key: Key,

    /// Name of this run in its events; with seq it identifies each [default: another one each run]
    #[arg(long, env = "PRODUCER_NAME", value_name = "NAME", value_parser = parse_name)]
    pub(crate) producer: Option<String>,

    /// How long to wait for a broker at the start before giving up
    #[arg(long, env = "PRODUCER_WAIT", default_value = "30s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) wait: Duration,

    /// Write the closing report to this file, as JSON
    #[arg(long, env = "PRODUCER_REPORT", value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// How the program's own log lines look
    #[arg(long, env = "PRODUCER_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// Key of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Key {
    /// No key: each batch goes to one partition, the next to another
    None,
    /// Its service: all events of a service are in one partition, in order
    Service,
}

fn parse_seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}, not '{text}'", u64::MAX))
}

fn parse_levels(text: &str) -> Result<Weights<Level>, String> {
    Weights::parse(text, |name| {
        Level::from_name(name).ok_or_else(|| {
            format!("expected TRACE, DEBUG, INFO, WARN, ERROR or FATAL with a weight each, such as INFO=80, not '{name}'")
        })
    })
}

fn parse_services(text: &str) -> Result<Weights<String>, String> {
    Weights::parse(text, parse_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    /// Any text is weights, each with its share, or refused in one line.
    #[test]
    fn fuzz_weights() {
        fn check<T: std::fmt::Debug>(text: &str, parsed: Result<Weights<T>, String>) {
            match parsed {
                Ok(weights) => {
                    let shares = weights.share_out(10_000);
                    assert_eq!(shares.len(), text.split(',').count());
                    assert_eq!(shares.iter().map(|(_, share)| share).sum::<u32>(), 10_000, "{shares:?}");
                }
                Err(said) => assert!(text.contains('\n') || !said.contains('\n'), "{said:?}"),
            }
        }
        bolero::check!().for_each(|bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            check(&text, parse_levels(&text));
            check(&text, parse_services(&text));
        });
    }
}
