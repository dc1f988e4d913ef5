//! The demo: the whole pipeline for half a minute on servers of its own, and the verdict of `verify`.

mod watch;

use anyhow::{Context, Result, bail, ensure};
use common::report::ProducerReport;
use common::shutdown::Shutdown;
use harness::ports::free_port;
use harness::{Program, Signal, Stack, StackOptions, http};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::keep;
use watch::Watch;

/// What `producer` is asked for.
const RATE: &str = "100k";
const DURATION: &str = "20s";

/// Twenty seconds of load and time to flush, on a slow machine.
const SENT_WITHIN: Duration = Duration::from_secs(120);

/// From the last event sent to the last one in the file and in Redis.
const ARRIVED_WITHIN: Duration = Duration::from_secs(120);

/// The consumer's start, and its orderly end.
const CONSUMER_WITHIN: Duration = Duration::from_secs(60);

/// Reading back some hundred megabytes.
const VERIFIED_WITHIN: Duration = Duration::from_secs(120);

/// Between two looks at programs and signals.
const POLL: Duration = Duration::from_millis(50);

/// Exit code after Ctrl-C: 128 + SIGINT.
const EXIT_INTERRUPTED: u8 = 130;

/// Somebody pressed Ctrl-C.
#[derive(Debug)]
struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Runs it; success only if `verify` found nothing lost and nothing doubled. Whatever happens, the programs
/// and servers end and their files go.
pub(crate) fn run() -> Result<ExitCode> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    match demo(&shutdown) {
        Err(error) if error.is::<Interrupted>() => {
            println!("interrupted: servers stopped, their files removed");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
        result => result,
    }
}

fn demo(shutdown: &Shutdown) -> Result<ExitCode> {
    println!("starting ZooKeeper, Kafka and Redis on free ports");
    let stack = Stack::start(StackOptions { kafka_heap: "1g".into(), ..StackOptions::default() })?;
    check(shutdown)?;
    keep::create_topics(&stack)?;
    let brokers = stack.bootstrap();
    println!("{}", keep::addresses(&brokers, &stack.redis_url(), stack.zookeeper_port()));

    let folder = stack.folder().join("demo");
    let logs = folder.join("logs.txt");
    let metrics = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let mut consumer = start(
        "consumer",
        &format!(
            "--brokers {brokers} --topic logs --group demo --redis-url {} --file logs.txt --metrics-addr {metrics}",
            stack.redis_url()
        ),
        &folder,
    )?;
    let deadline = Instant::now() + CONSUMER_WITHIN;
    while http::get(metrics, "/readyz").is_none() {
        goes_on(&mut consumer, shutdown)?;
        ensure!(
            Instant::now() < deadline,
            "consumer is not ready after {CONSUMER_WITHIN:?}: {}",
            consumer.stderr()
        );
        std::thread::park_timeout(POLL);
    }

    let mut watch = Watch::new(&stack, &logs, metrics)?;
    let simulated = produce(
        &format!("--brokers {brokers} --topic logs --rate {RATE} --duration {DURATION}"),
        "simulated.json",
        &folder,
        &mut consumer,
        &mut watch,
        shutdown,
    )?;
    let real = real_log(&stack);
    let shipped = produce(
        &format!("ship {} --brokers {brokers} --topic logs", real.display()),
        "shipped.json",
        &folder,
        &mut consumer,
        &mut watch,
        shutdown,
    )?;

    let expected = simulated.acknowledged + shipped.acknowledged;
    println!("waiting until all {expected} events are in the file and in Redis");
    let deadline = Instant::now() + ARRIVED_WITHIN;
    while watch.lines()? < expected || watch.counted()? < expected {
        watch.tick()?;
        goes_on(&mut consumer, shutdown)?;
        ensure!(Instant::now() < deadline, "not all events arrived within {ARRIVED_WITHIN:?}");
        std::thread::park_timeout(POLL);
    }
    watch.print()?;

    println!("stopping the consumer");
    consumer.signal(Signal::TERM)?;
    let status = consumer.wait(CONSUMER_WITHIN)?;
    ensure!(status.success(), "consumer ended with {status}: {}", consumer.stderr());

    println!("\n$ tail -n 3 logs.txt\n{}", watch::last_lines(&logs, 3)?);
    for command in ["LLEN logs:recent", "LRANGE logs:recent 0 0", "HGETALL logs:levels"] {
        println!("\n$ redis-cli -p {} {command}\n{}", stack.redis_port(), watch.ask_redis(command)?);
    }

    let verify = "verify logs.txt --report simulated.json --report shipped.json";
    println!("\n$ consumer {verify}");
    let mut verify = start("consumer", verify, &folder)?;
    let status = verify.wait(VERIFIED_WITHIN)?;
    print!("{}{}", verify.stdout(), verify.stderr());
    if status.success() {
        println!("\n`make up` starts servers that stay, to play with");
        Ok(ExitCode::SUCCESS)
    } else {
        println!("verify ended with {status}");
        Ok(ExitCode::FAILURE)
    }
}

/// Runs `producer` to its end, a status line a second, and reads its report.
fn produce(
    arguments: &str,
    report: &str,
    folder: &Path,
    consumer: &mut Program,
    watch: &mut Watch,
    shutdown: &Shutdown,
) -> Result<ProducerReport> {
    println!("\n$ producer {arguments}");
    let mut producer = start("producer", &format!("{arguments} --report {report}"), folder)?;
    let deadline = Instant::now() + SENT_WITHIN;
    while producer.is_running()? {
        watch.tick()?;
        goes_on(consumer, shutdown)?;
        ensure!(Instant::now() < deadline, "producer still runs after {SENT_WITHIN:?}");
        std::thread::park_timeout(POLL);
    }
    let status = producer.wait(Duration::ZERO)?;
    ensure!(status.success(), "producer ended with {status}: {}", producer.stderr());
    let text = fs::read_to_string(folder.join(report)).context("producer wrote no report")?;
    let report: ProducerReport = serde_json::from_str(&text).context("producer's report cannot be read")?;
    println!(
        "sent {} events in {:.1} s ({:.0} a second), acknowledged {}",
        report.sent, report.seconds, report.events_per_second, report.acknowledged
    );
    Ok(report)
}

/// Starts a program of ours; none of our arguments holds a space.
fn start(name: &str, arguments: &str, folder: &Path) -> Result<Program> {
    Program::start(name, arguments.split_whitespace(), &[], folder)
}

/// An error when somebody pressed Ctrl-C or the consumer ended by itself.
fn goes_on(consumer: &mut Program, shutdown: &Shutdown) -> Result<()> {
    check(shutdown)?;
    if !consumer.is_running()? {
        let status = consumer.wait(Duration::ZERO)?;
        bail!("consumer ended by itself with {status}: {}{}", consumer.stdout(), consumer.stderr());
    }
    Ok(())
}

fn check(shutdown: &Shutdown) -> Result<()> {
    if shutdown.requested() { Err(Interrupted.into()) } else { Ok(()) }
}

/// A real log file of this machine: the package manager's, the system's, or at last that of the demo's Kafka.
fn real_log(stack: &Stack) -> PathBuf {
    let usual = ["/var/log/dpkg.log", "/var/log/apt/history.log", "/var/log/syslog"];
    let readable = |path: &PathBuf| {
        fs::File::open(path)
            .and_then(|file| file.metadata())
            .is_ok_and(|file| file.is_file() && file.len() > 0)
    };
    usual.iter().map(PathBuf::from).find(readable).unwrap_or_else(|| stack.kafka_log())
}
